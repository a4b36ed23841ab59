#!/usr/bin/env python3
"""page.py CHECK PAGE [RUN]: opens the report in a headless Chromium and checks one thing; says what is wrong and fails.

CHECK is one of the functions below that begin with check_. RUN is the file of results that the page was made from.
"""

import base64
import json
import os
import re
import sys
from pathlib import Path

from browser import Browser


def check_console(browser, _):
    """Nothing is reported to the console, and nothing in the page is a script."""
    browser.open()
    yield from browser.complaints()
    if browser.ask("return document.scripts.length"):
        yield "the page has a script"


def check_offline(browser, _):
    """Nothing but the file itself is asked for."""
    browser.open()
    browser.ask("document.querySelectorAll('details').forEach(one => one.open = true)")
    asked = browser.asked_for()
    if browser.url not in asked:
        yield "what the page asks for was not seen"
    yield from (f"the page asks for {url[:90]}" for url in asked if url != browser.url and not url.startswith("data:"))


# Points of a line are the places its path goes to; points without a line are marks that are used.
COUNT = """
return [...document.querySelectorAll('svg .data')].map(group => ({
    figure: group.closest('svg').dataset.figure, series: group.dataset.series, said: +group.dataset.points,
    path: [...group.querySelectorAll(':scope > path, :scope > g > path')]
        .reduce((sum, path) => sum + (path.getAttribute('d').match(/[ML]/g) || []).length, 0),
    marks: group.querySelectorAll('use').length,
    width: group.getBoundingClientRect().width, height: group.getBoundingClientRect().height}))
"""


def values(series, key):
    return sum(value is not None for value in series[key])


def expected_points(run):
    """(figure, series) → number of points, by the file of results."""
    points = {}
    for one in run["loadtest"]["results"]:
        test, name, series = one["test"], one["runtime"], one.get("series")
        if series:
            points |= {(f"{test}-throughput", f"{name} answered"): values(series, "answered"), (f"{test}-latency", f"{name} p50"): values(series, "p50_ms"),
                       (f"{test}-latency", f"{name} p95"): values(series, "p95_ms"), (f"{test}-memory", f"{name} memory"): values(series, "memory_mib")}
        if one.get("histogram"):
            points[f"{test}-distribution", f"{name} distribution"] = len(one["histogram"]) + 1
    for figure, fixed, at, key in (("throughput-limit", "connections", 100, "per_second"), ("ceiling-limit", "connections", 100, "of_ceiling"),
                                   ("throughput-connections", "millicpu", 500, "per_second"), ("latency-connections", "millicpu", 500, "p95_ms")):
        for name in {case["runtime"] for case in run["bench"]["cases"]}:
            points[figure, f"{name} {key}"] = sum(case[fixed] == at for case in run["bench"]["cases"] if case["runtime"] == name)
    return points


def expected_bars(run):
    names = [one["name"] for one in run["loadtest"]["runtimes"]]
    figures = ["panel-throughput", "panel-latency", "panel-memory", "panel-recovery", "image", "memory-after", "start", "squeeze-outcome"]
    return {(figure, f"{name} value") for figure in figures for name in names} | {("recovery-timeline", f"{name} answered") for name in names}


def check_data(browser, run):
    """Every drawing has each runtime's data: as many points as the file of results, and not drawn into nothing."""
    browser.open()
    drawn = {(one["figure"], one["series"]): one for one in browser.ask(COUNT)}
    for place, points in expected_points(run).items():
        found = max(drawn[place]["path"], drawn[place]["marks"]) if place in drawn else 0
        if found != points:
            yield f"{place}: {found} points, not {points}"
    for place in expected_bars(run):
        if place not in drawn or not drawn[place]["height"]:
            yield f"{place}: not drawn"
    yield from (f"{place}: drawn into nothing" for place, one in drawn.items() if not one["width"] and not one["height"])
    yield from check_tables(browser)


def check_tables(browser):
    """Behind every drawing is a table, and every drawing has a title and a description."""
    bad = browser.ask("""return [...document.querySelectorAll('figure')].filter(figure =>
        !figure.querySelector('details tbody tr') || !figure.querySelector('figcaption h3').textContent ||
        !figure.querySelector('svg > title').textContent ||
        figure.querySelector('svg > desc').textContent.length < 30).map(figure => figure.id)""")
    yield from (f"figure {name} has no table, title or description" for name in bad)


