"""A section for each of the seven tests: what it does, the published figures beside ours, and the drawings."""

from . import plots
from .document import Cell, Figures, Notice, Section, Table, Text, literal
from .results import OURS, TESTS, TITLES, get
from .units import NONE, count, divide, exact, mebibytes, megabytes, milliseconds, number, percent, plural, rate, times

PUBLISHED = "In parentheses: the published figures."


def sections(run):
    return [section(run, test) for test in TESTS]


def section(run, test):
    title = get(run.scenario(test), "title") or TITLES[test]
    about = get(run.scenario(test), "about")
    blocks = [Text(literal(about))] if about else []
    if not run.measured(test):
        return Section(test, literal(title), [*blocks, Notice("warning", "Not measured in this run", [])])
    content = {"footprint": footprint, "single": single, "recovery": recovery}.get(test, under_load)
    blocks += content(run, test)
    return Section(test, literal(title), blocks)


def head(run, test, name):
    return Cell(literal(run.title(name)), runtime=name, mark="" if run.counts(test, name) else "does not count")


def with_published(run, test, name, key, show, value):
    published = run.published_figure(test, name, key)
    return Cell(show(value), published="" if published is None else show(published, exact))


def figures(*drawn):
    drawn = [one for one in drawn if one]
    return [Figures(drawn)] if drawn else []


def notes(run, test):
    """What has to be known about the runs of this test, one sentence each."""
    missing = [run.title(name) for name in run.names() if (test, name) not in run.results]
    result = [literal(f"Not measured: {', '.join(missing)}.")] if missing else []
    for name in run.measured(test):
        title, measured = literal(run.title(name)), run.result(test, name)
        if not run.counts(test, name):
            result.append(f"{title} **does not count**: {literal('; '.join(measured.get('reasons') or ['no reason is on record']))}.")
        result += [f"{title}: {literal(warning)}." for warning in measured.get("warnings") or []]
    return result + failures(run, test) + thresholds(run, test) + restarts(run, test)


def failures(run, test):
    """How requests failed, and what the published comparison says instead of figures."""
    failed = [f"{run.title(name)} " + ", ".join(f"{count(number_of)} by {kind}" for kind, number_of in errors.items())
              for name in run.measured(test) if (errors := run.result(test, name).get("errors"))]
    said = [f"{run.title(name)} as published: {note}." for name in run.measured(test) if (note := run.published_figure(test, name, "note"))]
    return ([literal(f"Failed: {'; '.join(failed)}.")] if failed else []) + list(map(literal, said))


def thresholds(run, test):
    """Who does not keep to which of the scenario's thresholds."""
    missed = {}
    for name in run.measured(test):
        for one in run.result(test, name).get("thresholds") or []:
            if one.get("holds") is False:
                missed.setdefault(f"{one.get('metric')} {one.get('expression')}", []).append(run.title(name))
    return [f"The threshold {literal(threshold)} is not kept by {literal(', '.join(titles))}." for threshold, titles in missed.items()]


def restarts(run, test):
    """Where nobody killed it, a server that had to be started again has crashed."""
    crashed = [f"{run.title(name)} {plural(number_of, 'time')}" for name in run.measured(test)
               if test != "recovery" and (number_of := run.result(test, name).get("restarts"))]
    return [literal(f"Crashed and had to be started again: {', '.join(crashed)}.")] if crashed else []


def users_of(run, test):
    return next((users for name in run.measured(test) if (users := get(run.result(test, name), "hold", "users"))), None)


def under_load(run, test):
    users = users_of(run, test)
    columns = ["runtime", "answers a second", "fibcgi has", f"with {users} users", "of the fib ceiling", "mean", "p50", "p95", "p99", "requests", "failed", "memory in the end"]
    rows = [row_under_load(run, test, name) for name in run.measured(test)]
    if not users:
        for row in [columns, *rows]:
            del row[3:5]
    drawn = figures(plots.squeeze_outcome(run) if test == "squeeze" else None, plots.throughput_over_time(run, test),
                    plots.latency_over_time(run, test), plots.distribution(run, test), plots.memory_over_time(run, test))
    return [Table(f"{TITLES[test]}, {limit(run, test)}", columns, rows, [PUBLISHED, *calibration(run), *notes(run, test)]), *drawn]


def limit(run, test):
    millicpu = next((value for name in run.measured(test) if (value := get(run.result(test, name), "limits", "millicpu"))), None)
    return f"CPU limit {millicpu}m" if millicpu else "no CPU limit"


def row_under_load(run, test, name):
    result = run.result(test, name)
    show = {"mean_ms": ("latency_ms", "mean"), "p50": ("latency_ms", "p50"), "p95_ms": ("latency_ms", "p95"), "p99": ("latency_ms", "p99")}
    latencies = [with_published(run, test, name, key, milliseconds, get(result, *path)) for key, path in show.items()]
    return [head(run, test, name),
            with_published(run, test, name, "per_second", rate, result.get("answered_per_second")),
            lead(run, test, name, "answered_per_second"),
            number(get(result, "hold", "answered_per_second")),
            percent(share_of_ceiling(result)),
            *latencies,
            with_published(run, test, name, "requests", count, result.get("requests")),
            with_published(run, test, name, "failed_share", percent, result.get("failed_share")),
            mebibytes(get(result, "memory", "end_mib"))]


