"""Context managers like those of `daphne.testing` that serve an application in a process."""

from __future__ import annotations

import multiprocessing
from types import TracebackType
from typing import TYPE_CHECKING, Any

from daphne_like.testing.application import Message, Received, TestApplication
from daphne_like.testing.process import DaphneProcess

if TYPE_CHECKING:
    from typing_extensions import Self

OWN_CHILD = "process"
"""Attribute that is not pickled for the child: a process cannot contain itself."""


class BaseDaphneTestingInstance:
    """A server for the duration of a `with` block.

    Args:
        xff: take the client's address from X-Forwarded-For, -Port and -Proto.
        http_timeout: seconds; None for no limit.
        request_buffer_size: bytes of body in one event.
        websocket_max_message_size: bytes; 0 for no limit.
        websocket_max_frame_size: bytes; 0 for no limit.
        application: ASGI application. It gets no lifespan scope, as under Daphne.

    Attributes:
        host, port: address on which the server listens, inside the block.
        settings: options of the server by name; may be changed before the block.
    """

    host = "127.0.0.1"
    port = 0
    startup_timeout: float = 10
    """Seconds for the server to listen. Daphne's 2 seconds are too few for a spawned process."""
    process: DaphneProcess | None = None

    def __init__(
        self,
        xff: bool = False,
        http_timeout: float | None = None,
        request_buffer_size: int | None = None,
        websocket_max_message_size: int | None = None,
        websocket_max_frame_size: int | None = None,
        *,
        application: Any,
    ) -> None:
        self.application = application
        chosen = {
            "http_timeout": http_timeout,
            "request_buffer_size": request_buffer_size,
            "websocket_max_message_size": websocket_max_message_size,
            "websocket_max_frame_size": websocket_max_frame_size,
        }
        # None means the server's default; 0 means no limit, which the server calls None.
        given = {name: value or None for name, value in chosen.items() if value is not None}
        self.settings: dict[str, Any] = {"lifespan": "off", "proxy_headers": xff, **given}

    def get_application(self) -> Any:
        """Return the application; called in the child."""
        return self.application

    def process_setup(self) -> None:
        """Do nothing; for subclasses. Called in the child just before it serves."""

    def process_teardown(self) -> None:
        """Do nothing; for subclasses. Called in the child after serving, unless terminated."""

    def get_received(self) -> Any:
        """Return the data that the application has received; for subclasses."""

    def __enter__(self) -> Self:
        process = DaphneProcess(
            self.host,
            self.get_application,
            self.settings,
            self.process_setup,
            self.process_teardown,
        )
        self.port = process.listening(self.startup_timeout)
        self.process = process
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.end()

    def __getstate__(self) -> dict[str, Any]:
        # A spawned child receives this object as `self` of get_application.
        return {name: value for name, value in vars(self).items() if name != OWN_CHILD}


class DaphneTestingInstance(BaseDaphneTestingInstance):
    """A server for the duration of a `with` block, whose application is a TestApplication.

    It takes the arguments of BaseDaphneTestingInstance except `application`.
    """

    application: TestApplication
    _at_end: Received | None = None

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        lock = multiprocessing.Lock()
        super().__init__(*arguments, application=TestApplication(lock), **settings)
        self.lock = lock

    def __exit__(self, *how: Any) -> None:
        super().__exit__(*how)
        self._at_end = self._received()
        self.application.close()

    def _received(self) -> Received | None:
        try:
            return self.application.load_result()
        except FileNotFoundError:
            return None

    def get_received(self) -> tuple[dict[str, Any], list[Message]]:
        """Return the scope and all events of the latest application instance; also after the block.

        Raises:
            ValueError: nothing was received yet.
            Exception: the application's exception.
        """
        if self.process is None:  # ended, perhaps while holding the lock
            received = self._at_end
        else:
            with self.lock:
                received = self._received()
        if received is None:
            raise ValueError("The application has received nothing yet.")
        if received.exception is not None:
            raise received.exception
        return received.scope, received.messages

    def add_send_messages(self, messages: list[Message]) -> None:
        """Let the application send these messages after the next event that it receives."""
        with self.lock:
            self.application.save_setup(messages)
