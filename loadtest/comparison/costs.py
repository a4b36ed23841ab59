"""Where each microsecond of CPU of a request goes: the recursion, the servers' own code, the kernel."""

import statistics

from comparison import ceiling, client, runtimes, wrk
from comparison.targets import processes

MILLICPU, CONNECTIONS = 1000, 20
WARM_UP_REQUESTS = 30


def measure(runtime, options, seconds):
    before = ceiling.measure(options.program, MILLICPU)
    with processes.serve(runtime, MILLICPU, options) as server:
        told_ms = statistics.median(client.compute(server.url, "/compute")[1] for _ in range(WARM_UP_REQUESTS))
        times = server.times()
        result = wrk.load(server.url + "/compute", CONNECTIONS, seconds)
        used = {name: [late - early for early, late in zip(times.get(name, (0, 0)), after)] for name, after in server.times().items()}
    # The same loop, in the same program, alone; a peer can but be asked.
    fib_us = 2e6 / (before + ceiling.measure(options.program, MILLICPU)) if runtime is runtimes.FIBCGI else told_ms * 1000
    return {"runtime": runtime.name, "millicpu": MILLICPU, "connections": CONNECTIONS, "requests": result["requests"],
            "parts_us": {part: round(us, 1) for part, us in split(used, result["requests"], fib_us).items()}}


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
