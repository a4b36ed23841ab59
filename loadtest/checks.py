"""What the load drivers report with."""


class Checks:
    """Prints each check as it is made, and keeps those that do not hold."""

    def __init__(self):
        self.failed = []

    def __call__(self, holds, text):
        if not holds:
            self.failed.append(text)
        print(f"  {'ok    ' if holds else 'FAILED'}  {text}", flush=True)

    def verdict(self):
        """For the last line, which is what is read first where there are many."""
        return f"{len(self.failed)} checks FAILED: {'; '.join(self.failed)}" if self.failed else "all checks hold"


def percentile(values, share):
    """0 where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
