"""Turns the fields of Options into a parser of the command line."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from daphne_like import __version__
from daphne_like.launch import spellings
from daphne_like.options import PLACEHOLDERS, Options

COMMAND = "daphne-like"

EPILOG = """examples:
  daphne-like                                    the demo, at http://127.0.0.1:8000/
  daphne-like mysite.asgi:application            a Django project's application
  daphne-like --factory main:make_app            call make_app() for the application
  daphne-like -b 0.0.0.0 -p 80 main:app          every IPv4 address, port 80
  daphne-like -u /run/site.sock main:app         a UNIX socket, for nginx
  daphne-like -e tcp:80 -e unix:/run/s main:app  several endpoints at once
  daphne-like status /run/status.sock            what a server with --status does
  daphne-like stacks /run/status.sock            where its application instances wait
"""

CONFIGURATION = """
configuration:
  Each option is taken from the command line, else from the environment, else from a TOML file, else
  from its default. For example, --max-body-size 512M is
    DAPHNE_LIKE_MAX_BODY_SIZE=512M    in the environment, and
    max-body-size = "512M"            in the file; application = "main:app" stands there, too.
  A switch is true or false in the file, on or off in the environment. An option that may be given
  several times is a list of strings in the file, and separated by spaces in the environment.
"""


class Parser(argparse.ArgumentParser):
    """Reports an error in one sentence, without printing the usage first."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, with more helpful messages about unknown options."""
        known = self._option_string_actions  # argparse's only list of option spellings
        arguments = list(sys.argv[1:] if args is None else args)
        for argument in itertools.takewhile(lambda each: each != "--", arguments):
            # Check first: argparse might accept it as an abbreviation of a known option.
            ours = spellings.foreign(argument, known)
            if ours is not None:
                self.error(f"there is no option {argument.partition('=')[0]}: {ours}")
        parsed, unknown = self.parse_known_args(with_words(arguments), namespace)
        if unknown:
            # The argument after an unknown option may be its value, so name the option.
            first = next((each for each in unknown if each.startswith("-")), unknown[0])
            close = spellings.suggestion(first, known) if first.startswith("-") else None
            hint = f"; did you mean {close}?" if close else ""
            self.error(f"unrecognized arguments: {first}{hint}")
        return parsed

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} ({self.prog} --help lists the options)\n")


def make_parser(
    description: str, name: str = COMMAND, epilog: str = EPILOG, without: Sequence[str] = ()
) -> argparse.ArgumentParser:
    """Return a command-line parser for the fields of Options.

    Args:
        description: first line of the help.
        name: name of the program.
        epilog: last lines of the help.
        without: groups of options that the parser does not know; they keep their defaults.
    """
    parser = Parser(
        prog=name,
        usage="%(prog)s [options] [module:application]",
        description=description,
        epilog=epilog + CONFIGURATION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"daphne-like {__version__}")
    parser.add_argument(
        "application",
        nargs="?",
        metavar="module:application",
        help="the application to serve, for example mysite.asgi:application; `application`, then "
        "`app`, if no attribute is given; the built-in demo if nothing is given",
    )
    groups: dict[str, Any] = {}
    add_config(parser)
    parser.add_argument(
        "--check",
        action="store_true",
        help="check all options and files, import the application in another process, and exit; "
        "nothing listens",
    )
    parser.add_argument(
        "--print-config",
        action="store_true",
        help="print all options as TOML, with the origin of each value, and exit",
    )
    for field in dataclasses.fields(Options):
        metadata = field.metadata
        if not metadata["flags"] or metadata["group"] in without:
            continue
        name = metadata["group"]
        group = groups.setdefault(name, None) or parser.add_argument_group(name)
        groups[name] = group
        add_option(group, field, field.default)
    return parser


def add_config(group: Any) -> None:
    """Add the option that names a file of options."""
    group.add_argument(
        "--config",
        metavar="FILE",
        help="TOML file with options; by default the one that DAPHNE_LIKE_CONFIG names, else "
        "daphne-like.toml in the working directory, if it exists",
    )


def add_option(
    group: Any, field: dataclasses.Field[Any], default: Any, allow_words: bool = True
) -> None:
    """Add the option that a field of Options describes; parsing sets it only if it is given.

    Args:
        group: argument group of argparse.
        field: field of Options.
        default: value to show in the help.
        allow_words: a switch that may have a value takes it; the parser is a Parser.
    """
    metadata = field.metadata
    settings: dict[str, Any] = {
        "dest": field.name,
        "help": metadata["help"].replace("%", "%%"),
        "default": argparse.SUPPRESS,
    }
    if field.default is False and metadata.get("words") and allow_words:
        settings |= {
            "type": metadata["kind"],
            "nargs": "?",
            "const": True,
            "metavar": metadata["metavar"],
        }
    elif field.default is False:
        settings["action"] = "store_true"
    elif metadata.get("repeated"):
        settings |= {"action": "append", "metavar": metadata["metavar"]}
    else:
        settings["type"] = metadata["kind"] or str
        if metadata.get("choices"):
            settings["choices"] = metadata["choices"]
        elif metadata.get("metavar"):
            settings["metavar"] = metadata["metavar"]
        elif metadata["kind"] in PLACEHOLDERS:
            settings["metavar"] = PLACEHOLDERS[metadata["kind"]]
        if default not in (None, ""):
            shown = "on" if default is True else default
            settings["help"] += f" (default: {shown})".replace("%", "%%")
    group.add_argument(*metadata["flags"], **settings)
    if metadata.get("off"):
        group.add_argument(
            metadata["off"],
            dest=field.name,
            action="store_const",
            const=None,
            default=argparse.SUPPRESS,
            help="send no Server field",
        )


WORDS = {
    flag: field.metadata["words"]
    for field in dataclasses.fields(Options)
    if "words" in field.metadata
    for flag in field.metadata["flags"]
}
"""Flags of switches that may have a value -> the values."""


def with_words(arguments: list[str]) -> list[str]:
    """Join switches and the words that may follow them: `--proxy-headers=forwarded`.

    Otherwise argparse would take the application in `--proxy-headers main:app` for the value.
    """
    joined: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        while argument in WORDS:
            following = next(rest, None)
            if following in WORDS[argument]:
                argument = f"{argument}={following}"
            else:
                joined.append(f"{argument}=on")
                if following is None:
                    return joined
                argument = following
        joined.append(argument)
        if argument == "--":
            break
    return [*joined, *rest]


def with_dashes(arguments: list[str]) -> list[str]:
    """Replace Daphne's underscores in option names (`--websocket_timeout`) with dashes."""
    changed: list[str] = []
    for position, argument in enumerate(arguments):
        if argument == "--":
            return changed + arguments[position:]
        if argument.startswith("--"):
            name, equals, value = argument.partition("=")
            argument = name.replace("_", "-") + equals + value
        changed.append(argument)
    return changed
