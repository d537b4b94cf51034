"""Starts the logs of a process as its options say: the log on standard error, the access log."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

from twisted.python import log as twisted_log

from daphne_like.exceptions import ConfigurationError
from daphne_like.launch import log_config
from daphne_like.observe import access, access_formats, journal, loggers, request_identity
from daphne_like.observe.access_json import json_line
from daphne_like.observe.escaping import make_formatter
from daphne_like.observe.handlers import FileHandler, handler_for
from daphne_like.observe.structured import ECS, JSON, TEXT, StructuredFormatter
from daphne_like.observe.terminal import has_colours
from daphne_like.options import LOG_LINE, Options

LEVELS = {0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG, 3: logging.DEBUG}


def start_logging(options: Options, prefix: str = "") -> None:
    """Log to standard error at the level of `-v`; from -v 2, include Twisted's own log.

    Args:
        options: the options.
        prefix: put in front of each message, to name the process.

    Raises:
        ConfigurationError: --log-fmt is not a valid format, or the file of --log-config is wrong.
    """
    if options.log_config is not None:
        log_config.configure(options.log_config)
    handler = _error_handler(options, prefix)
    logging.basicConfig(level=LEVELS[options.verbosity], handlers=[handler])
    loggers.enable()
    loggers.use_level(LEVELS[options.verbosity])
    loggers.leave_out_internals(options.verbosity)
    if options.log_format != TEXT:
        logging.captureWarnings(True)  # otherwise they would be the only lines that are no JSON
    identify(options)
    if options.verbosity >= 2:
        twisted_log.PythonLoggingObserver(loggerName="twisted").start()


def keep_a_handler(options: Options, prefix: str = "") -> None:
    """Log to standard error again if the application has removed every handler."""
    logger = logging.getLogger("daphne_like")
    if logger.propagate and not logger.hasHandlers():
        logging.getLogger().addHandler(_error_handler(options, prefix))
    identify(options)


def identify(options: Options) -> None:
    """Let all handlers, the application's too, know the ids of requests, if they are wanted."""
    if request_identity.are_wanted(options):
        request_identity.identify_records()


def _error_handler(options: Options, prefix: str) -> logging.Handler:
    handler = handler_for(sys.stderr, "the log on standard error")
    handler.setFormatter(error_formatter(options, prefix, journal.listens(sys.stderr, os.environ)))
    return handler


def error_formatter(options: Options, prefix: str = "", for_journal: bool = False) -> Any:
    """Return the formatter of the log.

    Args:
        options: the options.
        prefix: names the process.
        for_journal: the lines go to systemd's journal.
    Raises:
        ConfigurationError: --log-fmt is not a valid format.
    """
    formatter: logging.Formatter
    if options.log_format == TEXT:
        log_format = options.log_fmt
        if for_journal and log_format == LOG_LINE:
            log_format = "%(message)s"  # the journal has time and priority
        formatter = make_formatter(with_prefix(log_format, prefix))
    else:
        formatter = StructuredFormatter(options.log_format, process_name(prefix))
    return journal.WithPriority(formatter) if for_journal else formatter


def with_prefix(log_format: str, prefix: str) -> str:
    """Return a format of log lines that puts a prefix in front of each message."""
    return log_format.replace("%(message)", f"{prefix}%(message)") if prefix else log_format


def process_name(prefix: str) -> str:
    """Return what a prefix of log lines says of the process: `worker 1` of `worker 1: `."""
    return prefix.rstrip(": ")


def access_log_of_file(options: Options) -> access.AccessLog | None:
    """Return the access log of an embedded server, if its option `access_log` is set.

    A process has one access log; the server that starts last decides where it goes.

    Raises:
        ConfigurationError: its file cannot be opened.
    """
    return None if options.access_log is None else open_access_log(options)


def open_access_log(options: Options, prefix: str = "") -> access.AccessLog | None:
    """Return the access log that the options request; None for no access log.

    Without `--access-log`, handlers configured for the logger `daphne_like.access` or
    `daphne_like` replace standard output.

    Args:
        options: the options.
        prefix: names the process.
    Raises:
        ConfigurationError: its file cannot be opened, or its format is wrong.
    """
    if options.access_log in (None, "-"):
        if options.access_log is None and access.is_configured():
            return make_access_log(options, prefix)
        if options.access_log is None and options.verbosity < 1:
            return None
        access.write_to(handler_for(sys.stdout, "the access log on standard output"))
        return make_access_log(options, prefix, colours=has_colours(sys.stdout, os.environ))
    try:
        access.write_to(FileHandler(str(options.access_log)))
    except OSError as error:
        raise ConfigurationError(
            f"--access-log: cannot append to {options.access_log}: {error.strerror}"
        )
    return make_access_log(options, prefix)


def make_access_log(
    options: Options, prefix: str = "", *, colours: bool = False
) -> access.AccessLog:
    """Return an access log in the format that the options name.

    Args:
        options: the options.
        prefix: names the process.
        colours: the status may be coloured; only in Daphne's format.
    Raises:
        ConfigurationError: the format has an atom that is not known.
    """
    text = access_format(options)
    excluded = options.access_log_exclude
    if text == access_formats.DAPHNE:
        return access.AccessLog(excluded=excluded, has_colours=colours)
    if text == access_formats.JSON:
        style = ECS if options.log_format == ECS else JSON
        line = json_line(style, process_name(prefix))
        return access.FormattedAccessLog(line, excluded=excluded, raw=True)
    if text == access_formats.COMBINED:
        text = access_formats.COMBINED_FORMAT
    return access.FormattedAccessLog(
        access_formats.compile_format(text),
        excluded=excluded,
        keeps_fields=access_formats.needs_fields(text),
    )


def access_format(options: Options) -> str:
    """Return the format of the access log: a name, or text with atoms."""
    if options.access_log_format is not None:
        return options.access_log_format
    return access_formats.DAPHNE if options.log_format == TEXT else access_formats.JSON
