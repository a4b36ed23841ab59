"""What the CPU can do at best under a quota: fib(30) in a bare loop, built as the responder's is."""

import subprocess

import cgroup

SECONDS = 1.0
# At a small quota a second has too few periods to say much.
SECONDS_BELOW_100M = 3.0
SECONDS_LEAST = 0.3


def measure(program, millicpu, scale=1):
    """Computations a second; None where no cgroup can be made. The loop has been built beside the program."""
    group = cgroup.Group("ceiling")
    if group.path is None:
        return None
    group.limit(millicpu)
    seconds = max(SECONDS_LEAST, (SECONDS if millicpu >= 100 else SECONDS_BELOW_100M) * scale)
    try:
        command = [program.with_name("ceiling"), str(seconds), str(max(1, -(-millicpu // 1000)))]
        output = subprocess.run(command, preexec_fn=group.enter, capture_output=True, text=True, check=True).stdout
        return round(float(output), 2)
    finally:
        group.remove()
