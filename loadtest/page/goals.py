"""What the project set out to reach, and what was measured. A run that does not count meets no goal and misses none."""

import statistics
from dataclasses import dataclass
from operator import ge, le, lt

from .results import FLASK, GO, OURS, RUST, get
from .units import divide, exact, milliseconds, mebibytes, number, percent, times

MET, MISSED, OPEN = "met", "missed", "open"
SIGNS = {ge: "≥", le: "≤", lt: "<"}
QUOTA, CONNECTIONS = 500, 100
CEILING_GOAL, CLOSED_LOOP_GOAL = 0.94, 2.0


@dataclass
class Goal:
    what: str
    against: str
    wanted: str
    measured: str
    verdict: str


def goals(run):
    return [*saturation(run), spike(run), *closed_loop(run), *latency(run), *squeeze(run), ceiling(run), memory(run), *recovery(run)]


def judge(value, holds):
    return OPEN if value is None else MET if holds(value) else MISSED


def why_open(run, test, *names):
    """Instead of a figure: what is missing."""
    for name in names:
        if (test, name) not in run.results:
            return f"{run.title(name)} was not measured"
        if not run.counts(test, name):
            return f"{run.title(name)} does not count"
    return "no figure"


def saturation_ratio(run, other, millicpu=QUOTA, connections=CONNECTIONS):
    """Ours to the other's requests a second: the median over the rounds, each with the one that ran next to it."""
    pairs = zip(run.rounds(millicpu, connections, OURS), run.rounds(millicpu, connections, other))
    ratios = [divide(one.get("per_second"), another.get("per_second")) for one, another in pairs
              if one.get("counts", True) and another.get("counts", True)]
    ratios = [one for one in ratios if one is not None]
    return statistics.median(ratios) if ratios else None


def ratio_goal(what, against, value, figures, holds, bound):
    """figures: both that the ratio is of, or why there is none; holds(value, bound): one of SIGNS."""
    measured = figures if value is None else f"{times(value, bound)} ({figures})"
    return Goal(what, against, f"{SIGNS[holds]} {bound} ×", measured, judge(value, lambda value: holds(value, bound)))


def compared(run, what, test, show, *path, holds, bound):
    """A goal for our figure against Rust's."""
    ours, rust = (run.value(test, name, *path) for name in (OURS, RUST))
    value = divide(ours, rust)
    figures = why_open(run, test, OURS, RUST) if value is None else f"{show(ours)} to {show(rust)}"
    return ratio_goal(what, run.title(RUST), value, figures, holds, bound)


def saturation(run):
    result = []
    for other, wanted in ((RUST, 2.7), (GO, 5), (FLASK, 110)):
        value = saturation_ratio(run, other)
        figures = [get(run.case(QUOTA, CONNECTIONS, name), "per_second", "median") for name in (OURS, other)]
        said = "not measured" if value is None else f"{number(figures[0])} to {number(figures[1])}"
        result.append(ratio_goal("saturation, 100 connections: requests a second", run.title(other), value, said, ge, wanted))
    return result


def spike(run):
    return compared(run, "spike, while all users are on: answers a second", "spike", number, "hold", "answered_per_second", holds=ge, bound=2.5)


def bound_by_waits(run, test):
    """Answers a second that the users leave room for: each waits between two requests, and none is answered faster than a
    single one with nothing else to do."""
    users = [one for one in get(run.result(test, OURS), "series", "users") or [] if one is not None]
    wait = run.scenario(test).get("wait_ms")
    if not users or wait is None:
        return None
    alone = run.value("single", OURS, "latency_ms", "p50") or 0
    return divide(statistics.mean(users) * 1000, wait + alone)


def closed_loop(run):
    result = []
    for test in ("load", "soak"):
        bound = divide(bound_by_waits(run, test), run.value(test, RUST, "answered_per_second"))
        lower = bound is not None and bound < CLOSED_LOOP_GOAL
        goal = compared(run, f"{test}: answers a second", test, number, "answered_per_second", holds=ge,
                        bound=bound if lower else CLOSED_LOOP_GOAL)
        if bound is not None:
            goal.measured += f"; the users' waits bound it at {times(bound)}"
        if lower:
            goal.wanted = f"≥ {times(bound)}, the bound of the users' waits"
        result.append(goal)
    return result


def latency(run):
    return [compared(run, what, test, milliseconds, "latency_ms", key, holds=le, bound=0.5)
            for what, test, key in (("spike: p95", "spike", "p95"), ("soak: p95", "soak", "p95"), ("single request, median", "single", "p50"))]


def answered(run, name):
    requests, failed = (run.value("squeeze", name, key) for key in ("requests", "failed"))
    return None if requests is None or failed is None else requests - failed


def squeeze(run):
    failed = run.value("squeeze", OURS, "failed")
    ours, rust = answered(run, OURS), answered(run, RUST)
    value = divide(ours, rust)
    said = why_open(run, "squeeze", OURS, RUST) if value is None else f"{ours:,} to {rust:,}"
    return [Goal("squeeze at 50m: failed requests", "all", "0", why_open(run, "squeeze", OURS) if failed is None else f"{failed:,}",
                 judge(failed, lambda value: value == 0)),
            ratio_goal("squeeze at 50m: answered requests", run.title(RUST), value, said, ge, 2.2)]


def ceiling(run):
    """Of the rounds that count, as the case's median is."""
    value = get(run.case(QUOTA, CONNECTIONS, OURS), "of_ceiling", "median")
    measured = "not measured" if value is None else percent(value)
    return Goal("saturation: share of the fib ceiling", "the physical limit", f"≥ {percent(CEILING_GOAL, exact)}", measured,
                judge(value, lambda value: value >= CEILING_GOAL))


def memory(run):
    goal = compared(run, "memory after the soak", "soak", mebibytes, "memory", "end_mib", holds=lt, bound=1)
    goal.wanted = "less"
    return goal


def recovery(run):
    first = (run.value("recovery", OURS, "summary") or [{}])[0]
    failed, median, most = first.get("failed"), get(first, "next_answer_ms", "median"), get(first, "next_answer_ms", "max")
    missing = why_open(run, "recovery", OURS)
    what = "SIGKILL of the serving process: "
    return [Goal(what + "failed requests", "all", "0", missing if failed is None else f"{failed:,} in {first.get('kills')} kills",
                 judge(failed, lambda value: value == 0)),
            Goal(what + "next answer", "all", "≤ 10 ms", missing if median is None else f"{milliseconds(median)}, at most {milliseconds(most)}",
                 judge(median, lambda value: value <= 10))]
