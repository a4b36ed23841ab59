"""What the CPU can do at best under a quota: fib(30) in a bare loop, built as the responder's is."""

import subprocess

import cgroup
import stack

PROGRAM = stack.REPO / "build/ceiling"
SECONDS = 1.0
# At a small quota a second has too few periods to say much.
SECONDS_BELOW_100M = 3.0


def measure(millicpu, seconds=None):
    """Computations a second; None where no cgroup can be made."""
    group = cgroup.Group("ceiling")
    if group.path is None:
        return None
    group.limit(millicpu)
    seconds = seconds or (SECONDS if millicpu >= 100 else SECONDS_BELOW_100M)
    try:
        output = subprocess.run([PROGRAM, str(seconds), str(max(1, -(-millicpu // 1000)))], preexec_fn=group.enter,
                                capture_output=True, text=True, check=True).stdout
        return round(float(output), 2)
    finally:
        group.remove()
