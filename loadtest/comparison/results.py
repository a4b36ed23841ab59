"""build/loadtest/results.json: all that was measured, the only input of the report. It is whole at any time, so that a run
that was interrupted goes on where it was."""

import json
import os
from pathlib import Path

import stack

FORMAT = 1
FILE = stack.REPO / "build/loadtest/results.json"
PUBLISHED = stack.REPO / "loadtest/published.json"
# Where these are the same, results belong to one run.
SAME = ("commit", "changed", "target", "form", "seconds_scale", "machine", "versions", "builds")


def read(path=FILE):
    empty = {"format": FORMAT, "published": json.loads(PUBLISHED.read_text()), "loadtest": None, "bench": None}
    try:
        found = json.loads(Path(path).read_text())
    except FileNotFoundError:
        return empty
    return found if found.get("format") == FORMAT else empty


def write(results, path=FILE):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    with open(beside, "w") as file:
        json.dump(results, file, separators=(",", ":"))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def continues(part, about):
    """Whether what is to be measured belongs to that part of the results."""
    return part is not None and all(part["about"].get(key) == about[key] for key in SAME)
