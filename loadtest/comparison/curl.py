"""One request on a connection of its own, by curl, which times it itself: the start of a program is not in it."""

import subprocess

from comparison import client

# How it ends without an answer, in the words of the other generators.
ENDS = {7: "refused", 18: "cut off", 28: "timeout", 52: "closed", 56: "reset"}
TIMED = "\n%{http_code} %{time_total}"


def compute(url, path, timeout):
    """(milliseconds that the transfer took, what the server itself says it computed in milliseconds)."""
    done = subprocess.run(["curl", "-q", "--silent", "--noproxy", "*", "--max-time", str(timeout), "--write-out", TIMED, url + path],
                          capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise client.Failed(ENDS.get(done.returncode, f"curl ended with {done.returncode}"))
    body, _, timed = done.stdout.rpartition("\n")
    status, seconds = timed.split()
    return float(seconds) * 1000, client.told(status, body)
