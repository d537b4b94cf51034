"""The HTTP workloads: the request of each, and the response that it must get.

:mod:`benchmarks.load` (wrk) and :mod:`benchmarks.memory` measure them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from benchmarks import applications
from benchmarks.workloads import Unit, Workload


@dataclass(frozen=True)
class HTTPWorkload(Workload):
    """One request, and the quantity that is measured."""

    target: str
    answer: bytes
    """The expected body, or the part that it repeats; compared before anything is measured."""
    method: str = "GET"
    fields: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    connections: int | None = None
    """Maximum number of wrk's connections, where the usual number would distort the figure."""
    repeats: int = 1
    """Number of repetitions of `answer` in the response."""
    varied: bool = False
    """Each request has its own query and its own field, so that no parsed part is repeated."""


# Eleven fields on the wire: these ten, and wrk's Host.
BROWSER_FIELDS = (
    ("Connection", "keep-alive"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "fr-FR,fr;q=0.8,en-US;q=0.5,en;q=0.3"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Referer", "https://example.org/restaurants?city=Lyon"),
    ("Cookie", "sessionid=6rjz0a9hq1u4wkc2v8ytd5mbx3nefgps; csrftoken=Zq7XtW2LmA9RfK4c"),
    ("Upgrade-Insecure-Requests", "1"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "same-origin"),
)

ORDER = json.dumps(
    {
        "customer": "Ada",
        "lines": [
            {"article": "pencil", "count": 12, "price": 2},
            {"article": "paper", "count": 3, "price": 5},
        ],
    }
).encode()
ORDER_ANSWER = b'{"customer": "Ada", "total": 39}'

UPLOAD_BODY = b"u" * 1_000_000

HELLO = HTTPWorkload("hello", "bare GET", Unit.REQUEST, "/", applications.HELLO_BODY)
HELLO_LOGGED = HTTPWorkload(
    "hello-logged", "hello with an access log", Unit.REQUEST, "/", applications.HELLO_BODY
)
HELLO_METRICS = HTTPWorkload(
    "hello-metrics", "hello with metrics", Unit.REQUEST, "/", applications.HELLO_BODY
)
BROWSER = HTTPWorkload(
    "browser",
    "11 fields, a query, an escaped path",
    Unit.REQUEST,
    "/menu/caf%C3%A9%20cr%C3%A8me?table=4&sort=price&q=th%C3%A9",
    applications.HELLO_BODY,
    fields=BROWSER_FIELDS,
)
VARIED = HTTPWorkload(
    "varied",
    "as browser, but no two requests alike",
    Unit.REQUEST,
    "/menu/caf%C3%A9%20cr%C3%A8me?table=4&sort=price&q=th%C3%A9",
    applications.HELLO_BODY,
    fields=BROWSER_FIELDS,
    varied=True,
)
JSON = HTTPWorkload(
    "json",
    "POST of a small JSON body, JSON answer",
    Unit.REQUEST,
    "/json",
    ORDER_ANSWER,
    method="POST",
    fields=(("Content-Type", "application/json"),),
    body=ORDER,
)
STREAM = HTTPWorkload(
    "stream",
    "ten chunks of 100 bytes",
    Unit.REQUEST,
    "/stream",
    applications.STREAM_CHUNK * applications.STREAM_CHUNKS,
)
BIG = HTTPWorkload("big", "100 kB in one body", Unit.REQUEST, "/big", applications.BIG_BODY)
UPLOAD = HTTPWorkload(
    "upload",
    "POST of 1 MB, read chunk by chunk",
    Unit.REQUEST,
    "/upload",
    b"%d" % len(UPLOAD_BODY),
    method="POST",
    body=UPLOAD_BODY,
    # Requests that are incomplete when wrk stops have cost the server time and are not counted:
    # with 64 such connections that was a tenth of a slice.
    connections=8,
)
PATHSEND_1M = HTTPWorkload(
    "pathsend-1M",
    "a file of 1 MB, by pathsend if there is",
    Unit.REQUEST,
    "/pathsend-1M",
    applications.FILE_BLOCK,
    repeats=applications.FILES["/pathsend-1M"],
    connections=8,  # as for UPLOAD
)
PATHSEND_100M = HTTPWorkload(
    "pathsend-100M",
    "a file of 100 MB, by pathsend if there is",
    Unit.REQUEST,
    "/pathsend-100M",
    applications.FILE_BLOCK,
    repeats=applications.FILES["/pathsend-100M"],
    connections=1,  # about ten are answered in a slice
)
IDLE = HTTPWorkload(
    "idle",
    "4 000 idle keep-alive connections",
    Unit.IDLE,
    "/",
    applications.HELLO_BODY,
)
SLOW_READER = HTTPWorkload(
    "slow-reader",
    "slow reader of a 1 GB response",
    Unit.GROWTH,
    "/slow-reader",
    b"",
)
SLOW_APPLICATION = HTTPWorkload(
    "slow-application",
    "slow application under a 1 GB upload",
    Unit.GROWTH,
    "/slow-application",
    b"",
    method="POST",
)

HTTP_WORKLOADS = (
    HELLO,
    HELLO_LOGGED,
    HELLO_METRICS,
    BROWSER,
    VARIED,
    JSON,
    STREAM,
    BIG,
    UPLOAD,
    PATHSEND_1M,
    PATHSEND_100M,
    IDLE,
    SLOW_READER,
    SLOW_APPLICATION,
)
