"""The section on the saturation: requests a second against the ceiling, and where the CPU time of a request goes."""

from . import curves, tests
from .document import Cell, Notice, Section, Table, Text, literal
from .results import OURS, get
from .units import count, cpus, divide, milliseconds, number, percent, plural


def section(run):
    if not run.cases:
        return Section("saturation", "Saturation", [Notice("warning", "Not measured in this run", [])])
    drawn = tests.figures(*[curves.draw_curve(run, curve) for curve in curves.CURVES], curves.draw_costs(run))
    about = (f"wrk keeps the connections busy; {rounds(run)} rounds of {run.bench.get('seconds')} s in which the runtimes take turns, "
             "and between them the bare fib loop in C under the same limit: the ceiling. Median of the rounds that count; in parentheses the "
             "lowest and the highest.")
    return Section("saturation", "Saturation", [Text(about), requests_a_second(run), every_case(run), *drawn, *parts(run)])


def rounds(run):
    """How many a case has: all the same, or from the fewest to the most."""
    fewest, most = (pick(len(case.get("rounds") or []) for case in run.cases.values()) for pick in (min, max))
    return str(most) if fewest == most else f"{fewest} to {most}"


def all_cases(run):
    return sorted({key[:2] for key in run.cases})


def requests_a_second(run):
    """A row for each case, a column for each runtime."""
    names = [name for name in run.names() if any(key[2] == name for key in run.cases)]
    rows = [[f"{cpus(millicpu)}, {plural(connections, 'connection')}",
             *[number(get(run.case(millicpu, connections, name), "per_second", "median")) for name in names],
             spread(run.case(millicpu, connections, OURS), "of_rust", number), spread(run.case(millicpu, connections, OURS), "of_ceiling", percent)]
            for millicpu, connections in all_cases(run)]
    columns = ["", *[literal(run.title(name)) for name in names], "fibcgi to Rust", "fibcgi of the ceiling"]
    return Table("Requests a second", columns, rows, uncounted_rounds(run))


def uncounted_rounds(run):
    """Why rounds do not count: one sentence for each reason."""
    found = {}
    for (millicpu, connections, name), case in run.cases.items():
        for one in case.get("rounds") or []:
            if not one.get("counts", True):
                found.setdefault("; ".join(one.get("reasons") or ["no reason is on record"]), []).append(
                    f"{run.title(name)} at {cpus(millicpu)}, {plural(connections, 'connection')}")
    return [f"**Does not count**, {plural(len(where), 'round')}: {literal(reason)} ({literal(', '.join(dict.fromkeys(where)))})."
            for reason, where in found.items()]


def every_case(run):
    rows = [case_row(run, millicpu, connections, name) for millicpu, connections in all_cases(run)
            for name in run.names() if run.case(millicpu, connections, name)]
    columns = ["runtime", "CPU limit", "connections", "requests a second", "to Rust", "of the ceiling", "p50", "p95", "p99", "failed"]
    return Table("Every case with its spread", columns, rows, folded=True)


def case_row(run, millicpu, connections, name):
    case = run.case(millicpu, connections, name)
    latencies = [milliseconds(get(case, key, "median")) for key in ("p50_ms", "p95_ms", "p99_ms")]
    return [Cell(literal(run.title(name)), runtime=name), cpus(millicpu), f"{connections:,}", spread(case, "per_second", number),
            spread(case, "of_rust", number), spread(case, "of_ceiling", percent), *latencies, count(case.get("failed"))]


def spread(case, key, show):
    median, low, high = (get(case, key, bound) for bound in ("median", "low", "high"))
    return show(median) if None in (median, low, high) or low == high else f"{show(median)} ({show(low)}–{show(high)})"


def parts(run):
    """The table of where each microsecond of a request goes."""
    rows = []
    for name in run.names():
        measured = get(run.costs, name, "parts_us") or {}
        total = sum(filter(None, measured.values()))
        rows += [[Cell(literal(run.title(name)), runtime=name), literal(part), number(value), percent(divide(value, total))]
                 for part, value in measured.items() if value is not None]
    cost = next(iter(run.costs.values()), {})
    if not rows:
        return []
    caption = f"Where each microsecond of CPU goes, {cpus(cost.get('millicpu') or 0)}, {cost.get('connections')} connections"
    return [Table(caption, ["runtime", "part", "µs a request", "share"], rows, left=(1,))]
