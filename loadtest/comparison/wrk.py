"""wrk, which saturates a server: no waits, no stages."""

import json
import os
import subprocess

import stack


def load(url, connections, seconds):
    """What loadtest/percentiles.lua prints, and the CPUs that wrk itself took."""
    started = os.times()
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "60s",
               "-s", stack.REPO / "loadtest/percentiles.lua", url]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    ended = os.times()
    result = json.loads(output.strip().splitlines()[-1])
    used = ended.children_user + ended.children_system - started.children_user - started.children_system
    result["generator_cpus"] = round(used / result["seconds"], 3)
    return result
