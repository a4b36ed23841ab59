"""What is drawn: from the run to a Figure, with a text for those who do not see it and the data behind it; None where there is
nothing to draw."""

from .canvas import BAD, FAINT, HEIGHT, INK, Canvas, logarithmic, plain_number, style, ticker, time_label
from .document import Figure, Table, literal
from .results import OURS, TITLES, get
from .units import NONE, mebibytes, milliseconds, number, percent


def series(run, test, name, key):
    return get(run.result(test, name), "series", key) or []


def drawn(run, test, key):
    """The runtimes with at least one point of that series."""
    return [name for name in run.measured(test) if any(value is not None for value in series(run, test, name, key))]


def longest(run, test, names):
    """Whose series goes on for longest: with slow servers the last users wait for their answers."""
    return max(names, key=lambda name: len(series(run, test, name, "at")))


def table_of_series(run, test, names, what, columns):
    """Each second with, for each runtime, the columns: pairs of key and what to call it."""
    head = ["s", "users"] + [f"{run.title(name)}{label}" for name in names for _, label in columns]
    rows = []
    last = longest(run, test, names)
    for index, at in enumerate(series(run, test, last, "at")):
        at_that_time = [series(run, test, last, "users")] + [series(run, test, name, key) for name in names for key, _ in columns]
        rows.append([number(at)] + [number(one[index]) if index < len(one) else NONE for one in at_that_time])
    return Table(f"{TITLES[test]}: {what}, each second", [literal(one) for one in head], rows)


def with_users(run, test, name, names):
    """Two drawings above each other: the users over time, and below it the axes for what they see."""
    plot = Canvas(f"{test}-{name}", rows=2, height=HEIGHT + 30, sharex=True, gridspec_kw={"height_ratios": [1, 4.6]})
    last = longest(run, test, names)
    at, users = series(run, test, last, "at"), series(run, test, last, "users")
    area = plot.axes[0].fill_between(at, users, step="mid", color=FAINT, alpha=0.45, linewidth=0)
    plot.mark(area, "users", len(users))
    plot.axes[0].set_ylabel("users")
    plot.axes[0].set_ylim(0)
    plot.axes[0].set_yticks([0, max(value or 0 for value in users)])
    plot.axes[1].set_xlabel("seconds")
    plot.legend(names, lambda name: label(run, test, name))
    return plot, plot.axes[1]


def label(run, test, name):
    """A name in a drawing: with a star where what is drawn does not count."""
    return run.short(name) + ("" if run.counts(test, name) else " *")


def explained(run, test, names, caption):
    """The caption, and the star where there is one."""
    star = "" if all(run.counts(test, name) for name in names) else "* does not count: see the notes below the table."
    return " ".join(filter(None, [caption, literal(star)]))


def throughput_over_time(run, test):
    names = drawn(run, test, "answered")
    if not names:
        return None
    plot, axes = with_users(run, test, "throughput", names)
    for name in names:
        plot.line(axes, name, series(run, test, name, "at"), series(run, test, name, "answered"), "answered")
        failed = [(at, value) for at, value in zip(series(run, test, name, "at"), series(run, test, name, "failed")) if value]
        if failed:
            points, = axes.plot(*zip(*failed), linestyle="", marker="x", color=BAD, markersize=4)
            plot.mark(points, f"{name} failed", len(failed))
    axes.set_ylabel("answers a second")
    axes.set_ylim(0)
    said = "; ".join(f"{run.title(name)} {number(get(run.result(test, name), 'answered_per_second'))}" for name in names)
    crosses = "Crosses: requests that failed in that second." if any(any(series(run, test, one, "failed")) for one in names) else ""
    return Figure(plot.name, f"{TITLES[test]}: answers a second", f"Answers in each second and the number of users. In the mean: {said}.", plot.svg,
                  table_of_series(run, test, names, "answers", [("answered", " answered"), ("failed", " failed")]),
                  explained(run, test, names, crosses))


def latency_over_time(run, test):
    names = drawn(run, test, "p95_ms")
    if not names:
        return None
    plot, axes = with_users(run, test, "latency", names)
    for name in names:
        at, p50, p95 = (series(run, test, name, key) for key in ("at", "p50_ms", "p95_ms"))
        low, high = ([float("nan") if value is None else value for value in one] for one in (p50, p95))
        axes.fill_between(at, low, high, color=style(name)["color"], alpha=0.18, linewidth=0)
        plot.line(axes, name, at, p50, "p50", linewidth=0.9)
        plot.line(axes, name, at, p95, "p95")
    axes.set_yscale("log")
    logarithmic(axes.yaxis, time_label)
    axes.set_ylabel("p50 to p95, logarithmic")
    said = "; ".join(f"{run.title(name)} {milliseconds(get(run.result(test, name), 'latency_ms', 'p50'))} and "
                     f"{milliseconds(get(run.result(test, name), 'latency_ms', 'p95'))}" for name in names)
    return Figure(plot.name, f"{TITLES[test]}: latency over time",
                  f"Median and 95th percentile of latency in each second. Of the whole test: {said}.", plot.svg,
                  table_of_series(run, test, names, "latency", [("p50_ms", " p50 ms"), ("p95_ms", " p95 ms"), ("p99_ms", " p99 ms")]),
                  explained(run, test, names, "Thin line: median; thick line: 95th percentile. The 99th is in the data."))


