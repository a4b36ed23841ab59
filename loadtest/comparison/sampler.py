"""Looks at a server and at the load generator once a second."""

import threading
import time

import stack


class Sampler(threading.Thread):
    """samples: (second since the start, MiB by process or None, the server's CPU seconds or None, the generator's)."""

    def __init__(self, server, generator_pid):
        super().__init__(daemon=True)
        self.server, self.generator_pid = server, generator_pid
        self.start_time, self.stop, self.samples = time.monotonic(), threading.Event(), []

    def look(self):
        memory, cpu = self.server.memory(), self.server.cpu_seconds()
        self.samples.append((time.monotonic(), memory, cpu, stack.cpu_ns(self.generator_pid) / 1e9))

    def run(self):
        due = time.monotonic()
        while True:
            try:
                self.look()
            except (OSError, IndexError):
                pass  # what was looked at has just ended
            due += 1
            if self.stop.wait(max(0.0, due - time.monotonic())):
                return

    def end(self):
        self.stop.set()
        self.join()

    def series(self, start, seconds):
        """One entry a second from start: the memory at its end, the CPUs in it."""
        result = {"memory_mib": [], "server_cpus": [], "generator_cpus": []}
        for second in range(seconds):
            inside = [one for one in self.samples if start + second <= one[0] < start + second + 1]
            before = [one for one in self.samples if one[0] < start + second]
            last = inside[-1] if inside else None
            result["memory_mib"].append(total_mib(last))
            for name, at in (("server_cpus", 2), ("generator_cpus", 3)):
                result[name].append(rate(before[-1] if before else None, last, at))
        return result

    def memory(self):
        totals = [mib for mib in map(total_mib, self.samples) if mib is not None]
        if not totals:
            return None
        return {"start_mib": totals[0], "most_mib": max(totals), "end_mib": totals[-1], "kind": self.server.memory_kind}


def total_mib(sample):
    return None if sample is None or sample[1] is None else round(sum(sample[1].values()), 3)


def rate(before, after, at):
    if before is None or after is None or before[at] is None or after[at] is None:
        return None
    return round((after[at] - before[at]) / (after[0] - before[0]), 3)
