"""The users of a scenario, for locust: they come and go as k6's virtual users do, each with a connection of its own.

All are made at once and wait until it is their turn, so that who comes late is not a question of how busy locust is. From
the environment: SCENARIO, a file of loadtest/scenarios; SCALE, by which its seconds are multiplied; RECORD, a file that gets
every request as JSON. Users leave as in k6: with the answer to what they have asked, up to gracefulStop.
"""

import itertools
import json
import os
import sys
import time
from http.client import HTTPException
from pathlib import Path

import gevent
from gevent.event import Event
from geventhttpclient import HTTPClient
from locust import User, constant, events, task

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import scenario  # noqa: E402

WANTED = json.loads(Path(os.environ["SCENARIO"]).read_text())
STAGES = scenario.Stages(WANTED, float(os.environ.get("SCALE", "1")))
ERRORS = {"ConnectionRefusedError": "refused", "ConnectionResetError": "reset", "BrokenPipeError": "reset",
          "HTTPConnectionClosed": "closed", "HTTPParseError": "cut off", "ConnectionTimeoutError": "timeout", "TimeoutError": "timeout",
          "timeout": "timeout"}


class Run:
    """What all users share: when it began, who has an answer outstanding, what has come."""

    def __init__(self):
        self.begun, self.start, self.asking, self.rows = Event(), 0.0, 0, []
        self.numbers = itertools.count()

    def begin(self):
        self.start = time.monotonic()
        self.begun.set()

    def elapsed(self):
        return time.monotonic() - self.start

    def record(self, latency_ms, error):
        self.rows.append((round(self.elapsed(), 4), round(latency_ms, 3), error))

    def end_when_over(self, runner):
        self.begun.wait()
        gevent.sleep(STAGES.seconds)
        end = time.monotonic() + STAGES.graceful_seconds
        while self.asking and time.monotonic() < end:
            gevent.sleep(0.02)
        Path(os.environ["RECORD"]).write_text(json.dumps({"start": self.start, "unfinished": self.asking, "rows": self.rows}))
        runner.quit()


run = Run()


def judge(status, content):
    """What is wrong with the answer, or None."""
    if status != 200:
        return f"status {status}"
    try:
        return None if json.loads(content)["result"] == WANTED["result"] else "wrong answer"
    except (ValueError, KeyError, TypeError):
        return "wrong answer"


class Visitor(User):
    """With the client that is inside locust's FastHttpUser, but without what that one records of each request: nobody reads it here,
    and it takes CPU time beside the server's."""

    wait_time = constant(WANTED["wait_ms"] / 1000)
    timeout = WANTED["timeout_s"]

    def on_start(self):
        self.number = next(run.numbers)
        self.client = HTTPClient.from_url(self.host, network_timeout=self.timeout, connection_timeout=self.timeout)

    def ask(self):
        """What is wrong with the answer, or None."""
        try:
            response = self.client.get(WANTED["path"])
            return judge(response.status_code, response.read())
        except (OSError, HTTPException) as problem:
            name = type(problem).__name__
            return ERRORS.get(name, name)

    def wait_for_turn(self):
        run.begun.wait()
        now = run.elapsed()
        turn = STAGES.next_turn(self.number, now)
        if turn is None:
            gevent.sleep(STAGES.seconds + STAGES.graceful_seconds)
        elif turn > now:
            gevent.sleep(turn - now)
        return turn is not None

    @task
    def visit(self):
        if not self.wait_for_turn():
            return
        run.asking += 1
        start = time.perf_counter()
        error = self.ask()
        run.record((time.perf_counter() - start) * 1000, error)
        run.asking -= 1


@events.test_start.add_listener
def watch_the_end(environment, **_):
    gevent.spawn(run.end_when_over, environment.runner)


@events.spawning_complete.add_listener
def begin(**_):
    run.begin()
