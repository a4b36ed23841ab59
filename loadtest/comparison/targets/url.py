"""Servers that run already, anywhere: only what can be seen from outside is measured."""

import argparse

from comparison import runtimes


class Server:
    kills, start_ms = (), None

    def __init__(self, url):
        self.url = url

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def memory(self):
        return None

    def cpu_seconds(self):
        return None

    def throttling(self):
        return None

    def restarts(self):
        return None


def prepare(_):
    pass


def serve(runtime, _, options):
    return Server(dict(options.url)[runtime.name])


def can(test, _):
    """What is deployed there, and its limits, are not ours to change or to know."""
    return test not in ("footprint", "recovery", "squeeze")


def runtime_and_url(text):
    name, equals, url = text.partition("=")
    if not equals or name not in runtimes.ALL or not url.startswith("http://"):
        raise argparse.ArgumentTypeError(f"not NAME=http://…: {text}; names are {', '.join(runtimes.ALL)}")
    return name, url.rstrip("/")


def add_options(parser):
    parser.add_argument("--url", type=runtime_and_url, action="append", default=[], metavar="NAME=URL",
                        help="for --target url: where that runtime is; once for each")
