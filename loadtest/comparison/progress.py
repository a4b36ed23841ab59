"""Tells a person how far it is and how long it still takes."""

import time


def clock(seconds):
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


class Progress:
    """expected: the seconds of each step, as far as they can be known before."""

    def __init__(self, expected):
        self.expected, self.done, self.took, self.total = expected, 0, 0.0, len(expected)
        self.is_open = False

    def begin(self, what):
        self.start = time.monotonic()
        # Where steps have taken longer than expected, the next ones will, too.
        past = sum(self.expected[:self.done])
        pace = max(1.0, self.took / past) if past else 1.0
        left = sum(self.expected[self.done:]) * pace
        print(f"[{self.done + 1:{len(str(self.total))}}/{self.total}] {what:28} {clock(left):>6} left", end="", flush=True)
        self.is_open = True

    def end(self, text):
        took = time.monotonic() - self.start
        self.done, self.took = self.done + 1, self.took + took
        print(f"  {clock(took):>5}  {text}", flush=True)
        self.is_open = False

    def interrupted(self):
        if self.is_open:
            print()
