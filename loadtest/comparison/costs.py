"""Where each microsecond of CPU of a request goes: the recursion, the servers' own code, the kernel."""

import statistics

from comparison import ceiling, client, runtimes, wrk
from comparison.targets import processes

MILLICPU, CONNECTIONS = 1000, 20
TOLD_REQUESTS = 15


def measure(runtime, options, seconds):
    """Of one round. fib is measured right before and after the load, for a machine that changes its speed."""
    before = ceiling.measure(options.program, MILLICPU)
    with processes.serve(runtime, MILLICPU, options) as server:
        told_ms = told(server)
        times = server.times()
        result = wrk.load(server.url + "/compute", CONNECTIONS, seconds)
        used = {name: [late - early for early, late in zip(times.get(name, (0, 0)), after)] for name, after in server.times().items()}
        told_ms = (told_ms + told(server)) / 2
    # The same loop, in the same program, alone; a peer can but be asked.
    fib_us = 2e6 / (before + ceiling.measure(options.program, MILLICPU)) if runtime is runtimes.FIBCGI else told_ms * 1000
    return {"requests": result["requests"], "parts_us": {part: round(us, 1) for part, us in split(used, result["requests"], fib_us).items()}}


def told(server):
    return statistics.median(client.compute(server.url, "/compute")[1] for _ in range(TOLD_REQUESTS))


def find(everything, name):
    """What is known of that runtime, from all its rounds."""
    for one in everything:
        if one["runtime"] == name:
            return one
    everything.append({"runtime": name, "millicpu": MILLICPU, "connections": CONNECTIONS, "rounds": []})
    return everything[-1]


def add(one, measured):
    one["rounds"].append(measured)
    one["parts_us"] = {part: statistics.median(each["parts_us"][part] for each in one["rounds"]) for part in measured["parts_us"]}


def split(used, requests, fib_us):
    """used: {process: (user, system) seconds}. User time is split from the kernel's by the clock's tick, so some thousand requests
    are needed for these to be more than a guess."""
    web = [used.pop("lighttpd")] if "lighttpd" in used else []
    own = list(used.values())
    parts = {"fib": fib_us, "responder" if web else "server": microseconds(own, 0, requests) - fib_us}
    if web:
        parts["lighttpd"] = microseconds(web, 0, requests)
        parts["kernel, responder"] = microseconds(own, 1, requests)
        parts["kernel, lighttpd"] = microseconds(web, 1, requests)
    else:
        parts["kernel"] = microseconds(own, 1, requests)
    return parts


def microseconds(times, which, requests):
    return sum(one[which] for one in times) / requests * 1e6
