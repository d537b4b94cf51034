"""runserver with watchfiles: a supervisor that keeps the port open, and the worker that it runs.

The first process sets Django up, as Django's own autoreloader does, and serves nothing. The worker
gets the command's options in an environment variable.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import logging
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import django
from django.core.management.base import CommandError
from django.template.autoreload import get_template_directories
from django.utils import autoreload

from daphne_like import reactor as reactors
from daphne_like.exceptions import ConfigurationError
from daphne_like.launch.command import CommandLineInterface
from daphne_like.launch.supervised import SupervisedCommand, to_configuration
from daphne_like.options import Options
from daphne_like.process.reload import OWN_CODE
from daphne_like.process.systemd import Notifier
from daphne_like.server import Server

VARIABLE = "_DAPHNE_LIKE_RUNSERVER"
"""Environment variable with the class of the command, its options and the Python path as JSON."""
TRANSLATIONS = "*.mo"


class SupervisedRunserver(SupervisedCommand):
    """The first process; its worker prints the banner."""

    def _ready(self) -> None:
        self._status.ready()


def serve_and_reload(
    command: type, django_options: dict[str, Any], options: Options, application: str
) -> int:
    """Serve with a worker that is replaced after each change, until a signal arrives.

    Args:
        command: class of the management command.
        django_options: its parsed options.
        options: those of the server, with the address.
        application: value of ASGI_APPLICATION.
    Returns:
        The exit status.
    Raises:
        ConfigurationError: an endpoint cannot be bound, or a directory does not exist.
    """
    told = {
        "command": f"{command.__module__}:{command.__qualname__}",
        "options": django_options,
        "path": sys.path,
    }
    os.environ[VARIABLE] = json.dumps(told, default=str)
    os.environ[autoreload.DJANGO_AUTORELOAD_ENV] = "true"  # projects ask for it
    configuration = to_configuration(RunserverWorker, application, with_watched(options))
    return SupervisedRunserver(reactors.install(), lambda: configuration, Notifier()).run()


def with_watched(options: Options) -> Options:
    """Return options that watch the project: its code, its templates and its translations."""
    templates = sorted(os.path.realpath(each) for each in get_template_directories())
    directories = options.reload_dir or outermost([os.getcwd(), *own_paths(sys.path), *templates])
    return dataclasses.replace(
        options,
        reload=True,
        reload_dir=tuple(directories),
        reload_include=(*options.reload_include, TRANSLATIONS, *templates),
    )


def own_paths(paths: Sequence[str]) -> list[str]:
    """Return the directories of a Python path that hold neither Python's nor installed modules."""
    installed = [os.path.realpath(each) for each in sysconfig.get_paths().values()]
    found = [os.path.realpath(each) for each in paths if os.path.isdir(each or ".")]
    return [each for each in found if not any(_is_below(each, other) for other in installed)]


def outermost(directories: Sequence[str]) -> list[str]:
    """Return existing directories without those that are below another one."""
    found = dict.fromkeys(os.path.realpath(each) for each in directories if os.path.isdir(each))
    return [
        each
        for each in found
        if not any(other != each and _is_below(each, other) for other in found)
    ]


def _is_below(path: str, directory: str) -> bool:
    return os.path.join(path, "").startswith(os.path.join(directory, ""))


class RunserverWorker(CommandLineInterface):
    """Serves the project in a worker, with the log and the banner of runserver."""

    django: Any = None

    def start_logging(self, options: Options) -> None:
        """Do nothing: the project's settings configure the log."""

    def make_server(self, path: str, options: Options) -> Server:
        server = super().make_server(path, options)
        if self.django is not None:
            server.action_logger = self.django.log_action if options.verbosity else None
        return server

    def load_asgi_app(self, path: str) -> Any:
        """Set Django up, check the project and return its application.

        Raises:
            ConfigurationError: a check has failed, or code of the project.
        """
        told = json.loads(os.environ.pop(VARIABLE))
        sys.path[:] = told["path"]
        try:
            django.setup()
            command = _load(told["command"])()
            application = command.prepare(told["options"])
        except CommandError as error:
            raise ConfigurationError(str(error))
        except Exception as error:  # noqa: BLE001 # the project may raise anything
            raise ConfigurationError(
                f"The project does not load: {type(error).__name__}: {error}",
                detail=format_own_frames(error),
            )
        self.django = command
        self.server_class = command.asgi_server_class
        return application

    def _ready(self, path: str) -> None:
        if self.django is not None:
            self.django.print_banner(self.server)
        else:
            logging.getLogger("daphne_like.server").info("The error is served until it is mended")
        super()._ready(path)


def format_own_frames(error: BaseException) -> str:
    """Format a traceback without the leading frames of Django, this package and the importer.

    If the project has no frame in it, all are kept, except for a SyntaxError, which names its line.
    """
    folders = [os.path.dirname(str(module.__file__)) for module in (django, importlib)]
    others = tuple(os.path.join(each, "") for each in (*folders, OWN_CODE))
    tb = error.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename.startswith((*others, "<frozen ")):
        tb = tb.tb_next
    if tb is None and not isinstance(error, SyntaxError):
        tb = error.__traceback__
    return "".join(traceback.format_exception(type(error), error, tb)).rstrip()


def _load(name: str) -> Callable[[], Any]:
    """Return the class of the management command; its module needs the apps to be loaded."""
    module, _, attribute = name.partition(":")
    __import__(module)
    return getattr(sys.modules[module], attribute)  # type: ignore[no-any-return] # a class