def share_of_ceiling(result):
    """While all users were on: of what the bare fib loop did right before and after, on an average."""
    before, after = (get(result, "ceiling", when) for when in ("before", "after"))
    if before is None or after is None:
        return None
    return divide(get(result, "hold", "answered_per_second"), (before + after) / 2)


def lead(run, test, name, *path):
    if name == OURS:
        return ""
    return times(divide(run.value(test, OURS, *path), run.value(test, name, *path)))


def calibration(run):
    measured = run.loadtest.get("calibration")
    if not measured:
        return []
    return [f"The load generator itself adds {milliseconds(measured.get('p50_ms'))} in the median and {milliseconds(measured.get('p95_ms'))} at p95: "
            f"that much it measures with {measured.get('users')} users and nothing to compute."]


def footprint(run, test):
    rows = []
    for name in run.measured(test):
        result = run.result(test, name)
        rows.append([head(run, test, name),
                     with_published(run, test, name, "image_mb", megabytes, get(result, "image", "mb")),
                     with_published(run, test, name, "idle_mib", mebibytes, get(result, "memory", "idle_mib")),
                     with_published(run, test, name, "after_mib", mebibytes, get(result, "memory", "after_mib")),
                     milliseconds(result.get("start_ms")), literal(get(run.runtimes, name, "processes") or NONE)])
    table = Table("Size and memory", ["runtime", "size", "idle", "after a load", "start to first answer", "processes"], rows,
                  [PUBLISHED, *kinds_of_size(run), *notes(run, test)], left=(5,))
    values = {key: {name: get(run.result(test, name), *path) for name in run.measured(test)}
              for key, path in (("image", ("image", "mb")), ("after", ("memory", "after_mib")), ("start", ("start_ms",)))}
    return [table, *figures(plots.bars(run, "image", "Size of what is deployed", values["image"], megabytes),
                            plots.bars(run, "memory-after", "Memory after a load", values["after"], mebibytes),
                            plots.bars(run, "start", "Start to the first answer", values["start"], milliseconds))]


def kinds_of_size(run):
    """What was weighed: not always the same for all."""
    kinds = {}
    for name in run.measured("footprint"):
        if kind := get(run.result("footprint", name), "image", "kind"):
            kinds.setdefault(kind, []).append(run.title(name) + parts(run, name))
    said = [f"Size of {kind}: {', '.join(titles)}." for kind, titles in kinds.items()]
    memory = {kind for name in run.measured("footprint") if (kind := get(run.result("footprint", name), "memory", "kind"))}
    return [literal(one) for one in [*said, *(["Sizes of different kinds compare only roughly."] if len(kinds) > 1 else []),
                                     *(f"Memory: {kind}." for kind in sorted(memory))]]


def parts(run, name):
    sizes = get(run.result("footprint", name), "image", "parts") or {}
    return f" ({', '.join(f'{part} {megabytes(size)}' for part, size in sizes.items())})" if len(sizes) > 1 else ""


def single(run, test):
    rows = []
    for name in run.measured(test):
        result = run.result(test, name)
        rows.append([head(run, test, name), with_published(run, test, name, "p50_ms", milliseconds, get(result, "latency_ms", "p50")),
                     lead_of_latency(run, test, name), milliseconds(get(result, "latency_ms", "p95")), milliseconds(get(result, "latency_ms", "p99")),
                     milliseconds(result.get("fib_ms")), milliseconds(result.get("beyond_ms")), count(result.get("requests")), count(result.get("failed"))])
    columns = ["runtime", "median", "fibcgi takes", "p95", "p99", "of it fib", "beyond fib", "requests", "failed"]
    return [Table(f"One request at a time, {limit(run, test)}", columns, rows, [PUBLISHED, *notes(run, test)]), *figures(plots.distribution(run, test))]


def lead_of_latency(run, test, name):
    if name == OURS:
        return ""
    return times(divide(run.value(test, OURS, "latency_ms", "p50"), run.value(test, name, "latency_ms", "p50")))


def recovery(run, test):
    rows = []
    for name in run.measured(test):
        for place, kind in enumerate(run.result(test, name).get("summary") or []):
            median, most = (get(kind, "next_answer_ms", key) for key in ("median", "max"))
            published = run.published_figure(test, name, "next_answer_ms") if place == 0 else None
            rows.append([head(run, test, name), literal(kind.get("what")) + (" (it serves)" if place == 0 else ""), count(kind.get("kills")),
                         Cell(milliseconds(median), published="" if published is None else milliseconds(published, exact)),
                         milliseconds(most), count(kind.get("failed")), count(kind.get("requests"))])
    columns = ["runtime", "killed", "kills", "median to the next answer", "longest", "failed requests", "of"]
    explained = "The published figures are of a whole pod that was killed and scheduled anew; ours say in each row what was killed."
    return [Table("SIGKILL under load", columns, rows, [PUBLISHED, explained, *notes(run, test)], left=(1,)), *figures(plots.recovery_timeline(run))]
