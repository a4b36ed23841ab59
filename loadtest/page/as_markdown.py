"""The document as Markdown: all that is said and all tables; the drawings and their data are in the HTML page."""

import re

from .document import Cell, Figures, Items, Notice, Text, pieces

VERDICTS = {"met": "**met**", "missed": "**missed**", "open": "open"}


def write(document, picture=None):
    parts = [f"# {inline(document.title)}", inline(document.answer)]
    if picture:
        parts.append(f"![{inline(document.answer).replace('**', '')}]({picture})")
    parts += [section(one) for one in document.sections]
    parts += ["## This run", "\n".join(f"- {inline(what)}: {inline(value)}" for what, value in document.facts)]
    return "\n\n".join(parts) + "\n"


def inline(text):
    marks = {"": "{}", "strong": "**{}**", "code": "`{}`"}
    return "".join(marks[kind].format(piece if kind == "code" else escape(piece)) for kind, piece in pieces(text))


def escape(text):
    """Nothing in it is taken for Markdown or HTML."""
    text = " ".join(text.splitlines()) if "\n" in text else text
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", text)


def section(one, level="##"):
    return "\n\n".join([f"{level} {inline(one.title)}", *filter(None, map(block, one.blocks))])


def block(part):
    if isinstance(part, Text):
        return inline(part.text)
    if isinstance(part, Items):
        return items(part.items)
    if isinstance(part, Notice):
        return "\n\n".join(filter(None, [f"**{inline(part.title)}**", items(part.items)]))
    if isinstance(part, Figures):
        return ""
    return table(part)


def items(texts):
    return "\n".join(f"- {inline(one)}" for one in texts)


def table(one):
    rule = ["---" if place in (0, *one.left) else "--:" for place, _ in enumerate(one.head)]
    rows = ["| " + " | ".join(row) + " |" for row in [list(map(cell, one.head)), rule, *[list(map(cell, row)) for row in one.rows]]]
    parts = ["\n".join(rows), items(one.notes)]
    if one.folded:
        parts = [f"<details><summary>{inline(one.caption)}</summary>", *parts, "</details>"]
    else:
        parts.insert(0, f"**{inline(one.caption)}**")
    return "\n\n".join(filter(None, parts))


def cell(value):
    value = value if isinstance(value, Cell) else Cell(value)
    text = VERDICTS.get(value.verdict) or inline(value.text)
    if value.published:
        text += f" ({inline(value.published)})"
    return text + (f" *{inline(value.mark)}*" if value.mark else "")
