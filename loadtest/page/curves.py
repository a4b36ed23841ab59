"""The drawings of the saturation: one figure over the CPU limits or over the numbers of connections, and where the CPU time
of a request goes."""

import statistics
from dataclasses import dataclass
from typing import Callable

from .canvas import FAINT, INK, PART, Canvas, Line2D, logarithmic, plain_number, style, ticker, time_label
from .document import Figure, Table, literal
from .results import get
from .units import cpus, milliseconds, number, percent


@dataclass
class Curve:
    name: str
    title: str
    over: str               # "millicpu" or "connections"
    at: int                 # the value of the other one
    key: str                # what of a case
    unit: str               # the title of its axis
    label: Callable         # number → text
    scale: Callable         # sets the axis up
    ceiling: bool = False   # draw the bare fib loop, too

    def place(self, millicpu, connections):
        """Where a case stands, or None where it is not in this curve."""
        if self.over == "millicpu":
            return millicpu if connections == self.at else None
        return connections if millicpu == self.at else None

    def x_label(self, value):
        return cpus(value) if self.over == "millicpu" else f"{value:,}"


def logarithmic_rate(axes):
    axes.set_yscale("log")
    logarithmic(axes.yaxis, plain_number)


def logarithmic_time(axes):
    axes.set_yscale("log")
    logarithmic(axes.yaxis, time_label)


def share_of_all(axes):
    axes.set_ylim(0, 1.05)
    axes.yaxis.set_major_formatter(ticker.PercentFormatter(1))


CURVES = [
    Curve("throughput-limit", "Requests a second against the CPU limit, 100 connections", "millicpu", 100, "per_second", "requests a second, logarithmic",
          number, logarithmic_rate, ceiling=True),
    Curve("ceiling-limit", "Share of the fib ceiling, 100 connections", "millicpu", 100, "of_ceiling", "of the fib ceiling", percent, share_of_all),
    Curve("throughput-connections", "Requests a second against the connections, 500m", "connections", 500, "per_second", "requests a second, logarithmic",
          number, logarithmic_rate),
    Curve("latency-connections", "95th percentile of latency against the connections, 500m", "connections", 500, "p95_ms", "p95, logarithmic",
          milliseconds, logarithmic_time),
]


def points_of(run, curve, name):
    """(place, median, lowest, highest) of the runtime's cases on the curve, in order."""
    points = []
    for (millicpu, connections, runtime), case in run.cases.items():
        place = curve.place(millicpu, connections)
        if runtime == name and place is not None and get(case, curve.key, "median") is not None:
            points.append((place, *(get(case, curve.key, bound) for bound in ("median", "low", "high"))))
    return sorted(points)


def ceilings(run, curve):
    """(place, median) of the bare fib loop that was measured between the rounds."""
    found = {}
    for (millicpu, connections, _), case in run.cases.items():
        place = curve.place(millicpu, connections)
        if place is not None:
            found.setdefault(place, []).extend(one["ceiling"] for one in case.get("rounds") or [] if one.get("ceiling"))
    return sorted((place, statistics.median(values)) for place, values in found.items() if values)


def draw_curve(run, curve):
    lines = {name: points for name in run.names() if (points := points_of(run, curve, name))}
    if not lines:
        return None
    plot = Canvas(curve.name, height=270)
    axes, = plot.axes
    for name, points in lines.items():
        x, y, low, high = zip(*points)
        axes.fill_between(x, low, high, color=style(name)["color"], alpha=0.2, linewidth=0)
        plot.line(axes, name, x, y, curve.key, marker=style(name)["marker"], markersize=4.5)
    if curve.ceiling and ceilings(run, curve):
        line, = axes.plot(*zip(*ceilings(run, curve)), color=INK, linewidth=0.9, linestyle=(0, (1, 1)))
        plot.mark(line, "ceiling", len(ceilings(run, curve)))
    set_up(axes, curve, sorted({place for points in lines.values() for place, *_ in points}))
    plot.legend(lines, run.short, markers=True)
    last = "; ".join(f"{run.title(name)} {curve.label(points[-1][1])} at {curve.x_label(points[-1][0])}" for name, points in lines.items())
    return Figure(curve.name, curve.title, f"{curve.title}: {last}.", plot.svg, table_of(run, curve, lines),
                  "Band: from the lowest to the highest round." + (" Dotted: the bare fib loop under the same limit." if curve.ceiling else ""))