def memory_over_time(run, test):
    names = drawn(run, test, "memory_mib")
    if not names:
        return None
    plot, axes = with_users(run, test, "memory", names)
    for name in names:
        plot.line(axes, name, series(run, test, name, "at"), series(run, test, name, "memory_mib"), "memory")
    axes.set_yscale("log")
    logarithmic(axes.yaxis, plain_number)
    axes.set_ylabel("MiB, logarithmic")
    said = "; ".join(f"{run.title(name)} {mebibytes(get(run.result(test, name), 'memory', 'end_mib'))}" for name in names)
    kind = next((get(run.result(test, name), "memory", "kind") for name in names), None)
    return Figure(plot.name, f"{TITLES[test]}: memory over time", f"Memory of all processes of each server. In the end: {said}.", plot.svg,
                  table_of_series(run, test, names, "memory", [("memory_mib", " MiB")]), explained(run, test, names, literal(kind or "")))


def shares(histogram):
    """Of a histogram, the share of requests that took at most so long."""
    total = sum(count for _, count in histogram)
    reached, result = 0, []
    for upper, count in histogram:
        reached += count
        result.append((upper, reached / total))
    return result


def distribution(run, test):
    curves = {name: shares(run.result(test, name)["histogram"]) for name in run.measured(test) if run.result(test, name).get("histogram")}
    if not curves:
        return None
    plot = Canvas(f"{test}-distribution")
    axes, = plot.axes
    for name, curve in curves.items():
        x, y = [curve[0][0] / 2 ** 0.125] + [one for one, _ in curve], [0] + [share for _, share in curve]
        plot.line(axes, name, x, y, "distribution", drawstyle="default")
    axes.set_xscale("log")
    logarithmic(axes.xaxis, time_label)
    axes.yaxis.set_major_formatter(ticker.PercentFormatter(1))
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("latency, logarithmic")
    axes.set_ylabel("requests answered by then")
    plot.legend(curves, lambda name: label(run, test, name))
    said = "; ".join(f"{run.title(name)} half within {milliseconds(get(run.result(test, name), 'latency_ms', 'p50'))}, all within "
                     f"{milliseconds(get(run.result(test, name), 'latency_ms', 'max'))}" for name in curves)
    rows = [[run.title(name), milliseconds(upper), percent(share, "{:.2f}".format)] for name, curve in curves.items() for upper, share in curve]
    return Figure(plot.name, f"{TITLES[test]}: distribution of latency", f"Share of the requests that took at most so long: {said}.", plot.svg,
                  Table(f"{TITLES[test]}: share of requests that took at most so long", ["runtime", "latency", "share"],
                        [[literal(cell) for cell in row] for row in rows]), explained(run, test, curves, "Further left is faster; steeper is steadier."))


def bars(run, name, title, values, label, caption=""):
    """One bar for each runtime that has a value, with the figure at its end."""
    missing = ", ".join(run.title(one) for one, value in values.items() if value is None)
    values = {one: value for one, value in values.items() if value is not None}
    if not values:
        return None
    caption = " ".join(filter(None, [caption, literal(f"Without a figure that counts: {missing}.") if missing else ""]))
    plot = Canvas(name, height=26 + 25 * len(values))
    draw_bars(plot, plot.axes[0], run, values, label)
    said = "; ".join(f"{run.title(one)} {label(value)}" for one, value in values.items())
    return Figure(name, title, f"{title}: {said}.", plot.svg,
                  Table(title, ["runtime", "value"], [[literal(run.title(one)), label(value)] for one, value in values.items()]), caption)


def draw_bars(plot, axes, run, values, label):
    drawn_bars = axes.barh(range(len(values)), list(values.values()), color=[style(one)["color"] for one in values], height=0.62)
    for bar, (one, value) in zip(drawn_bars, values.items()):
        plot.mark(bar, f"{one} value", 1)
        axes.annotate(label(value), (value, bar.get_y() + bar.get_height() / 2), xytext=(4, 0), textcoords="offset points",
                      va="center", fontweight="bold" if one == OURS else "normal")
    axes.set_yticks(range(len(values)), [run.short(one) for one in values])
    axes.invert_yaxis()
    axes.set_xlim(0, (max(values.values()) or 1) * 1.28)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.grid(False)


STEP_MS = 50


