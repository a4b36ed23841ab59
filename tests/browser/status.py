#!/usr/bin/env python3
"""status.py CHECK URL [ARGUMENT]: opens the status page in a headless Chromium and checks one thing; says what is wrong and fails.

CHECK is one of the functions below that begin with check_.
"""

import os
import sys
import time
from pathlib import Path

from browser import Browser
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

PATIENCE = 20


class StatusPage(Browser):
    def open(self, width=1280, scheme="light", media=""):
        super().open(width, scheme, media)
        self.wait(lambda: self.word() not in ("Loading", ""), "the page shows no state")

    def word(self):
        return self.ask("return document.getElementById('word').textContent")

    def figure(self, title):
        """The first figure of the tile with that title."""
        return self.ask("return [...document.querySelectorAll('.tile')].find(one => one.querySelector('h2').textContent === arguments[0])"
                        ".querySelector('b').textContent", title)

    def wait(self, holds, otherwise):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if holds():
                return True
            time.sleep(0.05)
        raise TimeoutError(otherwise)


def check_load(browser, _):
    """While requests are served, the figures and curves change, and nothing is said in the console."""
    browser.open()
    browser.wait(lambda: browser.figure("Requests a second") not in ("0", "–"), "no request is seen")
    first = browser.ask("return document.querySelector('#workers td:nth-child(4)').textContent")
    browser.wait(lambda: browser.ask("return document.querySelector('#workers td:nth-child(4)').textContent") != first, "the worker's requests stand still")
    browser.wait(lambda: browser.figure("Latency") != "–", "there is no latency")
    browser.wait(lambda: len(browser.ask("return document.querySelector('path').getAttribute('d')")) > 30, "the curve does not grow")
    for label in browser.ask("return [...document.querySelectorAll('svg')].map(one => one.getAttribute('aria-label'))"):
        if "at most" not in label and not label.startswith("Throttled"):
            yield f"a curve is called {label}"
    yield from browser.complaints()


def check_saturated(browser, _):
    """Where somebody waits all the time, it says so, and so does the title, and how many wait."""
    browser.open()
    browser.wait(lambda: browser.word() == "Saturated", "it does not say that the pool is saturated")
    browser.wait(lambda: browser.figure("Waiting for a worker") not in ("0", "–"), "nobody is seen to wait")
    if "Saturated" not in browser.driver.title:
        yield f"the title is {browser.driver.title}"
    yield from browser.complaints()


def check_death(browser, pid):
    """A worker that is killed while the page is open becomes an event, and its successor's row says why."""
    browser.open()
    os.kill(int(pid), 9)
    browser.wait(lambda: f"(pid {pid}) was killed by signal 9" in browser.ask("return document.getElementById('events').firstChild.textContent"),
                 "there is no event of the killed worker")
    browser.wait(lambda: browser.ask("return document.querySelector('#workers td:last-child').textContent") == "signal 9", "its row does not say why it is new")
    if browser.ask("return document.querySelector('#events li').className") != "warning":
        yield "the event is no warning"
    yield from browser.complaints()


def check_absence(browser, pid):
    """Where the pool has gone, the page says that what it shows is old."""
    browser.open()
    os.kill(int(pid), 9)
    browser.wait(lambda: browser.word() == "No answer", "it does not say that there is no answer")


def check_keyboard(browser, _):
    """Tab reaches what can be used, in the order of the page; Enter stops the page and sets it going again."""
    browser.open()
    order = []
    for _step in range(4):
        ActionChains(browser.driver).send_keys(Keys.TAB).perform()
        order.append(browser.ask("return document.activeElement.id || document.activeElement.getAttribute('role') || document.activeElement.textContent"))
    if order != ["pause", "region", "JSON", "metrics"]:
        yield f"Tab goes to {order}"
    browser.ask("document.getElementById('pause').focus()")
    ActionChains(browser.driver).send_keys(Keys.ENTER).perform()
    time.sleep(0.5)  # what was asked before has been answered
    if browser.ask("return document.getElementById('pause').getAttribute('aria-pressed')") != "true":
        yield "the button does not say that it is pressed"
    stopped = browser.ask("return document.getElementById('updated').textContent")
    time.sleep(2.5)
    if browser.ask("return document.getElementById('updated').textContent") != stopped:
        yield "the page goes on while it is paused"
    ActionChains(browser.driver).send_keys(Keys.ENTER).perform()
    browser.wait(lambda: browser.ask("return document.getElementById('updated').textContent") != stopped, "the page does not go on")


