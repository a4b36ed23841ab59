"""locust, which plays the users of a scenario: headless, outside the server's limits."""

import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path

import scenario
import stack

PYTHON = stack.REPO / "build/locust/bin/python"
USERS = stack.REPO / "loadtest/locust/users.py"
# All users are there at once, and wait for their turn.
SPAWN_A_SECOND = 1000


class Generator:
    """From begin to end of a scenario; then rows and unfinished say what became of the requests."""

    def __init__(self, wanted, url, scale):
        self.wanted, self.url, self.scale = wanted, url, scale
        self.stages = scenario.Stages(wanted, scale)
        self.folder = tempfile.TemporaryDirectory(prefix="fibcgi-locust.")
        self.record = Path(self.folder.name) / "record"

    def __enter__(self):
        plan = Path(self.folder.name) / "scenario"
        plan.write_text(json.dumps(self.wanted))
        self.process = subprocess.Popen(
            [PYTHON, "-m", "locust", "--locustfile", USERS, "--host", self.url, "--headless", "--only-summary",
             "--loglevel", "ERROR", "--users", str(self.stages.most), "--spawn-rate", str(SPAWN_A_SECOND), "--stop-timeout", "0"],
            env={**os.environ, "SCENARIO": str(plan), "SCALE": str(self.scale), "RECORD": str(self.record)},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        return self

    def wait(self):
        output, _ = self.process.communicate()
        if not self.record.exists():
            raise RuntimeError(f"locust has written no record: {output[-2000:]}")
        recorded = json.loads(self.record.read_text())
        self.start, self.unfinished = recorded["start"], recorded["unfinished"]
        self.rows = [tuple(row) for row in recorded["rows"]]

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process.stdout.close()
        self.folder.cleanup()
