"""Numbers as people read them. What was not measured is a dash."""

NONE = "–"


def number(value, digits=3):
    """With so many significant digits, but never fewer than stand before the point."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    size = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    if abs(value) < 1:
        return f"{value:.{digits - 1}g}"
    return f"{value:,.{max(0, digits - size)}f}"


def milliseconds(value):
    if value is None:
        return NONE
    if abs(value) >= 1000:
        return f"{number(value / 1000)} s"
    return f"{number(value)} ms"


def mebibytes(value):
    return NONE if value is None else f"{number(value)} MiB"


def percent(share, digits=1):
    if share is None:
        return NONE
    return f"{share * 100:.{digits}f} %" if share else "0 %"


def times(value):
    return NONE if value is None else f"{number(value)} ×"


def count(value):
    return NONE if value is None else f"{value:,}"


def cpus(millicpu):
    """As Kubernetes writes it."""
    return f"{millicpu // 1000} CPU{'s' if millicpu > 1000 else ''}" if millicpu >= 1000 and millicpu % 1000 == 0 else f"{millicpu}m"


def divide(one, other):
    return None if one is None or not other else one / other
