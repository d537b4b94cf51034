"""A test case for Django projects: the project's ASGI application on a real server."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import django
from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.test import TransactionTestCase
from django.test.utils import modify_settings, setup_test_environment

from daphne_like.testing.process import DaphneProcess


def make_application(
    path: str,
    static_wrapper: Callable[[Any], Any] | None,
    databases: dict[str, str],
    changed: dict[str, Any],
) -> Any:
    """Return the project's application, which uses the test databases; called in the child.

    Args:
        path: "module:attribute".
        static_wrapper: wraps the application to serve static files, or None.
        databases: alias -> name of the test database.
        changed: settings that the test run has changed; a spawned child does not inherit them.
    """
    from daphne_like.asgi.application import import_application

    django.setup()
    try:
        setup_test_environment(debug=changed["DEBUG"])  # collects mail instead of sending it
    except RuntimeError:
        pass  # it was called before the fork
    for name, value in changed.items():
        setattr(settings, name, value)
    for alias, name in databases.items():
        settings.DATABASES[alias]["NAME"] = name
        connections[alias].settings_dict["NAME"] = name
    application = import_application(path)
    return application if static_wrapper is None else static_wrapper(application)


class ASGILiveServerTestCase(TransactionTestCase):  # type: ignore[misc] # Django has no types
    """A TransactionTestCase with a real server for the class, like `LiveServerTestCase`.

    The server runs in a separate process and uses the test databases, which therefore must not be
    in memory. It serves WebSockets too.
    """

    host = "localhost"
    port = 0
    """Port to listen on; 0 for a free one."""
    application: ClassVar[str | None] = None
    """ "module:attribute", or None for the setting ASGI_APPLICATION."""
    serve_static = True
    static_wrapper: ClassVar[Any] = ASGIStaticFilesHandler
    server_options: ClassVar[dict[str, Any]] = {}
    """Options by the names of `daphne_like.options.Options`."""
    startup_timeout: float = 30
    """Seconds for the server to listen."""

    server_process: ClassVar[DaphneProcess]

    @property
    def live_server_url(self) -> str:
        """URL of the server: `http://host:port`."""
        return f"http://{self.host}:{self.server_process.port.value}"

    @property
    def live_server_ws_url(self) -> str:
        """WebSocket URL of the server: `ws://host:port`."""
        return f"ws://{self.host}:{self.server_process.port.value}"

    @classmethod
    def setUpClass(cls) -> None:
        for connection in connections.all():
            if connection.vendor == "sqlite" and connection.is_in_memory_db():
                raise ImproperlyConfigured(
                    f"{cls.__name__} needs a test database that another process can open: give "
                    f'DATABASES["{connection.alias}"] a file, as in "TEST": '
                    '{"NAME": BASE_DIR / "test.sqlite3"}'
                )
        super().setUpClass()
        allowed = modify_settings(ALLOWED_HOSTS={"append": cls.host})
        allowed.enable()
        cls.addClassCleanup(allowed.disable)
        cls._start()

    @classmethod
    def _start(cls) -> None:
        process = DaphneProcess(
            cls.host,
            partial(
                make_application,
                cls._application_path(),
                cls.static_wrapper if cls.serve_static else None,
                {one.alias: str(one.settings_dict["NAME"]) for one in connections.all()},
                {"ALLOWED_HOSTS": list(settings.ALLOWED_HOSTS), "DEBUG": settings.DEBUG},
            ),
            kwargs=cls.server_options,
            port=cls.port,
        )
        cls.server_process = process
        process.listening(cls.startup_timeout)
        cls.addClassCleanup(process.end)

    @classmethod
    def _application_path(cls) -> str:
        if cls.application is not None:
            return cls.application
        path = getattr(settings, "ASGI_APPLICATION", None)
        if not path:
            raise ImproperlyConfigured(
                f"{cls.__name__} needs the setting ASGI_APPLICATION, or an attribute `application`"
            )
        module, _, attribute = str(path).rpartition(".")
        return f"{module}:{attribute}"
