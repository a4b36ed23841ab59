"""SIGKILL under load: how soon the next answer comes, and which requests are lost."""

import statistics
import time

from comparison import figures
from comparison.crowd import Crowd

NEXT_ANSWER_SECONDS = 60
# What the drawing shows: this much before the kill, and after the kill and the next answer.
BEFORE_MS, AFTER_MS = 1000, 2000
# Where the quota is used up, nobody answers until its next period begins.
PAUSE_SECONDS, PAUSE_WITHIN_SECONDS = 0.01, 1


def measure(server, wanted, scale):
    crowd, kills, summary = Crowd(server.url, wanted, wanted["users"]), [], []
    count = max(1, round(wanted["kills"] * scale))
    calm = max(0.5, wanted["calm_s"] * scale)
    try:
        for what in server.kills:
            crowd.run(calm)
            done = [kill(server, crowd, what, calm) for _ in range(count)]
            keep_one_timeline(done)
            kills += done
            summary.append(summarize(what, done))
    finally:
        crowd.leave()
    return {"users": wanted["users"], "kills": kills, "summary": summary}


def kill(server, crowd, what, calm):
    strike, in_flight = server.killer(what), server.in_flight_seconds(what)
    wait_for_period(crowd)
    moment = time.monotonic()
    finish = strike()
    first = len(crowd.rows)
    crowd.knock_for(in_flight)
    crowd.run_until(lambda: answered_at(crowd.rows[first:], moment, in_flight), NEXT_ANSWER_SECONDS)
    crowd.run(calm)
    # What was asked before is answered by now, or lost: a pod that is gone closes no connection.
    crowd.run_until(lambda: not crowd.has_asked_before(moment), crowd.timeout)
    if finish:
        finish()
    return describe(what, crowd.rows, moment, in_flight)


def wait_for_period(crowd):
    """To the first answer after a pause: the beginning of a period of the quota. Else it would be luck whether the server may
    compute at all in the next moment, and that, not the recovery, would be measured."""
    paused = PauseEnd(crowd)
    crowd.run_until(paused, PAUSE_WITHIN_SECONDS)


class PauseEnd:
    """True once an answer has come after a pause."""

    def __init__(self, crowd):
        self.crowd, self.seen, self.last = crowd, len(crowd.rows), time.monotonic()

    def __call__(self):
        if len(self.crowd.rows) == self.seen:
            return False
        pause, self.last, self.seen = self.crowd.rows[-1][0] - self.last, self.crowd.rows[-1][0], len(self.crowd.rows)
        return pause >= PAUSE_SECONDS


def answered_at(rows, moment, in_flight):
    """When the first right answer came that cannot have been on its way: the end of the longest of the pauses that had begun by
    the time when nothing was on its way any more, in_flight seconds after the moment. rows: of after the moment. None as long as
    there is none."""
    times = [at for at, _, error in rows if error is None]
    begun_by = moment + in_flight
    if not times or times[-1] < begun_by:
        return None
    return max((end - start, end) for start, end in zip([moment, *times], times) if start < begun_by)[1]


def describe(what, rows, moment, in_flight):
    timeline = [(round((at - moment) * 1000, 2), round(latency_ms, 2), int(error is None)) for at, latency_ms, error in rows]
    after = [row for row in rows if row[0] >= moment]
    answered = answered_at(after, moment, in_flight)
    next_answer_ms = None if answered is None else round((answered - moment) * 1000, 3)
    drawn_until = (next_answer_ms or 0) + AFTER_MS
    return {"what": what, "signal": "KILL", "next_answer_ms": next_answer_ms,
            "failed": figures.failed(after), "errors": figures.errors(after), "requests": len(after),
            "timeline": [one for one in timeline if -BEFORE_MS <= one[0] <= drawn_until]}


def keep_one_timeline(kills):
    """Of the kill with the median time."""
    def order(one):
        return float("inf") if one["next_answer_ms"] is None else one["next_answer_ms"]
    middle = sorted(kills, key=order)[len(kills) // 2]
    for one in kills:
        if one is not middle:
            one["timeline"] = None


def summarize(what, kills):
    times = [one["next_answer_ms"] for one in kills]
    known = None if None in times else {"median": round(statistics.median(times), 3), "max": max(times)}
    return {"what": what, "kills": len(kills), "next_answer_ms": known, "failed": sum(one["failed"] for one in kills),
            "requests": sum(one["requests"] for one in kills)}