def set_up(axes, curve, places):
    axes.set_xscale("log")
    axes.set_xticks(places, [curve.x_label(place) for place in places])
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.set_xlabel("CPU limit, logarithmic" if curve.over == "millicpu" else "connections, logarithmic")
    axes.set_ylabel(curve.unit)
    curve.scale(axes)


def table_of(run, curve, lines):
    rows = [[literal(run.title(name)), curve.x_label(place), *map(curve.label, values)] for name, points in lines.items() for place, *values in points]
    if curve.ceiling:
        rows += [["bare fib loop", curve.x_label(place), curve.label(value), "", ""] for place, value in ceilings(run, curve)]
    return Table(curve.title, ["runtime", "CPU limit" if curve.over == "millicpu" else "connections", "median", "lowest round", "highest round"], rows)


def cost_of(run, name):
    """Of a request: microseconds of CPU for fib, and for all else; or None, also where either is nothing, which no request is."""
    parts = get(run.costs, name, "parts_us") or {}
    fib, rest = parts.get("fib") or 0, sum(value for part, value in parts.items() if part != "fib" and value is not None)
    return (fib, rest) if fib > 0 and rest > 0 else None


# Times what the cheapest takes: who takes longer for fib would leave no bar to be seen of the others.
FIB_MOST = 10


def draw_costs(run):
    """Bars of fib and of all else; who takes that much longer is told in the caption and not drawn."""
    costs = {name: cost_of(run, name) for name in run.names() if cost_of(run, name)}
    if not costs:
        return None
    cheapest = min(costs.values(), key=sum)
    shown = {name: cost for name, cost in costs.items() if cost[0] <= FIB_MOST * cheapest[0]}
    plot = Canvas("costs", height=64 + 30 * len(shown))
    axes, = plot.axes
    for place, (name, (fib, rest)) in enumerate(shown.items()):
        draw_cost(plot, axes, place, name, fib, rest)
    axes.set_yticks(range(len(shown)), [run.short(name) for name in shown])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, max(sum(cost) for cost in shown.values()) * 1.5)
    axes.set_xlabel("µs of CPU a request")
    axes.grid(False, axis="y")
    plot.legend_of([Line2D([], [], color=FAINT, linewidth=8, label="fib(30): language and compiler"),
                    Line2D([], [], color=PART, linewidth=8, label="all else: the server")], columns=2)
    return figure_of_costs(run, plot, costs, shown)


def draw_cost(plot, axes, place, name, fib, rest):
    first, = axes.barh([place], [fib], height=0.62, color=style(name)["color"], alpha=0.45)
    plot.mark(first, f"{name} fib", 1)
    second, = axes.barh([place], [rest], left=[fib], height=0.62, color=PART)
    plot.mark(second, f"{name} rest", 1)
    axes.annotate(f"{number(fib)} + {number(rest)} µs", (fib + rest, place), xytext=(4, 0), textcoords="offset points", va="center")


def figure_of_costs(run, plot, costs, shown):
    said = "; ".join(f"{run.title(name)} {number(fib)} µs for fib and {number(rest)} µs for all else" for name, (fib, rest) in costs.items())
    left_out = [f"{run.title(name)} ({number(fib)} + {number(rest)} µs)" for name, (fib, rest) in costs.items() if name not in shown]
    rows = [[literal(run.title(name)), f"{fib:,.1f}", f"{rest:,.1f}"] for name, (fib, rest) in costs.items()]
    return Figure("costs", "CPU time of a request: fib and all else", f"CPU time of a request: {said}.", plot.svg,
                  Table("CPU time of a request, data", ["runtime", "fib(30), µs", "all else, µs"], rows),
                  literal(f"Too long for this scale: {', '.join(left_out)}.") if left_out else "")
