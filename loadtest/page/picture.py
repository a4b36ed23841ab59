"""The summary as a picture that stands alone, for README."""

from pathlib import Path

from .canvas import Canvas
from .document import pieces
from .plots import draw_bars
from .summary import TITLE, answer, panel_data

STYLE = Path(__file__).with_name("colours.css")


def draw(run):
    """None where there is nothing to draw."""
    panels = [(title, {name: value for name, value in values.items() if value is not None}, label, caption)
              for _, title, values, label, caption in panel_data(run)]
    panels = [panel for panel in panels if panel[1]]
    if not panels:
        return None
    lines = -(-len(panels) // 2)
    plot = Canvas("summary", rows=lines, columns=2, width=820, height=20 + lines * 175)
    plot.figure.get_layout_engine().set(w_pad=0.1, h_pad=0.12, hspace=0.06, wspace=0.03)
    for axes, (title, values, label, caption) in zip(plot.axes, panels):
        draw_bars(plot, axes, run, values, label)
        axes.set_title(f"{title}\n{caption}", loc="left", fontsize=11.5, pad=6)
    for axes in plot.axes[len(panels):]:
        axes.set_visible(False)
    return stand_alone(plot.svg(), "".join(piece for _, piece in pieces(answer(run))))


def stand_alone(svg, said):
    opening, rest = svg.split(">", 1)
    colours = STYLE.read_text(encoding="utf-8").replace(":root", "svg")
    letters = "svg { font-family: system-ui, sans-serif; background: var(--paper) }"
    described = f'<title id="title">{escaped(TITLE)}</title><desc id="said">{escaped(said)}</desc>'
    return f'{opening} role="img" aria-labelledby="title said">{described}<style>\n{colours}{letters}\n</style>{rest}\n'


def escaped(text):
    return text.replace("&", "&amp;").replace("<", "&lt;")
