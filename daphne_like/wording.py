"""Numbers with their unit, as a person says them in a log line."""

from __future__ import annotations


def counted(number: float, unit: str, digits: str = "g") -> str:
    """Return a number and its unit, in the plural unless there is one: 1 second, 0.5 seconds.

    Args:
        number: not negative.
        unit: in the singular.
        digits: format of the number.
    """
    text = format(number, digits)
    return f"{text} {unit}{'' if text == '1' else 's'}"