def check_quiet(browser, _):
    """What a screen reader is to say by itself changes with the state and not with each figure."""
    browser.open()
    browser.ask("""window.said = 0;
        new MutationObserver(changes => window.said += changes.length)
            .observe(document.getElementById('word'), {childList: true, characterData: true, subtree: true})""")
    updated = browser.ask("return document.getElementById('updated').textContent")
    for _round in range(3):
        browser.wait(lambda: browser.ask("return document.getElementById('updated').textContent") != updated, "the page stands still")
        updated = browser.ask("return document.getElementById('updated').textContent")
    if said := browser.ask("return window.said"):
        yield f"it was said {said} times in three seconds"
    live = browser.ask("return document.querySelectorAll('[aria-live], [role=status], [role=alert], [role=log]').length")
    if live != 1:
        yield f"there are {live} live regions"


def check_axe(browser, modules):
    """axe-core finds nothing serious, in light and in dark, wide and narrow."""
    axe = (Path(modules) / "axe-core/axe.min.js").read_text()
    for width in (360, 1280):
        for scheme in ("light", "dark"):
            browser.open(width, scheme)
            browser.wait(lambda: browser.ask("return document.querySelectorAll('#workers tr').length") > 0, "there is no worker")
            # The page's policy lets no script in; the browser's own way is none of the page's.
            browser.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": axe})
            found = browser.driver.execute_async_script("axe.run().then(arguments[0])")
            if not found["passes"]:
                yield "axe has looked at nothing"
            for one in found["violations"]:
                if one["impact"] in ("serious", "critical"):
                    yield f"{scheme}, {width} pixels: {one['id']}: {one['help']}: {[node['html'][:80] for node in one['nodes'][:3]]}"


def check_width(browser, _):
    """A phone has nothing to scroll sideways but the table of workers, and nothing is cut off."""
    for width in (320, 360, 768, 1280):
        browser.open(width)
        browser.wait(lambda: browser.figure("Latency") != "–", "there is no latency")
        if (wide := browser.ask("return document.documentElement.scrollWidth")) > width:
            yield f"at {width} pixels the page is {wide} wide"
        cut = browser.ask("return [...document.querySelectorAll('.tile, #state, header')].filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.textContent)")
        yield from (f"at {width} pixels this is cut off: {part}" for part in cut)


def check_alone(browser, _):
    """Nothing is asked for but the page and its figures, from where it came from."""
    browser.open()
    browser.wait(lambda: browser.figure("CPU used") != "–", "there are no figures")
    asked = browser.asked_for()
    if browser.url not in asked:
        yield "what the page asks for was not seen"
    yield from (f"the page asks for {url}" for url in asked if not url.startswith((browser.url, "data:")))
    yield from browser.complaints()


def check_rows(browser, count):
    """There is a row for each worker."""
    browser.open()
    browser.wait(lambda: browser.ask("return document.querySelectorAll('#workers tr').length") == int(count), f"there are not {count} rows")
    yield from browser.complaints()


def check_pictures(browser, folder):
    """Leaves pictures for people to look at."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, width, scheme in (("light", 1280, "light"), ("dark", 1280, "dark"), ("phone", 360, "light"), ("phone-dark", 320, "dark")):
        browser.open(width, scheme)
        browser.wait(lambda: browser.figure("CPU used") != "–", "there are no figures")
        height = browser.ask("return document.documentElement.scrollHeight")
        browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})
        if not browser.driver.save_screenshot(f"{folder}/status-{name}.png"):
            yield f"there is no picture {name}"


def main():
    check, url, argument = sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None
    with StatusPage(url) as browser:
        try:
            complaints = list(globals()[f"check_{check}"](browser, argument) or [])
        except TimeoutError as error:
            complaints = [f"{error}; the console says {browser.complaints()}"]
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    sys.exit(bool(complaints))


main()
