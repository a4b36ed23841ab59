"""Where fibcgi is behind, and what of its lead is the compiler's."""

from .curves import cost_of
from .document import literal
from .goals import CEILING_GOAL, saturation_ratio
from .plots import first_kind
from .results import FLASK, GO, OURS, RUST, get
from .units import count, cpus, divide, exact, mebibytes, megabytes, milliseconds, number, percent, plural, times

# test, path of the figure, what it is called, how it is shown, whether more is better
COMPARED = [
    ("footprint", ("image", "mb"), "size of what is deployed", megabytes, False),
    ("footprint", ("memory", "idle_mib"), "idle memory", mebibytes, False),
    ("footprint", ("memory", "after_mib"), "memory after a load", mebibytes, False),
    ("footprint", ("start_ms",), "start to the first answer", milliseconds, False),
    ("single", ("latency_ms", "p50"), "median of a single request", milliseconds, False),
    ("single", ("latency_ms", "p99"), "p99 of a single request", milliseconds, False),
    ("single", ("beyond_ms",), "a single request beyond its fib", milliseconds, False),
    *[(test, path, f"{test}: {what}", show, more)
      for test in ("load", "spike", "soak", "squeeze")
      for path, what, show, more in ((("answered_per_second",), "answers a second", number, True), (("latency_ms", "p50"), "median", milliseconds, False),
                                     (("latency_ms", "p99"), "p99", milliseconds, False), (("failed",), "failed requests", count, False))],
    ("soak", ("memory", "end_mib"), "memory after the soak", mebibytes, False),
]


def losses(run):
    """One sentence for each figure in which another runtime is ahead of ours."""
    result = []
    for test, path, what, show, more in COMPARED:
        ours = run.value(test, OURS, *path)
        others = {name: run.value(test, name, *path) for name in run.names() if name != OURS}
        ahead = [name for name, value in others.items()
                 if None not in (ours, value) and (value > ours if more else value < ours)]
        if ahead:
            result.append(f"**{what}**: {show(ours)} against " + ", ".join(f"{literal(run.title(name))} {show(others[name])}" for name in ahead))
    return result + losses_in_costs(run) + losses_in_recovery(run)


def losses_in_costs(run):
    ours = cost_of(run, OURS)
    others = {name: cost_of(run, name) for name in run.names() if name != OURS and cost_of(run, name)}
    ahead = [name for name, cost in others.items() if ours and cost[1] < ours[1]]
    if not ahead:
        return []
    return [f"**CPU time of a request beside fib**: {number(ours[1])} µs against "
            + ", ".join(f"{literal(run.title(name))} {number(others[name][1])} µs" for name in ahead)]


def losses_in_recovery(run):
    """Also the kills that are not of the serving process: who serves behind a web server has more that can be killed."""
    result = []
    for kind in run.value("recovery", OURS, "summary") or []:
        if kind.get("failed"):
            result.append(f"**recovery**: SIGKILL of {literal(kind.get('what'))} costs {kind['failed']:,} of {count(kind.get('requests'))} requests "
                          f"({milliseconds(get(kind, 'next_answer_ms', 'median'))} to the next answer)")
    ours = get(first_kind(run, OURS), "next_answer_ms", "median")
    for name in run.measured("recovery"):
        other = get(first_kind(run, name), "next_answer_ms", "median")
        if None not in (ours, other) and other < ours and run.counts("recovery", name):
            result.append(f"**recovery**: the next answer comes after {milliseconds(ours)}, {literal(run.title(name))}'s after {milliseconds(other)}")
    return result


def compiler_share(run):
    """Sentences on what of the lead is fib's, that is the language's and its compiler's, and what the server's."""
    ours = cost_of(run, OURS)
    result = []
    for name in (RUST, GO, FLASK):
        other = cost_of(run, name)
        if not ours or not other:
            continue
        said = f"**{literal(run.title(name))}**: fib(30) takes {number(other[0])} µs there and {number(ours[0])} µs here, {times(divide(other[0], ours[0]))}."
        result.append(f"{said} {server_share(run, name, ours, other)}")
    return result


def server_share(run, name, ours, other):
    equal = (ours[0] + other[1]) / (ours[0] + ours[1])
    return (f"All else takes {number(other[1])} µs there and {number(ours[1])} µs here, {times(divide(other[1], ours[1]))}. With fib equally fast "
            f"in both, fibcgi would answer {times(equal)} as many{measured_lead(run, name)}.")


def measured_lead(run, name):
    lead = saturation_ratio(run, name)
    return "" if lead is None else f", not {times(lead)}"


def ceiling_shares(run):
    """A sentence on the cases that stay below what was wanted."""
    # Fewer connections than CPUs leave some of them without work.
    shares = [(share, millicpu, connections) for (millicpu, connections, name), case in run.cases.items()
              if name == OURS and 1000 * connections >= millicpu and (share := get(case, "of_ceiling", "median"))]
    below = [one for one in shares if one[0] < CEILING_GOAL]
    if not below:
        return []
    share, millicpu, connections = min(below)
    return [f"**share of the fib ceiling**: below {percent(CEILING_GOAL, exact)} in {len(below)} of {len(shares)} cases; the lowest is {percent(share)}, "
            f"at {cpus(millicpu)} with {plural(connections, 'connection')}"]
