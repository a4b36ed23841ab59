"""The document as one HTML file: its style and drawings in it, no script, nothing to load."""

import html
from pathlib import Path
from string import Template

from .document import Cell, Figures, Items, Notice, Text, pieces

HERE = Path(__file__).parent
VERDICTS = {"met": "✓ met", "missed": "✗ missed", "open": "– open"}


def write(document):
    template = Template(HERE.joinpath("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=inline(document.title), answer=inline(document.answer),
        style="".join(HERE.joinpath(name).read_text(encoding="utf-8") for name in ("colours.css", "style.css")),
        links="".join(f'<li><a href="#{html.escape(one.name)}">{inline(one.title)}</a></li>' for one in document.sections),
        sections="".join(map(section, document.sections)),
        facts="".join(f"<div><dt>{inline(what)}</dt><dd>{inline(value)}</dd></div>" for what, value in document.facts))


def inline(text):
    """Text with its marks; everything else is escaped."""
    tags = {"": "{}", "strong": "<strong>{}</strong>", "code": "<code>{}</code>"}
    return "".join(tags[kind].format(html.escape(piece)) for kind, piece in pieces(text))


def section(one):
    return f'<section id="{html.escape(one.name)}">\n<h2>{inline(one.title)}</h2>\n{"".join(block(part, one) for part in one.blocks)}</section>\n'


def block(part, of):
    if isinstance(part, Text):
        return f"<p>{inline(part.text)}</p>\n"
    if isinstance(part, Items):
        return items(part.items)
    if isinstance(part, Notice):
        label = html.escape(f"{part.title}: {of.title}")
        return f'<aside class="{part.kind}" aria-label="{label}"><h3>{inline(part.title)}</h3>{items(part.items)}</aside>\n'
    if isinstance(part, Figures):
        return f'<div class="figures">\n{"".join(figure(one) for one in part.figures)}</div>\n'
    return table(part)


def items(texts, kind="points"):
    return f"<ul class={kind}>{''.join(f'<li>{inline(one)}</li>' for one in texts)}</ul>\n" if texts else ""


def figure(one):
    """The drawing, what it shows for those who do not see it, and its data."""
    label = f'<svg role="img" aria-labelledby="{one.name}-title {one.name}-alt" data-figure="{one.name}" '
    described = (f'<title id="{one.name}-title">{html.escape(plain(one.title))}</title><desc id="{one.name}-alt">{html.escape(one.alt)}</desc>')
    opening, rest = one.svg().split(">", 1)
    drawing = label + opening.removeprefix("<svg ") + ">" + described + rest
    caption = f"<span>{inline(one.caption)}</span>" if one.caption else ""
    return (f'<figure id="{one.name}">\n<figcaption><h3>{inline(one.title)}</h3>{caption}</figcaption>\n{drawing}\n'
            f'<details><summary>Data<span class="of">: {inline(one.title)}</span></summary>{table(one.data)}</details>\n</figure>\n')


def plain(text):
    return "".join(piece for _, piece in pieces(text))


def table(one):
    head = "".join(f'<th scope="col"{words(place in one.left)}>{inline(text)}</th>' if text else "<td></td>" for place, text in enumerate(one.head))
    rows = "".join("<tr>" + "".join(cell(value, place == 0, place in one.left) for place, value in enumerate(row)) + "</tr>\n" for row in one.rows)
    shown = (f'<div class="table" role="region" tabindex="0" aria-label="{html.escape(plain(one.caption))}">'
             f"<table><caption>{inline(one.caption)}</caption><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>\n"
             + items(one.notes, "notes"))
    return f"<details><summary>{inline(one.caption)}</summary>{shown}</details>\n" if one.folded else shown


def words(are_words):
    return ' class="words"' if are_words else ""


def cell(value, is_head, are_words):
    value = value if isinstance(value, Cell) else Cell(value)
    text = inline(VERDICTS.get(value.verdict, value.text))
    if value.published:
        text += f' <small>({inline(value.published)})</small>'
    if value.mark:
        text += f' <em class="mark">{inline(value.mark)}</em>'
    if is_head:
        key = f'<i class="key {html.escape(value.runtime)}"></i>' if value.runtime else ""
        return f'<th scope="row">{key}{text}</th>'
    return f'<td class="{value.verdict}">{text}</td>' if value.verdict else f"<td{words(are_words)}>{text}</td>"
