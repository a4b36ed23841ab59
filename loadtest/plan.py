"""The plan of a chaos run: what is done to the stack at what time. It follows from the seed alone."""

import random

SIGNALS_THAT_KILL = ["KILL", "KILL", "SEGV", "ABRT"]
QUOTAS = [50, 100, 250, 500, 1000, 1500, 2000]

# What the kernel may really answer, and how often at most, in calls of a million.
FAILURES = {
    "accept4": (["EMFILE", "ENFILE", "ENOMEM", "ECONNABORTED", "EINTR"], 900000),
    "clone": (["EAGAIN", "ENOMEM"], 1000000),
    "epoll_create1": (["EMFILE", "ENOMEM"], 1000000),
    "epoll_ctl": (["ENOMEM", "ENOSPC"], 200000),
    "epoll_wait": (["EINTR"], 500000),
    "ftruncate": (["ENOMEM"], 100000),
    "memfd_create": (["EMFILE", "ENOMEM"], 500000),
    "poll": (["EINTR", "ENOMEM"], 500000),
    "pread": (["EIO"], 100000),
    "pwrite": (["ENOSPC"], 100000),
    "read": (["ECONNRESET", "ENOMEM"], 20000),
    "recv": (["ECONNRESET", "ENOMEM"], 20000),
    "recvmsg": (["ECONNRESET", "ENOMEM"], 20000),
    "send": (["EPIPE", "ECONNRESET"], 200000),
    "sendfile": (["EPIPE", "ENOMEM"], 20000),
    "sendmsg": (["EPIPE", "ENOMEM"], 20000),
    "signalfd": (["EMFILE", "ENOMEM"], 1000000),
    "write": (["EPIPE", "ECONNRESET", "ENOMEM"], 20000),
    "writev": (["EPIPE", "ECONNRESET", "ENOMEM"], 20000),
}

# How often each happens, against the others.
WEIGHTS = {
    "kill-worker": 30, "kill-all-workers": 4, "kill-admin": 4, "kill-lighttpd": 2, "pause": 10, "hup": 4, "usr1": 2, "usr2": 2,
    "quota": 5, "silent": 2, "limit": 3, "disk": 3, "fail": 14,
}


class Step:
    """At that second of the run do verb with the arguments."""

    def __init__(self, at, verb, *arguments):
        self.at, self.verb, self.arguments = at, verb, arguments

    def __str__(self):
        return " ".join([self.verb, *map(str, self.arguments)])


def draw_arguments(dice, kind):
    """(arguments, seconds until it is taken back or None, what must not be done twice at once)"""
    if kind in ("kill-worker", "kill-all-workers", "kill-admin"):
        return [dice.choice(SIGNALS_THAT_KILL), dice.randrange(8)], None, None
    if kind == "kill-lighttpd":
        return [dice.choice(["KILL", "TERM"])], None, None
    if kind == "pause":
        target = dice.choice(["worker", "worker", "worker", "admin", "master"])
        return [target, dice.randrange(8)], dice.uniform(0.05, 1.5), f"pause {target}"
    if kind == "quota":
        return [dice.choice(QUOTAS)], None, None
    if kind in ("silent", "limit"):
        return [dice.randrange(30)], dice.uniform(0.3, 2), "files"
    if kind == "disk":
        return [], dice.uniform(0.3, 3), "disk"
    if kind == "fail":
        function = dice.choice(sorted(FAILURES))
        errors, most = FAILURES[function]
        share = most if dice.random() < 0.2 else dice.randint(most // 20, most)
        return [function, dice.choice(errors), share], dice.uniform(0.2, 3), f"fail {function}"
    return [], None, None


def make(seed, seconds, without=()):
    """The steps in order. without: kinds ("fail"), or kinds with their first argument ("fail:read"). What is left out is drawn
    all the same, so that the rest of the plan stays as it is."""
    dice, steps, busy, at = random.Random(seed), [], {}, 0.5
    while at < seconds - 0.5:
        kind = dice.choices(list(WEIGHTS), WEIGHTS.values())[0]
        arguments, hold, key = draw_arguments(dice, kind)
        is_left_out = kind in without or any(f"{kind}:{argument}" in without for argument in arguments[:1])
        if not is_left_out and busy.get(key, 0) <= at:
            steps.append(Step(at, kind, *arguments))
            if hold:
                end = min(at + hold, seconds)
                steps.append(Step(end, "end-" + kind, *arguments))
                busy[key] = end
        at += dice.uniform(0.03, 0.5)
    return sorted(steps, key=lambda step: step.at)
