"""What the load drivers report with."""


class Checks:
    """Prints each check as it is made, and counts those that do not hold."""

    def __init__(self):
        self.failed = 0

    def __call__(self, holds, text):
        self.failed += not holds
        print(f"  {'ok    ' if holds else 'FAILED'}  {text}", flush=True)


def percentile(values, share):
    """0 where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
