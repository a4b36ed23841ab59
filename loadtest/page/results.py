"""What was measured: results.json, format 1. Whatever is missing there is None or empty here, never an error."""

import json

FORMAT = 1
TESTS = ["footprint", "single", "load", "spike", "soak", "recovery", "squeeze"]
TITLES = {"footprint": "Image and memory", "single": "Single request", "load": "Load", "spike": "Spike", "soak": "Soak",
          "recovery": "Recovery", "squeeze": "Squeeze"}
# Against whom each goal of the project is set.
OURS, RUST, GO, FLASK, GUNICORN = "fibcgi", "rust", "go", "flask", "gunicorn"


class NotReadable(Exception):
    pass


def get(value, *path):
    """What is at the end of that path of keys, or None."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


class Run:
    def __init__(self, data):
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise NotReadable(f"this is not a file of results in format {FORMAT}")
        self.sample = bool(data.get("sample"))
        self.published = data.get("published") or {}
        self.loadtest = data.get("loadtest") or {}
        self.bench = data.get("bench") or {}
        self.results = {(one["test"], one["runtime"]): one for one in self.loadtest.get("results") or []}
        self.cases = {(one["millicpu"], one["connections"], one["runtime"]): one for one in self.bench.get("cases") or []}
        self.costs = {one["runtime"]: one for one in self.bench.get("costs") or []}
        self.runtimes = {}
        for part in (self.loadtest, self.bench):
            for runtime in part.get("runtimes") or []:
                self.runtimes.setdefault(runtime["name"], runtime)

    def names(self):
        """The runtimes in their order."""
        return list(self.runtimes)

    def title(self, name):
        return get(self.runtimes, name, "title") or name

    def short(self, name):
        """The title where there is little room."""
        title = self.title(name)
        return title if len(title) <= 22 else title[:21] + "…"

    def about(self):
        """Of the load tests, or of the saturation where there are none."""
        return self.loadtest.get("about") or self.bench.get("about") or {}

    def result(self, test, name):
        return self.results.get((test, name)) or {}

    def counts(self, test, name):
        """It was measured, and nothing speaks against it."""
        return (test, name) in self.results and self.result(test, name).get("counts", True)

    def value(self, test, name, *path):
        """A figure that counts, or None."""
        return get(self.result(test, name), *path) if self.counts(test, name) else None

    def measured(self, test):
        """The runtimes that this test was run with."""
        return [name for name in self.names() if (test, name) in self.results]

    def scenario(self, test):
        return get(self.loadtest, "scenarios", test) or {}

    def published_figure(self, test, name, key):
        return get(self.published, "figures", get(self.runtimes, name, "published") or "", test, key)

    def case(self, millicpu, connections, name):
        return self.cases.get((millicpu, connections, name)) or {}

    def rounds(self, millicpu, connections, name):
        return self.case(millicpu, connections, name).get("rounds") or []


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return Run(json.load(file))
    except OSError as error:
        raise NotReadable(error.strerror) from error
    except ValueError as error:
        raise NotReadable(f"not JSON: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise NotReadable(f"not results in format {FORMAT}: {error!r}") from error
