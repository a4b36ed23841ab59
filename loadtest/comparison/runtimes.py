"""Who is compared, in the order of presentation."""

import argparse
from dataclasses import dataclass


@dataclass(frozen=True)
class Runtime:
    """published: the key in published.json; kills: what recovery kills, the serving process first; memory_mib: its limit;
    turn_ms: where all connections are served at the same time, nobody has an answer before each has had so much CPU."""

    name: str
    title: str
    language: str
    published: str | None
    memory_mib: int
    processes: str
    kills: tuple
    turn_ms: int = 0


FIBCGI = Runtime("fibcgi", "lighttpd + fibcgi", "C", None, 32, "lighttpd, master, a worker for each CPU, admin",
                 ("worker", "master", "lighttpd"))
RUST = Runtime("rust", "Actix-Web", "Rust", "rust", 128, "one, with a worker thread for each CPU", ("server",))
GO = Runtime("go", "Go net/http", "Go", "go", 512, "one", ("server",))
FLASK = Runtime("flask", "Flask", "Python", "python", 768, "one, with a thread for each connection", ("server",), 90)
GUNICORN = Runtime("gunicorn", "Flask under gunicorn", "Python", None, 768, "master, a worker for each CPU", ("worker",))
ALL = {one.name: one for one in (FIBCGI, RUST, GO, FLASK, GUNICORN)}


def parse(text):
    """For argparse: names with commas between."""
    for name in text.split(","):
        if name not in ALL:
            raise argparse.ArgumentTypeError(f"unknown: {name}; there are {', '.join(ALL)}")
    return [ALL[name] for name in text.split(",")]


def describe(runtime, millicpu):
    return {"name": runtime.name, "title": runtime.title, "language": runtime.language, "published": runtime.published,
            "limits": {"millicpu": millicpu, "memory_mib": runtime.memory_mib}, "processes": runtime.processes}