def check_width(browser, _):
    """A phone has nothing to scroll sideways but tables, whether or not the data is unfolded; no label is cut off."""
    for width in (320, 360, 768, 1280):
        browser.open(width)
        for unfolded in (False, True):
            browser.ask("document.querySelectorAll('details').forEach(one => one.open = arguments[0])", unfolded)
            if (wide := browser.ask("return document.documentElement.scrollWidth")) > width:
                yield f"at {width} pixels the page is {wide} wide (data unfolded: {unfolded})"
    browser.open(360)
    yield from browser.ask("""return [...document.querySelectorAll('figure > svg')].flatMap(svg => [...svg.querySelectorAll('text')].filter(text => {
        const box = text.getBoundingClientRect(), all = svg.getBoundingClientRect();
        return box.left < all.left - 2 || box.right > Math.min(all.right + 3, 359) || box.top < all.top - 2 || box.bottom > all.bottom + 2
    }).map(text => `${svg.dataset.figure}: "${text.textContent}" is cut off`))""")
    small = browser.ask("return Math.min(...[...document.querySelectorAll('figure > svg text')].map(text => text.getBoundingClientRect().height))")
    if small < 9:
        yield f"letters {small} pixels high"


COLOURS = """
const shown = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const rgb = colour => {
    shown.fillStyle = colour;
    shown.fillRect(0, 0, 1, 1);
    return [...shown.getImageData(0, 0, 1, 1).data].slice(0, 3);
};
const style = element => getComputedStyle(element);
const paper = rgb(style(document.documentElement).backgroundColor);
const lines = [...document.querySelectorAll('svg .data path, svg .data use')].filter(one => !one.closest('defs'))
    .flatMap(path => [style(path).stroke, style(path).fill]).filter(one => one.startsWith('rgb('));
return {paper, lines: [...new Set(lines)].map(rgb), text: [...new Set([...document.querySelectorAll('svg text')].map(one => style(one).fill))].map(rgb)}
"""


def luminance(colour):
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in (one / 255 for one in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def check_contrast(browser, _):
    """WCAG 2: what is drawn has 3 : 1 against the paper, letters 4.5 : 1, in light and in dark, and these do differ."""
    papers = set()
    for scheme in ("light", "dark"):
        browser.open(scheme=scheme)
        found = browser.ask(COLOURS)
        papers.add(tuple(found["paper"]))
        if len(found["lines"]) < 5:
            yield f"{scheme}: only {len(found['lines'])} colours are drawn with"
        for what, least in (("lines", 3), ("text", 4.5)):
            yield from (f"{scheme}: {what} of {colour} on {found['paper']}: {contrast(colour, found['paper']):.2f} : 1"
                        for colour in found[what] if contrast(colour, found["paper"]) < least)
    if len(papers) != 2:
        yield "light and dark have the same paper"


def check_print(browser, _):
    """Prints on a few pages, dark on white, also where the screen is dark."""
    browser.open(scheme="dark")
    printed = base64.b64decode(browser.driver.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})["data"])
    pages = len(re.findall(rb"/Type\s*/Page\b(?!s)", printed))
    if not 4 <= pages <= 25:
        yield f"prints on {pages} pages"
    browser.open(scheme="dark", media="print")
    paper, ink = browser.ask("const style = getComputedStyle(document.documentElement); return [style.backgroundColor, style.color]")
    if paper not in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)") or contrast([int(one) for one in re.findall(r"\d+", ink)[:3]], [255] * 3) < 7:
        yield f"prints {ink} on {paper}"


def check_axe(browser, _):
    """axe-core finds nothing serious, in light and dark, on a desk and on a phone, with the data unfolded."""
    axe = Path(os.environ["NODE_MODULES"], "axe-core/axe.min.js").read_text(encoding="utf-8")
    for width, scheme in ((1280, "light"), (1280, "dark"), (360, "light")):
        browser.open(width, scheme)
        browser.ask("document.querySelectorAll('details').forEach((one, place) => one.open = place % 4 == 0)")
        browser.driver.set_script_timeout(120)
        browser.ask(axe)
        found = browser.driver.execute_async_script("axe.run(document, {resultTypes: ['violations', 'passes']}).then(arguments[0])")
        if not found["passes"]:
            yield "axe has checked nothing"
        yield from (f"{width} {scheme}: {one['impact']}: {one['help']} ({one['nodes'][0]['html'][:150]})" for one in found["violations"]
                    if one["impact"] in ("moderate", "serious", "critical"))


def check_hostile(browser, _):
    """Text of the results is shown as it is; none of it becomes a part of the page."""
    browser.open()
    counts = browser.ask("return [document.images.length, document.scripts.length, document.querySelectorAll('[onerror], a:not([href^=\"#\"])').length]")
    if any(counts):
        yield f"images, scripts, links out of the text: {counts}"
    strange = "<img src=x onerror=alert(1)> | **bold** `code` $x^2$ \\ [link](http://192.0.2.1/)"
    seen = browser.ask("return document.body.textContent.split(arguments[0]).length - 1", strange)
    if seen < 10:
        yield f"the text is there {seen} times"
    yield from check_width(browser, None)


def main():
    run = json.loads(Path(sys.argv[3]).read_text(encoding="utf-8")) if len(sys.argv) > 3 else None
    with Browser(Path(sys.argv[2]).resolve().as_uri()) as browser:
        problems = list(globals()[f"check_{sys.argv[1]}"](browser, run))
    print("\n".join(problems[:20]))
    sys.exit(bool(problems))


main()
