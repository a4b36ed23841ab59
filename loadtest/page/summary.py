"""The document: first which and by how much, then what was wanted, where fibcgi is behind, and the tests one by one."""

from . import curves, plots, tests, truth
from .document import Cell, Document, Figures, Items, Notice, Section, Table, Text, literal
from .goals import CONNECTIONS, MET, MISSED, QUOTA, goals, saturation_ratio
from .results import OURS, get
from .units import NONE, count, cpus, mebibytes, milliseconds, number, percent, plural, times

TITLE = "fibcgi against Rust, Go and Python"
SOURCE_OF = {"processes": "each server's processes under the same cgroup limits", "podman": "the pods under podman", "kubernetes": "a Kubernetes cluster",
             "url": "a given URL"}


def document(run):
    return Document(TITLE, answer(run), facts(run), [summary(run), behind(run), *tests.sections(run), saturation(run), method(run)])


def peers(run):
    """Those of the published comparison; all others where none of it was measured."""
    others = [name for name in run.names() if name != OURS]
    return [name for name in others if get(run.runtimes, name, "published")] or others


def answer(run):
    """One sentence: of the saturation, or of the spike where that was not measured."""
    for what, ratio in ((f"At {QUOTA}m of CPU, saturated by {CONNECTIONS} connections", lambda name: saturation_ratio(run, name)),
                        ("In the spike", lambda name: spike_ratio(run, name))):
        leads = [(name, value) for name in peers(run) if (value := ratio(name))]
        if leads:
            said = [f"**{times(value)}** as many {'requests ' if place == 0 else ''}as {literal(run.title(name))}" for place, (name, value) in enumerate(leads)]
            return f"{what}, {literal(run.title(OURS))} answers {', '.join(said[:-1])}{' and ' if said[:-1] else ''}{said[-1]}."
    return "This run has no figures of fibcgi to compare."


def spike_ratio(run, name):
    ours, other = (run.value("spike", one, "answered_per_second") for one in (OURS, name))
    return ours / other if ours and other else None


def facts(run):
    about, machine = run.about(), get(run.about(), "machine") or {}
    pairs = [("measured", " to ".join(filter(None, [about.get("started"), about.get("finished")])) or None),
             ("commit", (about.get("commit") or "")[:12] + (", with changes" if about.get("changed") else "")),
             ("machine", ", ".join(str(one) for one in [machine.get("cpu"), f"{machine.get('cpus')} CPUs",
                                                        machine.get("memory_mib") and f"{machine['memory_mib'] / 1024:.0f} GiB",
                                                        machine.get("virtual") not in (None, "none") and f"virtual ({machine['virtual']})"] if one)),
             ("system", ", ".join(filter(None, [machine.get("os"), machine.get("kernel") and f"kernel {machine['kernel']}",
                                                machine.get("cgroup") and f"cgroup {machine['cgroup']}"]))),
             ("where", SOURCE_OF.get(about.get("target"), about.get("target"))),
             ("limits", "; ".join(filter(None, (limits(run, name) for name in run.names()))))]
    return [(what, literal(value)) for what, value in pairs if value]


def limits(run, name):
    limit = get(run.runtimes, name, "limits") or {}
    return f"{run.title(name)} {cpus(limit['millicpu'])}, {limit.get('memory_mib') or NONE} MiB" if limit.get("millicpu") else None


def warnings(run):
    """What has to be known before any figure is read."""
    result = []
    if run.sample:
        result.append("**These figures are invented**: the file is a sample of the format, not a measurement.")
    for name, part in (("load tests", run.loadtest), ("saturation", run.bench)):
        about = part.get("about") or {}
        if not part:
            result.append(f"The {name} were not measured." if name == "load tests" else f"The {name} was not measured.")
        elif about.get("form") != "full":
            result.append(f"The {name}: a **{literal(about.get('form'))}** run, times scaled by {number(about.get('seconds_scale'))}. It is no result to publish.")
        if part and not about.get("finished"):
            result.append(f"The {name}: not complete.")
    uncounted = sorted({f"{tests.TITLES.get(test, test)} of {run.title(name)}" for test, name in run.results if not run.counts(test, name)})
    if uncounted:
        result.append(literal("Measured, but does not count: " + ", ".join(uncounted) + ". The reason is with each test.") )
    return result


def summary(run):
    found = goals(run)
    met, missed = (sum(goal.verdict == verdict for goal in found) for verdict in (MET, MISSED))
    blocks = [Notice("warning", "Before you read the figures", warnings(run))] if warnings(run) else []
    blocks += [*tests.figures(*panels(run)), overview(run)]
    blocks += [Notice("truth", "What of this is the compiler's", truth.compiler_share(run))] if truth.compiler_share(run) else []
    rows = [[goal.what, literal(goal.against), goal.wanted, literal(goal.measured), Cell(goal.verdict, verdict=goal.verdict)] for goal in found]
    counted = f"{met} met, {missed} missed, {len(found) - met - missed} open"
    return Section("summary", "Summary", [*blocks, Table(f"Goals: {counted}", ["what, at 500m", "against", "goal", "measured (fibcgi to the other)", ""], rows, left=(1, 2, 3))])


def panels(run):
    """The four drawings that say it at a glance."""
    return [plots.bars(run, *panel) for panel in panel_data(run)]


