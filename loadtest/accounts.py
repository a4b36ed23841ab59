"""Which fault of a chaos run explains each request that its clients have lost."""

from bisect import bisect_left, bisect_right

# A cause and its effect are not seen at the same instant by all.
SLACK = 0.25


class Accounts:
    """Finds the reason of each lost request: an action that explains it, or none."""

    def __init__(self, chaos, failures):
        self.chaos, self.failures = chaos, sorted(failures, key=lambda failure: failure.at)
        self.times = [failure.at for failure in self.failures]
        self.owners, self.taken = {}, {}  # failure: the one request that it explains; and the other way

    def deaths_in(self, lost):
        exits = [failure.at for failure in self.failures if failure.function == "read"]
        return sum(lost.start - SLACK <= at <= lost.end for at in [*self.chaos.deaths, *exits])

    def met(self, lost, spans):
        return any(start - SLACK <= lost.end and (end is None or lost.start <= end + SLACK) for start, end in spans)

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

    def near(self, lost):
        """The failures about its time, the nearest to its end first."""
        found = self.failures[bisect_left(self.times, lost.start - SLACK):bisect_right(self.times, lost.end + SLACK)]
        return sorted(found, key=lambda failure: abs(failure.at - lost.end))

    def take_failure(self, lost):
        """Gives it a failure of its peer, or of a peer that is not known, which explains no other request. Where each is in use
        already, those that they explain take others instead, if there are any: an augmenting path of a bipartite graph, found
        breadth first. So as many requests have a failure as can have one, however they are ordered."""
        reached, queue = {}, [lost]  # failure: who has found it
        for one in queue:
            for failure in self.near(one):
                if failure.peer not in (one.peer, "?") or failure in reached:
                    continue
                reached[failure] = one
                if failure not in self.owners:
                    self.pass_on(failure, reached)
                    return
                queue.append(self.owners[failure])

    def pass_on(self, failure, reached):
        """Each on the way to that failure takes the one that it has found, and leaves its own to who has found that."""
        while failure:
            lost = reached[failure]
            self.owners[failure], self.taken[lost], failure = lost, failure, self.taken.get(lost)

    def explain(self, everything):
        for lost in everything:
            lost.reason = self.explain_action(lost)
        rest = [lost for lost in everything if lost.reason is None]
        # One that nothing else explains goes first: who has a failure keeps one.
        for lost in sorted(rest, key=lambda lost: self.explain_shortage(lost) is not None):
            self.take_failure(lost)
        for lost, failure in self.taken.items():
            lost.reason = f"injected failure of {failure.what}"
        for lost in rest:
            lost.reason = lost.reason or self.explain_shortage(lost)
