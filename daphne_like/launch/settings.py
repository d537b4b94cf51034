"""Options as a file and the environment name them: their keys, variables and values."""

from __future__ import annotations

import dataclasses
import difflib
from argparse import ArgumentTypeError
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from daphne_like.exceptions import ConfigurationError
from daphne_like.options import (
    FORWARDED,
    WHOLE,
    Options,
    check,
    file_mode,
    off_or_headers,
    on_or_off,
    seconds,
    without_limits,
)

PREFIX = "DAPHNE_LIKE_"
APPLICATION = "application"


@dataclass(frozen=True)
class Setting:
    """One key of a file, and its variables.

    Attributes:
        name: field of Options, or APPLICATION.
        key: name of the flag without dashes.
        field: the field; None for the application.
        off: True for the switch that removes the value (`no-server-name`).
    """

    name: str
    key: str
    field: dataclasses.Field[Any] | None
    off: bool = False

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of variables; the first one that is set counts."""
        own = PREFIX + self.key.replace("-", "_").upper()
        alias = self.field.metadata.get("environment") if self.field and not self.off else None
        return (own, alias) if alias else (own,)

    @property
    def is_switch(self) -> bool:
        """True if the flag has no value."""
        if self.field is None or self.off:
            return self.off
        return self.field.default is False and "words" not in self.field.metadata

    @property
    def repeated(self) -> bool:
        """True if the flag may be given several times."""
        return self.field is not None and bool(self.field.metadata.get("repeated"))

    def parse_text(self, text: str, where: str) -> Any:
        """Return the value that a variable's text means.

        Args:
            text: several values are separated by white space.
            where: name of the variable, for messages.
        Raises:
            ConfigurationError: the value is invalid.
        """
        if self.is_switch:
            return self._checked(_converted(on_or_off, text, where), where)
        if self.repeated:
            return self._checked(tuple(text.split()), where)
        return self._checked(self._parse_one(text, where), where)

    def parse_toml(self, value: Any, where: str) -> Any:
        """Return the value that a value of TOML means.

        Args:
            value: as tomllib returns it.
            where: file and key, for messages.
        Raises:
            ConfigurationError: its type is wrong, or the value is invalid.
        """
        kind = self._kind
        if self.is_switch:
            if not isinstance(value, bool):
                raise self._unexpected("true or false", value, where)
        elif self.repeated:
            value = [value] if isinstance(value, str) else value
            if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
                raise self._unexpected("a list of strings", value, where)
            value = tuple(value)
        elif isinstance(value, str):
            value = self._parse_one(value, where)
        elif kind in (on_or_off, off_or_headers) and isinstance(value, bool):
            pass
        elif isinstance(value, bool) or kind in (None, on_or_off, off_or_headers, file_mode):
            raise self._unexpected(self._expected, value, where)
        elif isinstance(value, int):
            value = value if kind in WHOLE else self._parse_one(str(value), where)
        elif not isinstance(value, float) or kind is not seconds:
            raise self._unexpected(self._expected, value, where)
        return self._checked(value, where)

    @property
    def _kind(self) -> Any:
        return self.field.metadata["kind"] if self.field is not None else None

    @property
    def _expected(self) -> str:
        """The types that TOML may have, in words."""
        kind = self._kind
        if kind is None:
            choices = self.field.metadata.get("choices") if self.field is not None else None
            return f"one of {', '.join(map(repr, choices))}" if choices else "a string"
        if kind is on_or_off:
            return "true or false"
        if kind is off_or_headers:
            return f'true, false or "{FORWARDED}"'
        if kind is file_mode:
            return 'a string of three octal digits, for example "660"'
        if kind is int:
            return "a whole number"
        has_unit = kind is seconds or kind in WHOLE
        return "a number, or a string with a unit" if has_unit else "a number or a string"

    def _parse_one(self, text: str, where: str) -> Any:
        return text if self._kind is None else _converted(self._kind, text, where)

    def _checked(self, value: Any, where: str) -> Any:
        if self.off or self.field is None:
            return value
        value = without_limits({self.name: value})[self.name]
        check(self.field, value, where)
        return value

    def _unexpected(self, expected: str, value: Any, where: str) -> ConfigurationError:
        secret = self.field is not None and self.field.metadata.get("secret")
        got = "" if secret else f", got {_shown(value)}"
        return ConfigurationError(f"{where}: expected {expected}{got}")


def _shown(value: Any) -> str:
    """Return a value of TOML for a message."""
    if isinstance(value, bool):
        return str(value).lower()
    return "a table" if isinstance(value, dict) else repr(value)


def _converted(kind: Any, text: str, where: str) -> Any:
    try:
        return kind(text)
    except ArgumentTypeError as error:
        raise ConfigurationError(f"{where}: {error}")
    except ValueError:
        expected = "a whole number" if kind is int else f"a {kind.__name__}"
        raise ConfigurationError(f"{where}: expected {expected}, got {text!r}")


def get_flag(field: dataclasses.Field[Any]) -> str:
    """Return the long flag of an option."""
    return str(field.metadata["flags"][-1])


def make_settings() -> list[Setting]:
    """Return a Setting for each flag of Options, and one for the application."""
    settings = [Setting(APPLICATION, APPLICATION, None)]
    for field in dataclasses.fields(Options):
        if not field.metadata["flags"]:
            continue
        settings.append(Setting(field.name, get_flag(field).removeprefix("--"), field))
        if "off" in field.metadata:
            key = field.metadata["off"].removeprefix("--")
            settings.append(Setting(field.name, key, field, off=True))
    return settings


SETTINGS = make_settings()


def nearest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Return the end of a sentence about a name that is not known.

    Args:
        name: the name.
        known: names to suggest.
        prefix: is written in front of a suggestion.
    Returns:
        "; did you mean ...?", or nothing if no name is similar.
    """
    close = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f"; did you mean {prefix}{close[0]}?" if close else ""
