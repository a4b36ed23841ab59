"""The document: first which and by how much, then what was wanted, where fibcgi is behind, and the tests one by one."""

from . import plots, saturation, tests, truth
from .document import Cell, Document, Items, Notice, Section, Table, Text, literal
from .goals import CONNECTIONS, MET, MISSED, QUOTA, goals, saturation_ratio
from .results import OURS, get
from .units import NONE, cpus, mebibytes, milliseconds, number, percent, times

TITLE = "fibcgi against Rust, Go and Python"
SOURCE_OF = {"processes": "each server's processes under the same cgroup limits", "podman": "the pods under podman", "kubernetes": "a Kubernetes cluster",
             "url": "a given URL"}


def document(run):
    return Document(TITLE, answer(run), facts(run), [summary(run), behind(run), *tests.sections(run), saturation.section(run), method(run)])


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
            said = [f"**{times(value)}** as many as {literal(run.title(name))}" for name, value in leads]
            said[0] = said[0].replace("as many as", "as many requests as", 1)
            return f"{what}, {literal(run.title(OURS))} answers {', '.join(said[:-1])}{' and ' if said[:-1] else ''}{said[-1]}."
    return "This run has no figures of fibcgi to compare."


def spike_ratio(run, name):
    ours, other = (run.value("spike", one, "answered_per_second") for one in (OURS, name))
    return ours / other if ours and other else None


def measured(run):
    """From the beginning of the first part to the end of the last."""
    parts = [get(part, "about") or {} for part in (run.loadtest, run.bench) if part]
    started, finished = ([part[key] for part in parts if part.get(key)] for key in ("started", "finished"))
    return " to ".join([*sorted(started)[:1], *sorted(finished)[-1:]]) or None


def facts(run):
    about, machine = run.about(), get(run.about(), "machine") or {}
    pairs = [("measured", measured(run)),
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
            scale = about.get("seconds_scale")
            result.append(f"The {name}: a **{literal(about.get('form'))}** run" + (f", times scaled by {number(scale)}" if scale else "")
                          + ". It is no result to publish.")
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
    columns = ["what, at 500m", "against", "goal", "measured (fibcgi to the other)", ""]
    return Section("summary", "Summary", [*blocks, Table(f"Goals: {counted}", columns, rows, left=(1, 2, 3))])


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
    when, where, what = (said.get(key, "unknown") for key in ("measured", "machine", "commit"))
    return " ".join([f"Measured {when} on {where}, commit {what}.", *warnings(run)])


def behind(run):
    found = truth.losses(run) + truth.ceiling_shares(run)
    blocks = [Items(found)] if found else [Text("In none of the figures that count.")]
    return Section("behind", "Where fibcgi is behind", blocks)


def method(run):
    versions = get(run.about(), "versions") or {}
    about = get(run.published, "about")
    blocks = [Text("**Published figures**: " + literal(about) if about else "The run has no published figures to compare with.")]
    blocks += [Text("**Versions**: " + literal(", ".join(f"{name} {version}" for name, version in versions.items())) + ".")] if versions else []
    blocks += [noise(run)] if run.results else []
    return Section("method", "Conditions", blocks)


def noise(run):
    """What else the machine did, and the load generator."""
    rows = [[literal(run.title(name)), literal(test), *(percent(get(result, "noise", key)) for key in ("steal_share", "idle_share")),
             *(number(get(result, *path)) for path in (("noise", "other_cpus"), ("generator", "cpus"), ("generator", "cpus_most"),
                                                       ("ceiling", "before"), ("ceiling", "after")))]
            for (test, name), result in run.results.items()]
    columns = ["runtime", "test", "stolen", "idle", "CPUs of others", "CPUs of the load generator", "at most", "fib ceiling before", "after"]
    return Table("What else went on during each run", columns, rows, left=(1,), folded=True)
