"""The configuration with which a supervisor starts workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from daphne_like.options import Options
from daphne_like.process import worker_output
from daphne_like.process.worker_process import WorkerFailed


@dataclass(frozen=True)
class WorkerConfiguration:
    """The configuration with which workers are started.

    Attributes:
        application: "module:attribute".
        options: the options.
        command: "module:class" of the command that a worker runs.
        endpoints: endpoint strings of the server.
        redirects: endpoint strings of `--https-redirect`.
        workers: number of workers.
        captures_output: the supervisor logs what workers print.
        error: served instead of the application, which could not be loaded (`--reload`).
    """

    application: str
    options: Options
    command: str
    endpoints: tuple[str, ...]
    redirects: tuple[str, ...]
    workers: int
    captures_output: bool = False
    error: WorkerFailed | None = None

    @property
    def strings(self) -> tuple[str, ...]:
        """All endpoint strings, in the order in which a worker listens."""
        return self.endpoints + self.redirects

    def to_message(self) -> dict[str, Any]:
        """Return the fields of the control channel's message."""
        values = {name: getattr(self.options, name) for name in Options.__dataclass_fields__}
        if self.captures_output:  # lines of JSON have their level anyway
            values["log_fmt"] = worker_output.LOG_FORMAT
        message = {"application": self.application, "command": self.command, "options": values}
        if self.error is not None:
            message["error"] = {"sentence": str(self.error), "detail": self.error.detail}
        return message
