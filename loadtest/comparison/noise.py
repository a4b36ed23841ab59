"""What the machine's CPUs did meanwhile, and when a measurement does not count because of it."""

import os
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
GENERATOR_CPUS_MOST = 0.9
IDLE_LEAST = 0.03
# Of its limit, below which a server was kept from working where no CPU was idle.
QUOTA_LEAST = 0.93
STEAL_WARNING, OTHERS_WARNING, SPEED_WARNING = 0.02, 0.1, 0.1


def cpu_times():
    """(busy, idle, steal) of all CPUs in seconds so far."""
    values = [int(value) / TICK for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, idle, iowait, irq, softirq, steal = values
    return user + nice + system + irq + softirq, idle + iowait, steal


class Noise:
    """From its making to summary()."""

    def __init__(self):
        self.before = cpu_times()

    def summary(self, ours_cpu_seconds, seconds):
        """ours: the CPU time of server and generator in that time; None if that of the server is not known."""
        busy, idle, steal = (after - before for after, before in zip(cpu_times(), self.before))
        total = busy + idle + steal
        others = None if ours_cpu_seconds is None else round(max(0.0, busy - ours_cpu_seconds) / seconds, 3)
        return {"steal_share": round(steal / total, 4), "idle_share": round(idle / total, 4), "other_cpus": others}


def reasons(noise, generator_cpus, server_cpus, millicpu):
    """Why a measurement does not count; nothing if it does."""
    found = []
    if generator_cpus > GENERATOR_CPUS_MOST:
        found.append(f"the load generator took {generator_cpus:.2f} of a CPU: it was the bottleneck")
    starved = server_cpus is not None and server_cpus < QUOTA_LEAST * millicpu / 1000
    if noise["idle_share"] < IDLE_LEAST and starved:
        found.append(f"no CPU was idle ({noise['idle_share']:.1%}), and the server got {server_cpus:.2f} of its {millicpu / 1000:g} CPUs")
    return found


def warnings(noise, ceiling):
    found = []
    if noise["steal_share"] > STEAL_WARNING:
        found.append(f"{noise['steal_share']:.0%} of the CPU time was taken by the hypervisor")
    if noise["other_cpus"] is not None and noise["other_cpus"] > OTHERS_WARNING:
        found.append(f"others used {noise['other_cpus']:.2f} CPUs meanwhile")
    if ceiling and abs(ceiling["after"] / ceiling["before"] - 1) > SPEED_WARNING:
        found.append(f"the machine changed its speed by {ceiling['after'] / ceiling['before'] - 1:+.0%} meanwhile")
    return found
