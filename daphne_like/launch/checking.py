"""Checks a configuration without serving: `--check`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from daphne_like import reactor as reactors
from daphne_like.exceptions import ConfigurationError
from daphne_like.launch import log_config
from daphne_like.launch.configuration import Configuration, with_origins
from daphne_like.launch.log_setup import make_access_log
from daphne_like.launch.trial_import import try_import
from daphne_like.listening.fd import NotPassedOn
from daphne_like.listening.https_redirect import redirect_options
from daphne_like.listening.parse import endpoints_from
from daphne_like.listening.strings import endpoint_strings
from daphne_like.listening.unix_sockets import ownership
from daphne_like.observe.escaping import make_formatter
from daphne_like.options import Options, check_workers
from daphne_like.runtime.proxy_headers import ProxyHeaders


def check_configuration(configuration: Configuration, environ: Mapping[str, str]) -> None:
    """Check all options, and import the application in a process of its own.

    Files and users that options name are looked up, endpoint strings are parsed, certificates and
    keys are read. Nothing listens, no file is written, and the application is not started.

    Args:
        configuration: the configuration.
        environ: environment of the process that imports the application.
    Raises:
        ConfigurationError: the server would not start.
    """
    options = configuration.options
    try:
        check_options(options)
        try_import(configuration.application, options, environ)
    except ConfigurationError as error:
        raise with_origins(error, configuration.origins)


def check_options(options: Options) -> None:
    """Check everything that options name, except for the application.

    Raises:
        ConfigurationError: the server would not start.
    """
    check_workers(options)
    make_formatter(options.log_fmt)
    make_access_log(options)
    if options.log_config is not None:
        log_config.read(options.log_config)
    _check_access_log(options.access_log)
    ownership(options.unix_owner, options.unix_group)
    ProxyHeaders.from_options(options)
    reactors.require()  # twistd may have installed another reactor
    from twisted.internet import reactor

    for string in endpoint_strings(options):
        _check_endpoint(string, reactor, options)
    if options.https_redirect:
        for string in options.https_redirect:
            _check_endpoint(string, reactor, redirect_options(options))


def _check_endpoint(string: str, reactor: Any, options: Options) -> None:
    try:
        endpoints_from([string], reactor, options)
    except ConfigurationError as error:
        # A socket that systemd or another program opens exists only in the process that it starts.
        if not any(isinstance(each, NotPassedOn) for each in _causes(error)):
            raise


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__context__


def _check_access_log(path: str | None) -> None:
    """Refuse a file that cannot be appended to; it is not created."""
    if path in (None, "-"):
        return
    name = str(path)
    folder = os.path.dirname(name) or "."
    if os.path.isdir(name):
        reason = "it is a directory"
    elif os.path.exists(name):
        reason = "" if os.access(name, os.W_OK) else "it is not writable"
    elif not os.path.isdir(folder):
        reason = f"there is no directory {folder}"
    else:
        reason = "" if os.access(folder, os.W_OK) else f"the directory {folder} is not writable"
    if reason:
        raise ConfigurationError(f"--access-log: cannot append to {name}: {reason}")
