"""`TestApplication`: records received events and sends prepared messages."""

from __future__ import annotations

import os
import pickle
import shutil
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

Message = dict[str, Any]


class Received(NamedTuple):
    """Scope and events of the latest application instance, and its exception, if any."""

    scope: dict[str, Any]
    messages: list[Message]
    exception: Exception | None = None


class Slot:
    """A value that one process writes and another one reads.

    Args:
        path: path of the file for the value.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def put(self, value: object) -> None:
        """Replace the value atomically."""
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        new = self._path.with_name(uuid4().hex)
        new.write_bytes(pickle.dumps(value))
        os.replace(new, self._path)

    def get(self) -> Any:
        """Return the value.

        Raises:
            FileNotFoundError: there is no value.
        """
        return pickle.loads(self._path.read_bytes())  # noqa: S301 # written by `put`

    def clear(self) -> None:
        """Remove the value, if there is one."""
        self._path.unlink(missing_ok=True)


class TestApplication:
    """An ASGI application that a test in another process controls and inspects.

    Each has its own folder, so that two applications never read each other's results.

    Args:
        lock: lock shared by the two processes, held for reading and for writing.

    Attributes:
        folder: folder for messages and results; only this user can access it.
    """

    __test__ = False  # not a test class, despite its name

    def __init__(self, lock: AbstractContextManager[Any]) -> None:
        self.lock = lock
        self.folder = tempfile.mkdtemp(prefix="daphne_like-")
        self._to_send = Slot(Path(self.folder, "to-send"))
        self._received = Slot(Path(self.folder, "received"))
        self._latest: dict[str, Any] = {}

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self._latest = scope
        messages: list[Message] = []
        try:
            over = False
            while not over:
                messages.append(await receive())
                over = messages[-1]["type"].endswith(".disconnect")
                for answer in self._note(scope, messages, over):
                    await send(answer)
        except Exception as error:  # noqa: BLE001 # get_received raises it in the test
            with self.lock:
                self.save_exception(error, scope, messages)

    def _note(self, scope: dict[str, Any], messages: list[Message], over: bool) -> list[Message]:
        """Save the events for the test; return the messages that it wants to send now."""
        with self.lock:
            if scope is self._latest:  # an older instance may end after the next one has begun
                self.save_result(scope, messages)
            if over:  # messages prepared from now on are for the next instance
                return []
            answers = self.load_setup()
            self.delete_setup()
            return answers

    def save_setup(self, response_messages: list[Message]) -> None:
        """Save the messages to send after the next event."""
        self._to_send.put(response_messages)

    def load_setup(self) -> list[Message]:
        """Return the messages to send after the next event."""
        try:
            answers: list[Message] = self._to_send.get()
            return answers
        except FileNotFoundError:
            return []

    def delete_setup(self) -> None:
        """Remove the messages to send."""
        self._to_send.clear()

    def save_result(self, scope: dict[str, Any], messages: list[Message]) -> None:
        """Save scope and received events."""
        self._received.put(Received(scope, messages))

    def save_exception(
        self, exception: Exception, scope: dict[str, Any], messages: list[Message]
    ) -> None:
        """Save an exception, or only its text if it cannot be pickled."""
        try:
            self._received.put(Received(scope, messages, exception))
        except Exception:  # noqa: BLE001 # exceptions of any kind have __reduce__ of any kind
            said = RuntimeError(f"{type(exception).__name__}: {exception}")
            self._received.put(Received(scope, messages, said))

    def load_result(self) -> Received:
        """Return the result that was saved last.

        Raises:
            FileNotFoundError: nothing was saved yet.
        """
        received: Received = self._received.get()
        return received

    def delete_result(self) -> None:
        """Remove the saved result."""
        self._received.clear()

    def close(self) -> None:
        """Remove the folder; saving something creates it again."""
        shutil.rmtree(self.folder, ignore_errors=True)
