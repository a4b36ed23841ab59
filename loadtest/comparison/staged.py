"""A scenario with users that come and go: load, spike, soak, squeeze."""

import math
import statistics

import scenario
from comparison import figures, noise
from comparison.generator import Generator
from comparison.sampler import Sampler

FULL = 0.9


def measure(server, wanted, scale):
    """Runs the scenario against the server; returns the test's part of a result."""
    throttled = server.throttling()
    with Generator(wanted, server.url, scale) as generator:
        sampler = Sampler(server, generator.process.pid)
        sampler.start()
        generator.wait()
        sampler.end()
    result = summarize(generator, sampler)
    result["server"]["throttled_share"] = throttled_share(throttled, server.throttling())
    result["thresholds"] = thresholds(wanted, generator.rows)
    return result


def summarize(generator, sampler):
    stages, rows = generator.stages, generator.rows
    end = stages.seconds + (stages.graceful_seconds if generator.unfinished else 0)
    end = max([end, *(row[0] for row in rows[-1:])])
    seconds = math.ceil(end)
    series = {**figures.series(rows, seconds, stages.users), **sampler.series(generator.start, seconds)}
    return {"generator": {"name": "locust", "cpus": mean(series["generator_cpus"]), "cpus_most": most(series["generator_cpus"])},
            "server": {"cpus": mean(series["server_cpus"])}, "unfinished": generator.unfinished,
            **figures.totals(rows, end), "hold": hold(stages, rows), "histogram": figures.histogram(rows), "series": series,
            "memory": sampler.memory()}


def hold(stages, rows):
    """The stretch with the most users."""
    stretch = stages.hold()
    if stretch is None:
        return None
    start, end = stretch
    totals = figures.totals(figures.within(rows, start, end), end - start)
    return {"from": start, "to": end, "users": stages.most, **{key: totals[key] for key in (
        "requests", "failed", "per_second", "answered_per_second", "latency_ms")}}


def thresholds(wanted, rows):
    values, judged = figures.k6_values(rows), []
    for metric, expressions in wanted["options"]["thresholds"].items():
        for expression in expressions:
            value, holds = scenario.judge(expression, values.get(metric, {}))
            judged.append({"metric": metric, "expression": expression, "value": value, "holds": holds})
    return judged


def throttled_share(before, after):
    if before is None or after is None:
        return None
    periods, throttled = (late - early for early, late in zip(before, after))
    return round(throttled / periods, 4) if periods else 0.0


def mean(values):
    known = [value for value in values if value is not None]
    return round(statistics.mean(known), 3) if known else None


def most(values):
    return max((value for value in values if value is not None), default=None)


def reasons(result, around, millicpu):
    """Why it does not count. What the server got matters while most users were on, and only where it wanted all that it may have."""
    series = result["series"]
    full = [cpus for users, cpus in zip(series["users"], series["server_cpus"]) if users >= FULL * max(series["users"])]
    wanted_all = (result["server"]["throttled_share"] or 0) > 0.5
    return noise.reasons(around, result["generator"]["cpus"] or 0, mean(full) if wanted_all else None, millicpu)
