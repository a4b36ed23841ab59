"""Documents with regions that the report fills: between <!-- report: NAME --> and <!-- end of report -->."""

import re

from . import as_markdown
from .document import Text
from .summary import conditions, overview

REGION = re.compile(r"(<!-- report: (\w+) -->\n).*?(<!-- end of report -->)", re.S)


class NoRegion(Exception):
    pass


def fill(path, run, page, picture):
    text = path.read_text(encoding="utf-8")
    contents = {"summary": lambda: summary(run, page, picture), "results": lambda: results(page, picture)}
    unknown = [name for _, name, _ in REGION.findall(text) if name not in contents]
    if unknown or not REGION.search(text):
        raise NoRegion(f"{path}: there is no region <!-- report: summary --> or <!-- report: results -->" + (f", but {unknown[0]}" if unknown else ""))
    return REGION.sub(lambda match: f"{match[1]}\n{contents[match[2]]()}\n\n{match[3]}", text)


def shown(page, picture):
    answer = as_markdown.inline(page.answer)
    return [answer, f"![{answer.replace('**', '')}]({picture})"] if picture else [answer]


def summary(run, page, picture):
    """In few lines: which, by how much, and where it was measured."""
    return "\n\n".join([*shown(page, picture), as_markdown.table(overview(run)), as_markdown.block(Text(conditions(run)))])


def results(page, picture):
    facts = "\n".join(f"- {as_markdown.inline(what)}: {as_markdown.inline(value)}" for what, value in page.facts)
    return "\n\n".join([*shown(page, picture), facts, *[as_markdown.section(one, "###") for one in page.sections]])
