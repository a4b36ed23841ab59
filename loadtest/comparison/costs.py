"""Where each microsecond of CPU of a request goes: the recursion, the servers' own code, the kernel."""

import statistics

from comparison import wrk
from comparison.targets import processes

MILLICPU, CONNECTIONS = 1000, 20
# One load with nothing to compute, and one with all of it, which is slower.
NOTHING, ALL = "/compute?n=0", "/compute"
FACTORS = {NOTHING: 1, ALL: 2}


def seconds_of_round(seconds):
    return sum(FACTORS.values()) * seconds


def measure(runtime, options, seconds):
    """Of one round; seconds: of the shorter load."""
    with processes.serve(runtime, MILLICPU, options) as server:
        loads = {path: load(server, path, factor * seconds) for path, factor in FACTORS.items()}
    return {"requests": loads[ALL]["requests"],
            "parts_us": {part: round(us, 1) for part, us in split(loads[NOTHING]["us"], loads[ALL]["us"]).items()}}


def load(server, path, seconds):
    """us: {process: microseconds of a request in user mode and in the kernel}."""
    before = server.times()
    requests = wrk.load(server.url + path, CONNECTIONS, seconds)["requests"]
    us = {name: [(late - early) / max(1, requests) * 1e6 for early, late in zip(before.get(name, (0, 0)), after)]
          for name, after in server.times().items()}
    return {"requests": requests, "us": us}


def split(nothing, everything):
    """fib is what its process takes in user mode beyond what it takes there with nothing to compute; all else is of the load that
    computes. User time is split from the kernel's by the clock's tick, so some hundred requests are needed for more than a guess."""
    own, server = total(everything, 0), total(nothing, 0)
    kernel = total(everything, 1)
    if "lighttpd" not in everything:
        return {"fib": own - server, "server": server, "kernel": kernel}
    web, kernel_web = everything["lighttpd"]
    return {"fib": own - server, "responder": server, "lighttpd": web, "kernel, responder": kernel, "kernel, lighttpd": kernel_web}


def total(us, which):
    """Of all processes but lighttpd."""
    return sum(one[which] for name, one in us.items() if name != "lighttpd")


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
