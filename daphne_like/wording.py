"""Formats numbers with their unit for log lines."""

from __future__ import annotations


def counted(number: float, unit: str, digits: str = "g") -> str:
    """Return a number and its unit, in the plural unless the number is 1: 1 second, 0.5 seconds.

    Args:
        number: a number that is not negative.
        unit: the unit in the singular.
        digits: format specification of the number.
    """
    text = format(number, digits)
    return f"{text} {unit}{'' if text == '1' else 's'}"
