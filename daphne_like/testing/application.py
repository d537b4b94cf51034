"""`TestApplication`: notes what it receives and answers what it was told to."""

from __future__ import annotations

import os
import pickle
import tempfile
from asyncio import CancelledError
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from uuid import uuid4


class TestApplication:
    """An ASGI application that a test in another process looks into.

    Each has a folder of its own, so two never read each other's results.

    Args:
        lock: shared by the two processes, held for reading and for writing.

    Attributes:
        setup_storage: file with the messages to send.
        result_storage: file with the scope and messages received, or the exception.
    """

    __test__ = False  # not a class of tests, whatever it is called

    def __init__(self, lock: AbstractContextManager[Any]) -> None:
        self.lock = lock
        self.messages: list[dict[str, Any]] = []
        self.folder = tempfile.mkdtemp(prefix="daphne_like-")  # for this user only
        self.setup_storage = str(Path(self.folder, "setup.testio"))
        self.result_storage = str(Path(self.folder, "result.testio"))

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.scope = scope
        self.messages = messages = []
        try:
            while True:
                event = await receive()
                messages.append(event)
                over = event["type"].endswith(".disconnect")
                with self.lock:
                    if self.scope is scope:  # not one whose end comes after the next began
                        self.save_result(scope, messages)
                    # What a test tells after an answer is for the next one.
                    setup = {"response_messages": []} if over else self.take_setup()
                for message in setup["response_messages"]:
                    await send(message)
        except CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 # get_received raises it in the test
            with self.lock:
                self.save_exception(error)

    def save_setup(self, response_messages: list[dict[str, Any]]) -> None:
        """Store what to send at the next event."""
        self._save(self.setup_storage, {"response_messages": response_messages})

    def load_setup(self) -> dict[str, Any]:
        """What to send at the next event; nothing when nothing is stored."""
        try:
            return self._load(self.setup_storage)
        except FileNotFoundError:
            return {"response_messages": []}

    def take_setup(self) -> dict[str, Any]:
        """What to send now; it is sent once."""
        setup = self.load_setup()
        self.delete_setup()
        return setup

    def save_result(self, scope: dict[str, Any], messages: list[dict[str, Any]]) -> None:
        """Store what was received."""
        self._save(self.result_storage, {"scope": scope, "messages": messages})

    def save_exception(self, exception: Exception) -> None:
        """Store what was raised."""
        try:
            self._save(self.result_storage, {"exception": exception})
        except Exception:  # noqa: BLE001 # exceptions of any kind have __reduce__ of any kind
            said = f"{type(exception).__name__}: {exception}"
            self._save(self.result_storage, {"exception": RuntimeError(said)})

    def load_result(self) -> dict[str, Any]:
        """What was stored last.

        Raises:
            FileNotFoundError: nothing yet.
        """
        return self._load(self.result_storage)

    def delete_setup(self) -> None:
        """Nothing is to be sent."""
        Path(self.setup_storage).unlink(missing_ok=True)

    def delete_result(self) -> None:
        """Nothing was received."""
        Path(self.result_storage).unlink(missing_ok=True)

    def delete_storage(self) -> None:
        """Remove the folder; a server that still writes into it fails."""
        for file in Path(self.folder).glob("*"):
            file.unlink(missing_ok=True)
        Path(self.folder).rmdir()

    def _save(self, path: str, content: dict[str, Any]) -> None:
        # Never half a file where it is read.
        new = f"{path}.{uuid4().hex}"
        pickled = pickle.dumps(content)
        Path(self.folder).mkdir(mode=0o700, exist_ok=True)
        Path(new).write_bytes(pickled)
        os.replace(new, path)

    def _load(self, path: str) -> dict[str, Any]:
        content: dict[str, Any] = pickle.loads(Path(path).read_bytes())  # noqa: S301 # our own
        return content
