"""The counts of one process since its last sample, as a value and as a message."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from daphne_like.exceptions import DaphneLikeError
from daphne_like.status.buckets import LAST, Buckets

MAX_NUMBER = 2**63


class SampleError(DaphneLikeError):
    """A message is no sample; the text says why."""


@dataclass
class Sample:
    """Counts since the last sample, and the present values of a process.

    Attributes:
        requests: responses that have ended; a WebSocket that was never open is one.
        errors: responses with a status of 500 and above, and responses that were cut or never sent.
        refusals: requests, connections and handshakes that the server has refused.
        messages_in, messages_out: messages of WebSockets.
        bytes_in, bytes_out: octets of bodies and of messages.
        delay: seconds by which the event loop was late at most.
        cpu: seconds of CPU time of the process since its start.
        connections, websockets, instances, leaving, slow: present numbers. `leaving` are instances
            whose peers have gone, `slow` are those whose peers wait (Recorder.is_slow).
        buckets: durations of the responses.
    """

    requests: int = 0
    errors: int = 0
    refusals: int = 0
    messages_in: int = 0
    messages_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    delay: float = 0.0
    cpu: float = 0.0
    connections: int = 0
    websockets: int = 0
    instances: int = 0
    leaving: int = 0
    slow: int = 0
    buckets: Buckets = field(default_factory=dict)

    def to_message(self) -> dict[str, Any]:
        """Return the sample in a form that JSON has."""
        return {**asdict(self), "buckets": sorted(self.buckets.items())}

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Sample:
        """Return the sample of a message from another process.

        Raises:
            SampleError: the message is wrong.
        """
        values: dict[str, Any] = {}
        for each in NUMBERS:
            value: Any = message.get(each.name)
            whole = type(value) is int
            if not (whole or (each.type == "float" and type(value) is float)):
                raise SampleError(f"{each.name}: {value!r:.40}")
            if not (0 <= value < MAX_NUMBER and math.isfinite(value)):
                raise SampleError(f"{each.name}: {value!r:.40}")
            values[each.name] = value
        return cls(**values, buckets=_buckets(message.get("buckets")))


NUMBERS = tuple(each for each in fields(Sample) if each.name != "buckets")
COUNTED = ("requests", "errors", "refusals", "messages_in", "messages_out", "bytes_in", "bytes_out")
"""Fields whose sum over all samples is what has happened so far."""
PRESENT = ("connections", "websockets", "instances", "leaving", "slow")
"""Fields of which the latest value counts."""


def _buckets(pairs: object) -> Buckets:
    if not isinstance(pairs, list) or len(pairs) > LAST + 1:
        raise SampleError(f"buckets: {pairs!r:.40}")
    found: Buckets = {}
    for pair in pairs:
        if not (
            isinstance(pair, list) and len(pair) == 2 and all(type(one) is int for one in pair)
        ):
            raise SampleError(f"buckets: {pair!r:.40}")
        bucket, number = pair
        if not (0 <= bucket <= LAST and 0 < number < MAX_NUMBER):
            raise SampleError(f"buckets: {pair!r:.40}")
        found[bucket] = number
    return found
