"""A running server, seen from outside: the processes in its cgroups."""

import os
import re
import signal
import time
from pathlib import Path

import stack
from comparison import client

TICK = os.sysconf("SC_CLK_TCK")
START_SECONDS = 180  # Flask at 50m takes long
IN_FLIGHT_SECONDS = 0.002  # lighttpd has it in hand


class Observed:
    """A target's server has runtime, url and groups (its cgroups), besides."""

    kills, start_ms, memory_kind = (), None, "PSS of all processes"

    def wait_for_answer(self):
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                client.compute(self.url, "/compute?n=1")
                return
            except client.Failed as failed:
                if time.monotonic() > end or self.is_hopeless():
                    raise RuntimeError(f"{self.runtime.title} does not answer ({failed}): {self.complaints()}") from None
                time.sleep(0.001)

    def is_hopeless(self):
        """Whether it will never start."""
        return False

    def complaints(self):
        """What it has said, for whom it does not start."""
        return ""

    def pids(self):
        return [pid for group in self.groups for pid in group.pids()]

    def names(self):
        """{pid: what it is}."""
        found, pids = {}, self.pids()
        for pid in pids:
            try:
                found[pid] = self.name(pid, parent(pid) in pids)
            except (OSError, ValueError):
                pass  # it has just ended
        return found

    def name(self, pid, is_child):
        if self.runtime.name == "fibcgi":
            return re.sub(r" \d+$", "", Path(stack.title(pid)).name)
        if self.runtime.name == "gunicorn":
            return "gunicorn: worker" if is_child else "gunicorn: master"
        return self.runtime.name

    def find(self, what):
        """The pid of a process to kill."""
        for pid, name in self.names().items():
            if what == "server" or name.endswith(what):
                return pid
        raise RuntimeError(f"{self.runtime.title} has no {what}: {self.names()}")

    def killer(self, what):
        """A function that kills it at once; what takes time has been done before. What it returns, if anything, is to be called in
        the end, and fails where the kill did not work."""
        pid = self.find(what)
        return lambda: os.kill(pid, signal.SIGKILL)

    def in_flight_seconds(self, what):
        """How long after the kill what was killed, or somebody before it, may still bring an answer."""
        return IN_FLIGHT_SECONDS

    def memory(self):
        """{what: MiB}: PSS."""
        found = {}
        for pid, name in self.names().items():
            try:
                found[name] = found.get(name, 0) + stack.pss_kib(pid) / 1024
            except OSError:
                pass
        return {name: round(mib, 3) for name, mib in found.items()}

    def times(self):
        """{what: (user, system) CPU seconds}."""
        found = {}
        for pid, name in self.names().items():
            user, system = (int(ticks) / TICK for ticks in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13])
            before = found.get(name, (0, 0))
            found[name] = (before[0] + user, before[1] + system)
        return found

    def cpu_seconds(self):
        return sum(group.cpu_ns() for group in self.groups) / 1e9

    def throttling(self):
        """(periods, those in which it was throttled)."""
        statistics = [group.statistics() for group in self.groups]
        return sum(one["nr_periods"] for one in statistics), sum(one["nr_throttled"] for one in statistics)


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
