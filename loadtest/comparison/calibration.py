"""What the load generator itself adds: its users against our stack with a whole machine and nothing to compute."""

import os

import scenario
from comparison import figures, runtimes
from comparison.generator import Generator
from comparison.sampler import Sampler
from comparison.staged import mean
from comparison.targets import processes

SECONDS = 8
SCALE_LEAST = 0.25


def measure(options, scale):
    wanted = {**scenario.read("spike"), "path": "/compute?n=0", "result": 0}
    ramp = wanted["options"]["scenarios"]["spike"]
    users = max(stage["target"] for stage in ramp["stages"])
    ramp["stages"] = [{"duration": "1s", "target": users}, {"duration": f"{SECONDS}s", "target": users}]
    scale = min(1, max(scale, SCALE_LEAST))
    with processes.serve(runtimes.FIBCGI, 1000 * len(os.sched_getaffinity(0)), options) as server:
        with Generator(wanted, server.url, scale) as generator:
            sampler = Sampler(server, generator.process.pid)
            sampler.start()
            generator.wait()
            sampler.end()
    start, end = generator.stages.hold()
    rows = figures.within(generator.rows, start, end)
    latency = figures.latency(rows)
    return {"users": users, "wait_ms": wanted["wait_ms"], "path": wanted["path"], "per_second": round(len(rows) / (end - start), 1),
            "failed": figures.failed(rows), **{f"{key}_ms": latency[key] for key in ("p50", "p95", "p99")},
            "cpus": mean(sampler.series(generator.start + start, int(end - start))["generator_cpus"])}
