"""One client, one request at a time, nothing else."""

import statistics
import time

from comparison import client, curl, figures


def measure(server, wanted, scale):
    rows, told = [], []
    start = time.monotonic()
    for _ in range(max(3, round(wanted["requests"] * scale))):
        asked = time.monotonic()
        try:
            latency_ms, fib_ms = curl.compute(server.url, wanted["path"], wanted["timeout_s"])
            rows.append((time.monotonic() - start, latency_ms, None))
            told.append(fib_ms)
        except client.Failed as failed:
            rows.append((time.monotonic() - start, (time.monotonic() - asked) * 1000, str(failed)))
        time.sleep(wanted["wait_ms"] / 1000)
    summary = figures.latency(rows)
    fib_ms = round(statistics.median(told), 3) if told else None
    return {"requests": len(rows), "failed": figures.failed(rows), "errors": figures.errors(rows), "latency_ms": summary,
            "histogram": figures.histogram(rows), "fib_ms": fib_ms,
            "beyond_ms": round(summary["p50"] - fib_ms, 3) if told else None}
