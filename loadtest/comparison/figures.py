"""What is made of requests: each is (second at which it ended, milliseconds it took, error or None)."""

import math
from collections import Counter

BUCKETS_PER_OCTAVE = 8
LEAST_MS = 0.001
SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}


def quantile(ordered, share):
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def latency(rows):
    """Of answered and failed, as k6 counts; None where there are none."""
    if not rows:
        return None
    ordered = sorted(row[1] for row in rows)
    summary = {"mean": sum(ordered) / len(ordered), "min": ordered[0], "max": ordered[-1]}
    summary.update((name, quantile(ordered, share)) for name, share in SHARES.items())
    return {name: round(value, 3) for name, value in summary.items()}


def histogram(rows):
    """[[upper bound in ms, requests]], on a grid of 2^(k/8), without the empty ones."""
    counts = Counter(math.ceil(BUCKETS_PER_OCTAVE * math.log2(max(row[1], LEAST_MS))) for row in rows)
    return [[round(2 ** (bucket / BUCKETS_PER_OCTAVE), 4), counts[bucket]] for bucket in sorted(counts)]


def errors(rows):
    return dict(Counter(row[2] for row in rows if row[2]))


def failed(rows):
    return sum(1 for row in rows if row[2])


def by_second(rows, seconds):
    """A list of rows for each second."""
    cut = [[] for _ in range(seconds)]
    for row in rows:
        if row[0] < seconds:
            cut[int(row[0])].append(row)
    return cut


def series(rows, seconds, users):
    """One entry a second; users: a function of the second."""
    cut = by_second(rows, seconds)
    latencies = [latency(part) or {} for part in cut]
    result = {"at": [second + 0.5 for second in range(seconds)],
              "users": [round(users(second + 0.5)) for second in range(seconds)],
              "answered": [len(part) - failed(part) for part in cut],
              "failed": [failed(part) for part in cut]}
    for name, key in (("mean_ms", "mean"), ("p50_ms", "p50"), ("p95_ms", "p95"), ("p99_ms", "p99")):
        result[name] = [one.get(key) for one in latencies]
    return result


def totals(rows, seconds):
    """seconds: in which they came."""
    lost = failed(rows)
    return {"requests": len(rows), "failed": lost, "failed_share": round(lost / len(rows), 5) if rows else 0.0,
            "errors": errors(rows), "per_second": round(len(rows) / seconds, 2),
            "answered_per_second": round((len(rows) - lost) / seconds, 2), "latency_ms": latency(rows)}


def within(rows, start, end):
    return [row for row in rows if start <= row[0] < end]


def k6_values(rows):
    """What k6's thresholds ask for, by metric."""
    summary = latency(rows) or {}
    names = {"avg": "mean", "min": "min", "med": "p50", "max": "max", "p(90)": "p90", "p(95)": "p95", "p(99)": "p99", "p(99.9)": "p999"}
    duration = {name: summary[key] for name, key in names.items() if key in summary}
    rate = failed(rows) / len(rows) if rows else None
    return {"http_req_duration": duration, "http_req_failed": {} if rate is None else {"rate": rate},
            "http_reqs": {"count": len(rows)}}