def answers_around(timeline):
    """From answers around a kill: for each step its start, how many were answered and how many failed."""
    first = int(min(at for at, _, _ in timeline) // STEP_MS)
    last = int(max(at for at, _, _ in timeline) // STEP_MS)
    counts = {step: [0, 0] for step in range(first, last + 1)}
    for at, _, good in timeline:
        counts[int(at // STEP_MS)][0 if good else 1] += 1
    return [(step * STEP_MS, answered, failed) for step, (answered, failed) in counts.items()]


def first_kind(run, name):
    """The kill to compare between runtimes: of the serving process."""
    kinds = run.result("recovery", name).get("summary") or [{}]
    return kinds[0]


def recovery_timeline(run):
    steps = {}
    for name in run.measured("recovery"):
        kills = [kill for kill in run.result("recovery", name).get("kills") or []
                 if kill.get("timeline") and kill.get("what") == first_kind(run, name).get("what")]
        if kills:
            steps[name] = (kills[0], answers_around(kills[0]["timeline"]))
    if not steps:
        return None
    plot = Canvas("recovery-timeline", rows=len(steps), height=40 + 66 * len(steps), sharex=True)
    for axes, (name, (kill, around)) in zip(plot.axes, steps.items()):
        draw_recovery(plot, axes, run, name, kill, around)
    plot.axes[-1].set_xlabel("seconds since the kill")
    said = "; ".join(f"{run.title(name)} {milliseconds(kill.get('next_answer_ms'))}, {kill.get('failed')} failed" for name, (kill, _) in steps.items())
    rows = [[literal(run.title(name)), number(at / 1000), str(answered), str(failed)] for name, (_, around) in steps.items()
            for at, answered, failed in around]
    return Figure(plot.name, "Answers around the kill of the serving process",
                  f"Answers in each {STEP_MS} ms around the kill with the median time to the next answer: {said}.", plot.svg,
                  Table(f"Answers around the kill, each {STEP_MS} ms", ["runtime", "s", "answered", "failed"], rows),
                  f"Each step is {STEP_MS} ms; crosses: steps in which requests failed. The vertical line is the kill. Each row has its own scale.")


def draw_recovery(plot, axes, run, name, kill, around):
    at = [start / 1000 for start, _, _ in around] + [around[-1][0] / 1000 + STEP_MS / 1000]
    answered, failed = ([step[index] for step in around] for index in (1, 2))
    good = axes.stairs(answered, at, fill=True, color=style(name)["color"], alpha=0.75)
    plot.mark(good, f"{name} answered", len(answered))
    top = max(answered) * 1.25 or 1
    lost = [start + STEP_MS / 2000 for start, value in zip(at, failed) if value]
    if lost:
        crosses, = axes.plot(lost, [top] * len(lost), linestyle="", marker="x", color=BAD, markersize=5, markeredgewidth=1.4)
        plot.mark(crosses, f"{name} failed", len(lost))
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_title(f"{run.short(name)}: next answer after {milliseconds(kill.get('next_answer_ms'))}, {kill.get('failed')} failed",
                   loc="left", fontsize=10.5, pad=3)
    axes.yaxis.set_major_locator(ticker.MaxNLocator(2, integer=True))
    axes.set_ylim(0, top * 1.2)


def squeeze_outcome(run):
    """Answered and failed requests, one bar for each runtime."""
    outcomes = {name: run.result("squeeze", name) for name in run.measured("squeeze") if get(run.result("squeeze", name), "requests") is not None}
    if not outcomes:
        return None
    plot = Canvas("squeeze-outcome", height=26 + 27 * len(outcomes))
    axes, = plot.axes
    answered = {name: one["requests"] - one["failed"] for name, one in outcomes.items()}
    draw_bars(plot, axes, run, answered, lambda _: "")
    for place, (name, one) in enumerate(outcomes.items()):
        if one["failed"]:
            bar, = axes.barh([place], [one["failed"]], left=[answered[name]], height=0.62, facecolor="none", edgecolor=BAD, hatch="////", linewidth=0.8)
            plot.mark(bar, f"{name} failed", 1)
        axes.annotate(f"{answered[name]:,}, {one['failed']:,} failed", (one["requests"], place), xytext=(4, 0), textcoords="offset points", va="center")
    axes.set_xlim(0, max(one["requests"] for one in outcomes.values()) * 1.9)
    said = "; ".join(f"{run.title(name)} {answered[name]:,} answered, {one['failed']:,} failed" for name, one in outcomes.items())
    rows = [[literal(run.title(name)), str(answered[name]), str(one["failed"])] for name, one in outcomes.items()]
    return Figure(plot.name, "Squeeze: answered and failed", f"Requests in the squeeze: {said}.", plot.svg,
                  Table("Squeeze: requests", ["runtime", "answered", "failed"], rows), "Hatched: failed.")
