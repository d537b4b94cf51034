"""Context managers that serve an application in a process, as `daphne.testing` has them."""

from __future__ import annotations

import multiprocessing
from types import TracebackType
from typing import TYPE_CHECKING, Any

from daphne_like.testing.application import TestApplication
from daphne_like.testing.process import DaphneProcess

if TYPE_CHECKING:
    from typing_extensions import Self

END_SECONDS = 5.0


class BaseDaphneTestingInstance:
    """A server for the length of a `with` block.

    Args:
        xff: take the client from X-Forwarded-For, -Port and -Proto.
        http_timeout: seconds; None for no limit.
        request_buffer_size: octets of body in an event.
        websocket_max_message_size: octets; 0 for no limit.
        websocket_max_frame_size: octets; 0 for no limit.
        application: ASGI. It gets no lifespan scope, as it got none from Daphne.

    Attributes:
        host, port: where it listens, inside of the block.
    """

    startup_timeout: float = 10
    """Seconds for the server to listen. Daphne's two are few where a process is spawned."""

    def __init__(
        self,
        xff: bool = False,
        http_timeout: int | None = None,
        request_buffer_size: int | None = None,
        websocket_max_message_size: int | None = None,
        websocket_max_frame_size: int | None = None,
        *,
        application: Any,
    ) -> None:
        self.xff = xff
        self.http_timeout = http_timeout
        self.host = "127.0.0.1"
        self.port = 0
        self.request_buffer_size = request_buffer_size
        self.websocket_max_message_size = websocket_max_message_size
        self.websocket_max_frame_size = websocket_max_frame_size
        self.application = application

    def get_application(self) -> Any:
        """The application; called in the child."""
        return self.application

    def process_setup(self) -> None:
        """Called in the child just before it serves."""

    def process_teardown(self) -> None:
        """Called in the child when it has stopped serving; not when it was terminated."""

    def get_received(self) -> Any:
        """What the application has received; for subclasses."""

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {"lifespan": "off"}
        if self.xff:
            settings["proxy_forwarded_address_header"] = "X-Forwarded-For"
            settings["proxy_forwarded_port_header"] = "X-Forwarded-Port"
            settings["proxy_forwarded_proto_header"] = "X-Forwarded-Proto"
        if self.http_timeout:
            settings["http_timeout"] = self.http_timeout
        if self.request_buffer_size:
            settings["request_buffer_size"] = self.request_buffer_size
        for name in ("websocket_max_message_size", "websocket_max_frame_size"):
            if getattr(self, name) is not None:
                settings[name] = getattr(self, name) or None
        return settings

    def __enter__(self) -> Self:
        self.process = DaphneProcess(
            host=self.host,
            get_application=self.get_application,
            kwargs=self._settings(),
            setup=self.process_setup,
            teardown=self.process_teardown,
        )
        self.process.start()
        if not self.process.ready.wait(self.startup_timeout):
            cause = self.process.cause()
            self._end()
            raise RuntimeError(f"The server did not start:\n{cause}")
        self.port = self.process.port.value
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        process = self.process
        del self.process
        process.terminate()
        process.join(END_SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
        process.errors.close()

    def __getstate__(self) -> dict[str, Any]:
        # A spawned child gets this object as `self` of get_application; not its own process.
        return {name: value for name, value in self.__dict__.items() if name != "process"}


class DaphneTestingInstance(BaseDaphneTestingInstance):
    """A server for the length of a `with` block, whose application is a TestApplication.

    Takes the arguments of BaseDaphneTestingInstance but for `application`.
    """

    application: TestApplication

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.lock = multiprocessing.Lock()
        super().__init__(*args, **kwargs, application=TestApplication(lock=self.lock))

    def __enter__(self) -> Self:
        self.application.delete_setup()
        self.application.delete_result()
        return super().__enter__()

    def _end(self) -> None:
        super()._end()
        self._last = self._load()
        self.application.delete_storage()

    def _load(self) -> dict[str, Any] | None:
        try:
            return self.application.load_result()
        except FileNotFoundError:
            return None

    def get_received(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The scope and all events of the latest instance; after the block too.

        Raises:
            ValueError: nothing was received yet.
            Exception: what the application has raised.
        """
        if hasattr(self, "process"):
            with self.lock:
                result = self._load()
        else:
            result = self._last
        if result is None:
            raise ValueError("The application has received nothing yet.")
        if "exception" in result:
            raise result["exception"]
        return result["scope"], result["messages"]

    def add_send_messages(self, messages: list[dict[str, Any]]) -> None:
        """Let the application send these after the next event that it receives."""
        with self.lock:
            self.application.save_setup(response_messages=messages)
