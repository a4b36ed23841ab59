"""Command line of the report; loadtest/report calls it."""

import argparse
import os
import sys
from pathlib import Path

from . import as_html, as_markdown, picture, regions
from .results import NotReadable, read
from .summary import document


def arguments():
    parser = argparse.ArgumentParser(prog="report", description="A page from what make loadtest and make bench measured. Without options: report.html, "
                                     "report.md and summary.svg beside RUN.")
    parser.add_argument("run", metavar="RUN", type=Path, help="results.json")
    parser.add_argument("--html", metavar="FILE", type=Path, help="the page, one file")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="the same as Markdown")
    parser.add_argument("--svg", metavar="FILE", type=Path, help="the summary as a picture")
    parser.add_argument("--into", metavar="FILE", type=Path, action="append", default=[], help="fill the marked regions of this document")
    return parser.parse_args()


def main():
    wanted = arguments()
    if not (wanted.html or wanted.markdown or wanted.svg or wanted.into):
        wanted.html, wanted.markdown, wanted.svg = (wanted.run.with_name(name) for name in ("report.html", "report.md", "summary.svg"))
    try:
        run = read(wanted.run)
        write(run, document(run), wanted)
    except NotReadable as error:
        sys.exit(f"report: {wanted.run}: {error}")
    except (OSError, regions.NoRegion) as error:
        sys.exit(f"report: {error}")


def write(run, page, wanted):
    if wanted.svg and (drawing := picture.draw(run)):
        put(wanted.svg, drawing)
    if wanted.html:
        put(wanted.html, as_html.write(page))
    if wanted.markdown:
        put(wanted.markdown, as_markdown.write(page, beside(wanted.svg, wanted.markdown)))
    for path in wanted.into:
        put(path, regions.fill(path, run, page, beside(wanted.svg, path)))


def beside(picture_path, path):
    """The picture as seen from another file, or None where there is none."""
    return os.path.relpath(picture_path, path.parent) if picture_path and picture_path.exists() else None


def put(path, text):
    """All of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
    print(path)


main()
