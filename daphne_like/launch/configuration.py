"""Merges the command line, the environment, a file and the defaults into one configuration."""

from __future__ import annotations

import dataclasses
import enum
import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from daphne_like.exceptions import ConfigurationError
from daphne_like.launch.configuration_file import find_file, read_file
from daphne_like.launch.environment import read_environment
from daphne_like.launch.settings import APPLICATION, Setting, get_flag
from daphne_like.options import ONLY_WITH_WORKERS, WEB_CONCURRENCY, Options, without_limits

DEMO = "daphne_like.demo:application"
FLAG = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")


class Source(enum.Enum):
    """Source of a value; later ones win."""

    DEFAULT = "default"
    FILE = "file"
    VARIABLE = "variable"
    FLAG = "flag"
    ARGUMENT = "argument"


class Origin(NamedTuple):
    """The source of a value, and its name: a flag, a variable or the path of a file."""

    source: Source
    name: str = ""

    def __str__(self) -> str:
        return f"{self.source.value} {self.name}".rstrip()


@dataclass(frozen=True)
class Configuration:
    """The result of all sources.

    Attributes:
        options: the options.
        application: "module:attribute".
        origins: the Origin of each option by its name in Options, and of APPLICATION.
        file: absolute path of the file that was read, or None.
    """

    options: Options
    application: str = DEMO
    origins: Mapping[str, Origin] = dataclasses.field(default_factory=dict)
    file: str | None = None

    def origin(self, name: str) -> Origin:
        """Return where the value of an option, or of APPLICATION, comes from."""
        return self.origins.get(name, Origin(Source.DEFAULT))


def load(
    given: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    defaults: Mapping[str, Any] | None = None,
    unless_flags: Collection[str] = (),
) -> Configuration:
    """Read the file and the environment, and merge them with a parsed command line.

    This function neither prints nor exits, so a long-running process may call it again to learn
    what has changed.

    Args:
        given: values of the command line, by option, as `arguments.make_parser` parses them: only
            what was given; also `config`, the path of the file, and APPLICATION. Other names have
            no effect.
        environ: the environment.
        defaults: defaults that differ from those of Options.
        unless_flags: options that only the command line may set; values of the file and the
            environment are checked and then not used.
    Raises:
        ConfigurationError: a source or a value is wrong; the sentence names the source.
    """
    path = find_file(given.get("config"), environ)
    values = dict(defaults or {})
    origins: dict[str, Origin] = {}
    for source, place, found in (
        (Source.FILE, path, read_file(path) if path is not None else ()),
        (Source.VARIABLE, None, read_environment(environ)),
    ):
        for name, (value, origin) in _collect(found, source, place).items():
            if name not in unless_flags:
                values[name], origins[name] = value, origin
    for field in dataclasses.fields(Options):
        if field.name in given:
            value = given[field.name]
            value = tuple(value) if field.metadata.get("repeated") else value
            values[field.name] = value
            origins[field.name] = Origin(Source.FLAG, get_flag(field))
    if given.get(APPLICATION) is not None:
        values[APPLICATION] = given[APPLICATION]
        origins[APPLICATION] = Origin(Source.ARGUMENT)
    _leave_out_workers(values, origins)
    application = values.pop(APPLICATION, DEMO)
    try:
        options = Options(**without_limits(values))
    except ConfigurationError as error:
        raise with_origins(error, origins)
    return Configuration(options, application, origins, path and os.path.abspath(path))


def _leave_out_workers(values: dict[str, Any], origins: dict[str, Origin]) -> None:
    """Remove options of workers that --reload overrides.

    A developer gives --reload beside the file of the production, and some platforms set
    WEB_CONCURRENCY everywhere. Both from the same source contradict each other.
    """
    if not values.get("reload"):
        return
    order = [*Source]
    reloads = order.index(origins["reload"].source) if "reload" in origins else 0
    for name in ("workers", "max_requests_jitter", *ONLY_WITH_WORKERS):
        origin = origins.get(name)
        if origin is not None and (
            order.index(origin.source) < reloads or origin.name == WEB_CONCURRENCY
        ):
            del values[name], origins[name]


def _collect(
    found: Iterable[tuple[Setting, str, Any]], source: Source, path: str | None
) -> dict[str, tuple[Any, Origin]]:
    """Return the values of one source by option.

    Raises:
        ConfigurationError: two names of the source mean the same option.
    """
    names: dict[str, str] = {}
    values: dict[str, tuple[Any, Origin]] = {}
    for setting, name, value in found:
        if setting.off:
            if not value:
                continue
            value = None
        if setting.name in values:
            where = f"{path}: " if path is not None else ""
            raise ConfigurationError(
                f"{where}{names[setting.name]} and {name} set the same option; leave one out"
            )
        names[setting.name] = name
        values[setting.name] = value, Origin(source, path or name)
    return values


def with_origins(error: ConfigurationError, origins: Mapping[str, Origin]) -> ConfigurationError:
    """Return an error whose sentence says where the options that it names are set.

    Options of the command line need no explanation, and defaults have none.
    """
    fields = {
        flag: field.name
        for field in dataclasses.fields(Options)
        for flag in field.metadata["flags"]
    }
    sentence = str(error)
    places = [
        f"{flag} is set by the {origins[fields[flag]]}"
        for flag in dict.fromkeys(FLAG.findall(sentence))
        if fields.get(flag) in origins
        and origins[fields[flag]].source in (Source.FILE, Source.VARIABLE)
    ]
    if not places:
        return error
    return ConfigurationError(
        f"{sentence} ({'; '.join(places)})", exit_status=error.exit_status, detail=error.detail
    )
