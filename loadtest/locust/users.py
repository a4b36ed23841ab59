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
from pathlib import Path

import gevent
from gevent.event import Event
from locust import FastHttpUser, constant, events, task

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import scenario  # noqa: E402

WANTED = json.loads(Path(os.environ["SCENARIO"]).read_text())
STAGES = scenario.Stages(WANTED, float(os.environ.get("SCALE", "1")))
ERRORS = {"ConnectionRefusedError": "refused", "ConnectionResetError": "reset", "BrokenPipeError": "reset",
          "HTTPConnectionClosed": "closed", "ConnectionTimeoutError": "timeout", "TimeoutError": "timeout", "timeout": "timeout"}


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


def judge(response):
    """What is wrong with the answer, or None."""
    if response.status_code == 0:
        name = type(response.error).__name__
        return ERRORS.get(name, name)
    if response.status_code != 200:
        return f"status {response.status_code}"
    try:
        return None if json.loads(response.content)["result"] == WANTED["result"] else "wrong answer"
    except (ValueError, KeyError, TypeError):
        return "wrong answer"


class Visitor(FastHttpUser):
    wait_time = constant(WANTED["wait_ms"] / 1000)
    network_timeout = connection_timeout = WANTED["timeout_s"]

    def on_start(self):
        self.number = next(run.numbers)

    def wait_for_turn(self):
        run.begun.wait()
        turn = STAGES.next_turn(self.number, run.elapsed())
        gevent.sleep(STAGES.seconds + STAGES.graceful_seconds if turn is None else max(0, turn - run.elapsed()))
        return turn is not None

    @task
    def visit(self):
        if not self.wait_for_turn():
            return
        run.asking += 1
        start = time.perf_counter()
        with self.client.get(WANTED["path"], catch_response=True) as response:
            error = judge(response)
            run.record((time.perf_counter() - start) * 1000, error)
            response.failure(error) if error else response.success()
        run.asking -= 1


@events.test_start.add_listener
def watch_the_end(environment, **_):
    gevent.spawn(run.end_when_over, environment.runner)


@events.spawning_complete.add_listener
def begin(**_):
    run.begin()
