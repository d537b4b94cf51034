"""The wording of log lines: numbers with their unit, text without control characters."""

from __future__ import annotations

import re

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def counted(number: float, unit: str, digits: str = "g") -> str:
    """Return a number and its unit, in the plural unless the number is 1: 1 second, 0.5 seconds.

    Args:
        number: a number that is not negative.
        unit: the unit in the singular.
        digits: format specification of the number.
    """
    text = format(number, digits)
    return f"{text} {unit}{'' if text == '1' else 's'}"


def escaped(text: str) -> str:
    r"""Return the text with control characters escaped (`\x1b`), except tab and line feed."""
    return CONTROL.sub(lambda found: repr(found[0])[1:-1], text)
