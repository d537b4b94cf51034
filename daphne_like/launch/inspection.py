"""Answers `--check` and `--print-config`, with which nothing is served."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from daphne_like.launch.checking import check_configuration
from daphne_like.launch.configuration import Configuration
from daphne_like.launch.printing import to_toml

VALID = "configuration is valid\n"


def answer(
    parsed: argparse.Namespace, configuration: Configuration, environ: Mapping[str, str]
) -> str:
    """Return the text to print.

    Args:
        parsed: a command line with `--check`, `--print-config` or both.
        configuration: the configuration of that command line.
        environ: see check_configuration.

    Raises:
        ConfigurationError: `--check` has found an error.
    """
    if parsed.check:
        check_configuration(configuration, environ)
    if parsed.print_config:
        return to_toml(configuration)
    return VALID
