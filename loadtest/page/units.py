"""Numbers as people read them. What was not measured is a dash. A unit never goes to the next line alone."""

NONE = "–"
GAP = "\u00a0"


def number(value, digits=3):
    """With so many significant digits, but never fewer than stand before the point."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    if abs(value) < 0.1:
        return f"{value:.2g}"
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 1
    return f"{value:,.{max(0, digits - whole)}f}"


def exact(value):
    """As it was given."""
    return NONE if value is None else f"{value:,.10g}"


def with_unit(value, unit, form):
    return NONE if value is None else f"{form(value)}{GAP}{unit}"


def milliseconds(value, form=number):
    if value is not None and abs(value) >= 1000:
        return with_unit(value / 1000, "s", form)
    return with_unit(value, "ms", form)


def mebibytes(value, form=number):
    return with_unit(value, "MiB", form)


def megabytes(value, form=number):
    return with_unit(value, "MB", form)


def times(value, bound=None):
    """bound: of a goal. With as many digits as it takes for a value that is not the bound to look like another."""
    digits = 3
    while None not in (value, bound) and value != bound and digits < 6 and float(number(value, digits).replace(",", "")) == bound:
        digits += 1
    return with_unit(value, "×", lambda value: number(value, digits))


def percent(share, form=None):
    """With one digit after the point, but all and nothing as they are."""
    form = form or (lambda value: f"{value:.0f}" if value in (0, 100) else f"{value:.1f}")
    return with_unit(None if share is None else share * 100, "%", form)


def count(value, form=None):
    return NONE if value is None else f"{value:,}"


def rate(value, form=number):
    return form(value)


def plural(value, what):
    return f"{value:,} {what}{'' if value == 1 else 's'}"


def cpus(millicpu):
    """As Kubernetes writes it, but whole CPUs as such."""
    return plural(millicpu // 1000, "CPU").replace(" ", GAP) if millicpu and millicpu % 1000 == 0 else f"{millicpu}m"


def divide(one, other):
    return None if one is None or not other else one / other
