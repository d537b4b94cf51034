"""`TestApplication`: notes what it receives and sends what it is told to."""

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
    """What the latest instance of an application has received, and how it failed if it did."""

    scope: dict[str, Any]
    messages: list[Message]
    exception: Exception | None = None


class Slot:
    """A value that one process puts down and another one picks up.

    Args:
        path: of a file for it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def put(self, value: object) -> None:
        """Put a value in the place of the one that is there; never half of it is to be seen."""
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        new = self._path.with_name(uuid4().hex)
        new.write_bytes(pickle.dumps(value))
        os.replace(new, self._path)

    def get(self) -> Any:
        """The value.

        Raises:
            FileNotFoundError: there is none.
        """
        return pickle.loads(self._path.read_bytes())  # noqa: S301 # our own, in our own folder

    def clear(self) -> None:
        """Take it away, if there is one."""
        self._path.unlink(missing_ok=True)


class TestApplication:
    """An ASGI application that a test in another process looks into.

    Each has a folder of its own, so two never read each other's results.

    Args:
        lock: shared by the two processes, held for reading and for writing.

    Attributes:
        folder: where it keeps both; for this user only.
    """

    __test__ = False  # not a class of tests, whatever it is called

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
        """Show the test what has come; what it wants to have sent now."""
        with self.lock:
            if scope is self._latest:  # not one whose end comes after the next one began
                self.save_result(scope, messages)
            if over:  # what a test tells after an answer is for the next instance
                return []
            answers = self.load_setup()
            self.delete_setup()
            return answers

    def save_setup(self, response_messages: list[Message]) -> None:
        """Keep what is to be sent after the next event."""
        self._to_send.put(response_messages)

    def load_setup(self) -> list[Message]:
        """What is to be sent after the next event."""
        try:
            answers: list[Message] = self._to_send.get()
            return answers
        except FileNotFoundError:
            return []

    def delete_setup(self) -> None:
        """Nothing is to be sent."""
        self._to_send.clear()

    def save_result(self, scope: dict[str, Any], messages: list[Message]) -> None:
        """Keep what was received."""
        self._received.put(Received(scope, messages))

    def save_exception(
        self, exception: Exception, scope: dict[str, Any], messages: list[Message]
    ) -> None:
        """Keep what was raised; its text alone, where it cannot be pickled."""
        try:
            self._received.put(Received(scope, messages, exception))
        except Exception:  # noqa: BLE001 # exceptions of any kind have __reduce__ of any kind
            said = RuntimeError(f"{type(exception).__name__}: {exception}")
            self._received.put(Received(scope, messages, said))

    def load_result(self) -> Received:
        """What was kept last.

        Raises:
            FileNotFoundError: nothing yet.
        """
        received: Received = self._received.get()
        return received

    def delete_result(self) -> None:
        """Nothing was received."""
        self._received.clear()

    def close(self) -> None:
        """Remove the folder; it comes back when something is kept again."""
        shutil.rmtree(self.folder, ignore_errors=True)
