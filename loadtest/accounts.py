"""Which fault of a chaos run explains each request that its clients have lost."""

# A cause and its effect are not seen at the same instant by all.
SLACK = 0.25


class Accounts:
    """Finds the reason of each lost request: an action that explains it, or none."""

    def __init__(self, chaos, failures):
        self.chaos, self.failures = chaos, failures

    def deaths_in(self, lost):
        exits = [failure.at for failure in self.failures if failure.function == "read"]
        return sum(lost.start - SLACK <= at <= lost.end for at in [*self.chaos.deaths, *exits])

    def met(self, lost, spans):
        return any(start - SLACK <= lost.end and (end is None or lost.start <= end + SLACK) for start, end in spans)

    def take_failure(self, lost, peer):
        """A call that was made to fail explains one lost request: of that peer, at that time."""
        for failure in self.failures:
            if failure.peer == peer and not failure.is_taken and lost.start - SLACK <= failure.at <= lost.end + SLACK:
                failure.is_taken = True
                return f"injected failure of {failure.what}"
        return None

    def explain_action(self, lost):
        if lost.through == "lighttpd" and any(lost.since - SLACK <= (end or lost.end) and start <= lost.end
                                              for start, end in self.chaos.downs):
            return "connection broken by lighttpd's death"
        if "served this request died" in lost.what and self.deaths_in(lost) >= (2 if lost.method == "GET" else 1):
            return "500: it was in hand when two workers died, or may not be repeated"
        if "answered twice" in lost.what and self.deaths_in(lost):
            return "answered twice: its worker was killed between answer and close, and the client did not hang up"
        return None

    def explain_shortage(self, lost):
        """Silent connections make room; one whose request has not come yet, or that is kept, is silent, too."""
        was_closed = any(text in lost.what for text in ("closed after", "Reset", "status 500"))
        if was_closed and self.met(lost, self.chaos.shortages):
            return "closed while it was silent, for file descriptors were short"
        return None

    def explain(self, everything):
        """The most certain reasons first, so that none is used up by what has another."""
        for find in (self.explain_action, lambda lost: self.take_failure(lost, lost.peer),
                     lambda lost: self.take_failure(lost, "?"), self.explain_shortage):
            for lost in everything:
                lost.reason = lost.reason or find(lost)
