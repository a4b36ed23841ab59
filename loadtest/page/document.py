"""What a report consists of, whichever way it is written down.

Text is plain text with **strong** and `code` in it; what comes from the results goes through literal() before.
"""

import re
from dataclasses import dataclass, field
from typing import Callable


def literal(text):
    """Text from outside, so that nothing in it is taken for a mark."""
    return re.sub(r"([\\*`])", r"\\\1", str(text))


def pieces(text):
    """The text as (kind, text) with kind "", "strong" or "code"."""
    kinds = {"*": "strong", "`": "code"}
    for strong, code, escaped, plain in re.findall(r"\*\*((?:\\.|[^*\\])+)\*\*|`((?:\\.|[^`\\])+)`|\\(.)|([^\\*`]+|[*`\\])", text, re.S):
        if strong or code:
            yield kinds["*" if strong else "`"], re.sub(r"\\(.)", r"\1", strong or code)
        else:
            yield "", escaped or plain


@dataclass
class Cell:
    text: str
    published: str = ""     # the published figure that stands beside it
    runtime: str = ""       # a row's head: whose colour it has
    verdict: str = ""       # "met", "missed", "open"
    mark: str = ""          # refers to a note below the table


@dataclass
class Table:
    caption: str
    head: list
    rows: list              # of lists of Cell or str; the first one is the row's head
    notes: list = field(default_factory=list)
    left: tuple = ()        # the columns of words rather than numbers
    folded: bool = False    # shown when asked for


@dataclass
class Figure:
    name: str               # unique in the document
    title: str
    alt: str                # what a person sees in it, for those who do not see it
    svg: Callable           # draws it: only a page needs that, and it takes its time
    data: Table             # what is drawn
    caption: str = ""


@dataclass
class Figures:
    figures: list


@dataclass
class Text:
    text: str


@dataclass
class Items:
    items: list


@dataclass
class Notice:
    kind: str               # "warning" or "truth"
    title: str
    items: list


@dataclass
class Section:
    name: str
    title: str
    blocks: list


@dataclass
class Document:
    title: str
    answer: str             # which, and by how much
    facts: list             # short pairs of (what, value) about the run
    sections: list