def panel_data(run):
    names = run.names()
    saturated = {name: get(run.case(QUOTA, CONNECTIONS, name), "per_second", "median") for name in names}
    spike = {name: run.value("spike", name, "latency_ms", "p95") for name in names}
    memory = {name: run.value("soak", name, "memory", "end_mib") for name in names}
    first = {name: (run.value("recovery", name, "summary") or [{}])[0] for name in names}
    recovery = {name: get(one, "next_answer_ms", "median") for name, one in first.items()}
    return [("panel-throughput", f"Requests a second, {QUOTA}m, {CONNECTIONS} connections", saturated, number, "More is better."),
            ("panel-latency", "95th percentile in the spike", spike, milliseconds, "Less is better."),
            ("panel-memory", "Memory after the soak", memory, mebibytes, "Less is better."),
            ("panel-recovery", "After SIGKILL: to the next answer", recovery, milliseconds, "Less is better.")]


def overview(run):
    """A row for each runtime: what README shows."""
    columns = {title[0].lower() + title[1:]: (values, show) for _, title, values, show, _ in panel_data(run)}
    rows = [[Cell(literal(run.title(name)), runtime=name), *[show(values.get(name)) for values, show in columns.values()],
             failed_by_kills(run, name)] for name in run.names()]
    return Table("At a glance", ["runtime", *columns, "requests failed by the kills"], rows)


def failed_by_kills(run, name):
    kind = (run.value("recovery", name, "summary") or [{}])[0]
    return NONE if kind.get("failed") is None else f"{kind['failed']:,} in {kind.get('kills')} kills"


def conditions(run):
    """Where and when, in a line, and what speaks against the figures."""
    said = dict(facts(run))
    line = f"Measured {said.get('measured', 'at a time not on record')} on {said.get('machine', 'a machine not on record')}, commit {said.get('commit', 'not on record')}."
    return " ".join([line, *warnings(run)])


def behind(run):
    found = truth.losses(run) + truth.ceiling_shares(run)
    blocks = [Items(found)] if found else [Text("In none of the figures that count.")]
    return Section("behind", "Where fibcgi is behind", blocks)


def saturation(run):
    if not run.cases:
        return Section("saturation", "Saturation", [Notice("warning", "Not measured in this run", [])])
    drawn = tests.figures(*[curves.draw_curve(run, curve) for curve in curves.CURVES], curves.draw_costs(run))
    about = (f"wrk keeps the connections busy; {run.bench.get('rounds')} rounds of {run.bench.get('seconds')} s in which the runtimes take turns, "
             "and between them the bare fib loop in C under the same limit: the ceiling. Median of the rounds that count, lowest and highest in parentheses.")
    return Section("saturation", "Saturation", [Text(about), requests_a_second(run), every_case(run), *drawn, *parts(run)])


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
    return [f"**Does not count**, {plural(len(where), 'round')}: {literal(reason)} ({literal(', '.join(dict.fromkeys(where)))})." for reason, where in found.items()]


def every_case(run):
    rows = [case_row(run, millicpu, connections, name) for millicpu, connections in all_cases(run)
            for name in run.names() if run.case(millicpu, connections, name)]
    columns = ["runtime", "CPU limit", "connections", "requests a second", "to Rust", "of the ceiling", "p50", "p95", "p99", "failed"]
    return Table("Every case with its spread", columns, rows, folded=True)


def case_row(run, millicpu, connections, name):
    case = run.case(millicpu, connections, name)
    return [Cell(literal(run.title(name)), runtime=name), cpus(millicpu), f"{connections:,}", spread(case, "per_second", number), spread(case, "of_rust", number),
            spread(case, "of_ceiling", percent), *[milliseconds(get(case, key, "median")) for key in ("p50_ms", "p95_ms", "p99_ms")], count(case.get("failed"))]


def spread(case, key, show):
    median, low, high = (get(case, key, bound) for bound in ("median", "low", "high"))
    return show(median) if None in (median, low, high) or low == high else f"{show(median)} ({show(low)}–{show(high)})"


def parts(run):
    """The table of where each microsecond of a request goes."""
    rows = []
    for name in run.names():
        measured = get(run.costs, name, "parts_us") or {}
        rows += [[Cell(literal(run.title(name)), runtime=name), literal(part), number(value), percent(value / sum(filter(None, measured.values())))]
                 for part, value in measured.items() if value is not None]
    cost = next(iter(run.costs.values()), {})
    if not rows:
        return []
    caption = f"Where each microsecond of CPU goes, {cpus(cost.get('millicpu') or 0)}, {cost.get('connections')} connections"
    return [Table(caption, ["runtime", "part", "µs a request", "share"], rows, left=(1,))]


def method(run):
    versions = get(run.about(), "versions") or {}
    about = get(run.published, "about")
    noise = [(literal(run.title(name)), literal(test), *(percent(get(result, "noise", key)) for key in ("steal_share", "idle_share")),
              number(get(result, "noise", "other_cpus")), number(get(result, "generator", "cpus")), number(get(result, "generator", "cpus_most")),
              number(get(result, "ceiling", "before")), number(get(result, "ceiling", "after"))) for (test, name), result in run.results.items()]
    blocks = [Text("**Published figures**: " + literal(about))] if about else [Text("The run has no published figures to compare with.")]
    blocks += [Text("**Versions**: " + literal(", ".join(f"{name} {version}" for name, version in versions.items())) + ".")] if versions else []
    if noise:
        blocks.append(Table("What else went on during each run", ["runtime", "test", "stolen", "idle", "CPUs of others", "CPUs of the load generator", "at most",
                                                                  "fib ceiling before", "after"], [list(row) for row in noise],
                            left=(1,), folded=True))
    return Section("method", "Conditions", blocks)
