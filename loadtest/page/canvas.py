"""matplotlib as a maker of SVG that takes its colours from the page around it.

Everything is drawn in stand-in colours, which are replaced by CSS variables afterwards: one drawing serves light, dark and
print. Text stays text. What a line has of data can be counted in the page: its group has class "data", the name of the
series and the number of points that went in.
"""

import io
import re
import xml.etree.ElementTree as ElementTree

import matplotlib
from matplotlib import ticker
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

SVG = "http://www.w3.org/2000/svg"
LINK = "{http://www.w3.org/1999/xlink}href"
# Differ in colour, dash and marker: no one of them is needed to tell them apart.
STYLES = {
    "fibcgi": {"color": "#000001", "linestyle": "-", "marker": "o"},
    "rust": {"color": "#000002", "linestyle": (0, (5, 1.6)), "marker": "s"},
    "go": {"color": "#000003", "linestyle": (0, (6, 1.5, 1, 1.5)), "marker": "^"},
    "flask": {"color": "#000004", "linestyle": (0, (1.2, 1.2)), "marker": "D"},
    "gunicorn": {"color": "#000005", "linestyle": (0, (7, 1.5, 1, 1.5, 1, 1.5)), "marker": "v"},
}
OTHER = {"color": "#000006", "linestyle": "-", "marker": "x"}
INK, FAINT, GRID, PART, BAD = "#00000a", "#00000b", "#00000c", "#00000d", "#00000e"
VARIABLES = {**{style["color"]: f"--{name}" for name, style in STYLES.items()}, OTHER["color"]: "--other",
             INK: "--ink", FAINT: "--faint", GRID: "--grid", PART: "--part", BAD: "--bad"}
# A phone's width: the page shows two or three beside each other where there is room, and never smaller letters.
WIDTH, HEIGHT = 370, 255

matplotlib.rcParams.update({
    "svg.fonttype": "none", "svg.hashsalt": "fibcgi", "path.simplify": False, "font.family": "sans-serif", "font.size": 11,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": FAINT, "axes.labelcolor": INK, "text.color": INK,
    "axes.labelsize": 11, "xtick.labelsize": 10.5, "ytick.labelsize": 10.5, "xtick.color": FAINT, "ytick.color": FAINT,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "axes.grid": True, "grid.color": GRID, "grid.linewidth": 0.7,
    "text.parse_math": False, "axes.axisbelow": True, "lines.linewidth": 1.6, "legend.frameon": False, "legend.fontsize": 10.5, "hatch.linewidth": 0.8,
})


def style(name):
    return STYLES.get(name, OTHER)


class Canvas:
    def __init__(self, name, rows=1, columns=1, height=HEIGHT, width=WIDTH, **options):
        self.name = name
        self.figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
        self.axes = self.figure.subplots(rows, columns, squeeze=False, **options).flatten()

    def line(self, axes, name, x, y, series, **options):
        """One runtime's line; where y is None it is interrupted, and then its single points are marked."""
        look = {"linestyle": style(name)["linestyle"], "color": style(name)["color"], **options}
        if any(value is None for value in y):
            look |= {"marker": style(name)["marker"], "markersize": 2.5}
        line, = axes.plot(x, [float("nan") if value is None else value for value in y], **look)
        self.mark(line, f"{name} {series}", sum(value is not None for value in y))

    def mark(self, artist, series, points):
        """That this is data, for the tests of the page."""
        artist.set_gid(f"data:{series}:{points}")

    def legend(self, names, title_of, markers=False):
        """A key of each runtime: colour, dash, and marker where the lines have them."""
        handles = [Line2D([], [], label=title_of(name), color=style(name)["color"], linewidth=2,
                          linestyle=style(name)["linestyle"], marker=style(name)["marker"] if markers else "", markersize=5)
                   for name in names]
        self.legend_of(handles)

    def legend_of(self, handles, columns=2):
        self.figure.legend(handles=handles, loc="outside upper left", ncols=columns, handlelength=2.6, columnspacing=1.2,
                           borderaxespad=0, borderpad=0.2, labelspacing=0.25)

    def svg(self):
        output = io.StringIO()
        self.figure.savefig(output, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        return clean(output.getvalue(), self.name)


def plain_number(value, _):
    return f"{value:,.0f}" if abs(value) >= 1 or value == 0 else f"{value:g}"


def time_label(value, _):
    """Milliseconds up to a second, then seconds."""
    return f"{value / 1000:,.10g} s" if value >= 1000 else f"{value:g} ms"


def logarithmic(axis, formatter):
    """Ticks of a logarithmic axis: powers of ten, and 2 and 5 where there are few of those."""
    low, high = axis.get_view_interval()
    few = high / max(low, 1e-9) < 300
    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if few else (1,), numticks=12))
    axis.set_minor_locator(ticker.NullLocator())
    axis.set_major_formatter(ticker.FuncFormatter(formatter))


def clean(text, name):
    """The drawing as a part of a page: nothing unused, identifiers of its own, variables for colours."""
    ElementTree.register_namespace("", SVG)
    root = ElementTree.fromstring(text[text.index("<svg"):])
    for parent in list(root.iter()):
        for child in [one for one in parent if one.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style")]:
            parent.remove(child)
    used = set(re.findall(r"(?:url\(|href=\")#([^)\"]+)", text))
    for element in root.iter():
        clean_element(element, name, used)
    box = root.get("viewBox")
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.set("viewBox", " ".join(f"{float(one):g}" for one in box.split()))
    return ElementTree.tostring(root, encoding="unicode")


def clean_element(element, name, used):
    element.text = element.text if (element.text or "").strip() else None
    element.tail = None
    identifier = element.attrib.pop("id", "")
    if identifier in used:
        element.set("id", f"{name}-{identifier}")
    elif identifier.startswith("data:"):
        series, points = identifier.removeprefix("data:").rsplit(":", 1)
        element.attrib.update({"class": "data", "data-series": series, "data-points": points})
    for key, value in list(element.attrib.items()):
        if key == LINK:
            del element.attrib[key]
            element.set("href", value.replace("#", f"#{name}-"))
        elif key == "style":
            element.set(key, colours(value))
        elif key == "clip-path":
            element.set(key, value.replace("#", f"#{name}-"))
        elif key in ("d", "transform", "x", "y"):
            element.set(key, short(value))
    if element.get("transform", "").startswith("rotate(-0 "):
        del element.attrib["transform"]


def short(coordinates):
    """A tenth of a pixel is enough."""
    coordinates = re.sub(r"(\.\d)\d+", r"\1", " ".join(coordinates.split()))
    return re.sub(r" ?([MLCQz]) ?", r"\1", coordinates).replace(".0 ", " ")


def colours(value):
    """A style with the page's colours and letters."""
    value = re.sub(r"font-family: [^;]*; ?", "", value)
    return re.sub(r"#0000[0-9a-f]{2}\b", lambda match: f"var({VARIABLES.get(match[0], '--ink')})", value)
