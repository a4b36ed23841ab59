"""A scenario of loadtest/scenarios: who comes when, and what has to hold. The stages and thresholds are k6's own options, so
that k6 (loadtest/k6), locust (loadtest/locust) and the runner read the same."""

import json
import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "scenarios"
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
COMPARE = {"<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b}


def read(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


def seconds(duration):
    """Of k6's "1m30s"."""
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ms|s|m|h)", duration))


class Stages:
    """How many users there are at which second: straight lines between the ends of the stages."""

    def __init__(self, scenario, scale=1.0):
        ramp = scenario["options"]["scenarios"][scenario["name"]]
        self.points = [(0.0, ramp["startVUs"])]
        for stage in ramp["stages"]:
            self.points.append((self.points[-1][0] + seconds(stage["duration"]) * scale, stage["target"]))
        self.seconds = self.points[-1][0]
        self.graceful_seconds = seconds(ramp["gracefulStop"]) * scale
        self.most = max(users for _, users in self.points)

    def lines(self):
        """(start, users at the start, end, users at the end) of each stage."""
        return [(*start, *end) for start, end in zip(self.points, self.points[1:])]

    def users(self, at):
        for start, before, end, after in self.lines():
            if start <= at < end:
                return before + (after - before) * (at - start) / (end - start)
        return 0.0

    def next_turn(self, number, at):
        """When the user of that number, from 0, is there: at, if now; a later second; None if never again."""
        for start, before, end, after in self.lines():
            if at >= end or max(before, after) <= number:
                continue
            if self.users(max(at, start)) > number:
                return max(at, start)
            if after > number:
                return start + (number - before) / (after - before) * (end - start) + 1e-6
        return None

    def hold(self):
        """(from, to): the longest stretch with the most users, or None if that is but a moment."""
        flat = [(start, end) for start, before, end, after in self.lines() if before == after == self.most]
        return max(flat, key=lambda one: one[1] - one[0], default=None)


def judge(expression, values):
    """(value, whether the threshold holds); values: {"rate": …, "p(95)": …}. No value, no holding."""
    name, sign, bound = re.fullmatch(r"([a-z]+(?:\([\d.]+\))?)\s*(<=|>=|<|>)\s*([\d.]+)", expression).groups()
    value = values.get(name)
    return value, value is not None and COMPARE[sign](value, float(bound))
