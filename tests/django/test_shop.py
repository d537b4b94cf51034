"""A Django shop over HTTP: what views, middleware and settings rely on."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support import needed
from tests.support.django_shop import open_files, open_shop
from tests.support.real_server import Running

httpx = needed.module("httpx")

SECONDS = 20
MEGABYTE = 1_000_000
LARGE = 50 * MEGABYTE
HOST = b"Host: 127.0.0.1\r\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop's folder, with a small file and a large one."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "small.bin").write_bytes(bytes(range(251)))
    with (folder / "large.bin").open("wb") as large:
        large.truncate(LARGE)
    return folder


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Running]:
    """The shop; some of its views fail on purpose."""
    with open_shop(folder, expects_traceback=True) as running:
        yield running


@pytest.fixture
def client(running: Running) -> Iterator[Any]:
    """A client with one connection, that wants nothing compressed."""
    plain = {"Accept-Encoding": "identity"}
    with httpx.Client(base_url=running.url, headers=plain, timeout=SECONDS) as client:
        yield client


def exchange(running: Running, request: bytes, end: bytes = b"") -> bytes:
    """What the server answers to raw octets until that end, or the end of the connection."""
    connection = running.connect()
    connection.sendall(request)
    answer = b""
    while not (end and answer.endswith(end)):
        part = connection.recv(65536)
        if not part:
            break
        answer += part
    connection.close()
    return answer


def resident(running: Running, what: str = "VmRSS") -> int:
    """Octets of memory that the server's process has; VmHWM is the most that it had."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    return int(status.split(f"{what}:")[1].split()[0]) * 1024


class TestAnswers:
    """Streams, files, middleware."""

    @pytest.mark.parametrize("kind", ["sync", "async"])
    def test_streaming(self, client: Any, kind: str) -> None:
        """H23: an iterator of either kind is chunked, and the connection goes on."""
        for _ in range(2):
            response = client.get(f"/count/{kind}")
            assert response.text == "0\n1\n2\n"
            assert response.headers["transfer-encoding"] == "chunked"

    def test_file(self, client: Any) -> None:
        """FileResponse: every octet, with length and type."""
        response = client.get("/file/small.bin")
        assert response.content == bytes(range(251))
        assert response.headers["content-length"] == "251"
        assert response.headers["content-type"] == "application/x-shop"

    def test_head_of_a_file(self, client: Any) -> None:
        """H32: HEAD gives the fields of GET and no octet, and the connection goes on."""
        head = client.head("/file/small.bin")
        assert (head.content, head.headers["content-length"]) == (b"", "251")
        assert client.get("/file/small.bin").content == bytes(range(251))

    def test_file_not_modified(self, client: Any) -> None:
        """If-Modified-Since: 304 without a body, and the connection goes on."""
        changed = client.get("/file/small.bin").headers["last-modified"]
        response = client.get("/file/small.bin", headers={"If-Modified-Since": changed})
        assert (response.status_code, response.content) == (304, b"")
        assert client.get("/file/small.bin").status_code == 200

    def test_etag(self, running: Running) -> None:
        """ConditionalGetMiddleware: the same page again is 304 without body or framing of one."""
        asked = b"GET /page HTTP/1.1\r\n" + HOST
        first = exchange(running, asked + b"Connection: close\r\n\r\n")
        etag = first.split(b"ETag: ")[1].split(b"\r\n")[0]
        both = exchange(
            running,
            asked + b"If-None-Match: " + etag + b"\r\n\r\n" + asked + b"Connection: close\r\n\r\n",
        )
        head, _, rest = both.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 304 Not Modified\r\n")
        assert b"transfer-encoding" not in head.lower()
        assert rest.startswith(b"HTTP/1.1 200 OK\r\n")

    @pytest.mark.parametrize(
        ("path", "text"),
        [("/page", "A page that is worth compressing. " * 100), ("/count/async", "0\n1\n2\n")],
    )
    def test_gzip(self, client: Any, path: str, text: str) -> None:
        """GZipMiddleware: a page of known length, and a stream with a gzip member for each part."""
        with client.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as response:
            octets = b"".join(response.iter_raw())
        assert response.headers["content-encoding"] == "gzip"
        assert gzip.decompress(octets).decode() == text

    def test_head_of_a_page(self, client: Any) -> None:
        """H32: HEAD of a page, and of a stream."""
        for path in ("/page", "/count/sync", "/count/async"):
            response = client.head(path)
            assert (response.status_code, response.content) == (200, b"")
        assert client.get("/count/sync").text == "0\n1\n2\n"

    def test_many_requests_in_one_connection(self, client: Any, running: Running) -> None:
        """Two hundred requests, one after another, on one connection."""
        assert [client.get("/page").status_code for _ in range(200)] == [200] * 200

    def test_http_1_0(self, running: Running) -> None:
        """A peer of HTTP/1.0 gets no chunked coding, and the end of the connection as the end."""
        answer = exchange(running, b"GET /count/async HTTP/1.0\r\n" + HOST + b"\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert body == b"0\n1\n2\n"
        assert b"transfer-encoding" not in head.lower()

    def test_fields_and_cookies(self, client: Any) -> None:
        """Two Set-Cookie fields stay two; a field of 20 000 octets arrives whole."""
        response = client.get("/biscuits")
        cookies = response.headers.get_list("set-cookie")
        assert [cookie.split("=")[0] for cookie in cookies] == ["plain", "other"]
        assert response.headers["x-long"] == "l" * 20000

    def test_session(self, client: Any) -> None:
        """A session is known by its cookie."""
        assert [client.get("/session").json()["visits"] for _ in range(3)] == [1, 2, 3]


class TestMemory:
    """Large files."""

    def test_parts_are_not_collected(self, client: Any, running: Running) -> None:
        """50 MB that the view reads part by part take no memory worth that name."""
        client.get("/parts/small.bin")
        before = resident(running, "VmHWM")
        with client.stream("GET", "/parts/large.bin") as response:
            size = sum(map(len, response.iter_raw()))
        assert size == LARGE
        assert resident(running, "VmHWM") - before < 16 * MEGABYTE

    def test_file_is_held_once(self, client: Any, running: Running) -> None:
        """FileResponse is a sync iterator, which Django lists whole (its warning says so): the
        server adds no second copy."""
        client.get("/file/small.bin")
        before = resident(running, "VmRSS")
        with client.stream("GET", "/file/large.bin") as response:
            size = sum(map(len, response.iter_raw()))
        assert size == LARGE
        assert resident(running, "VmHWM") - before < LARGE + 16 * MEGABYTE

    @pytest.mark.parametrize("kind", ["file", "parts"])
    def test_file_is_closed_when_the_client_leaves(self, running: Running, kind: str) -> None:
        """H28, H30: a client leaves in the middle of a file, and its descriptor is closed.

        Django wraps an async generator in another one, and leaves the inner one to Python.
        """
        connection = running.connect()
        connection.sendall(f"GET /{kind}/large.bin HTTP/1.1\r\n".encode() + HOST + b"\r\n")
        assert connection.recv(4096)
        connection.close()

        def is_closed() -> bool:
            httpx.get(f"{running.url}/collect", timeout=SECONDS)
            return open_files(running, "large.bin") == 0

        needed.until(is_closed, 5)


class TestUploads:
    """Bodies."""

    def test_file_upload(self, client: Any) -> None:
        """H17: a file far above DATA_UPLOAD_MAX_MEMORY_SIZE goes to the disk, octet for octet."""
        octets = bytes(range(251)) * 80_000
        told = client.post("/upload", files={"leaflet": ("a.bin", octets)}, data={"word": "so"})
        assert told.json() == {
            "fields": {"word": 2},
            "leaflet": [len(octets), hashlib.sha256(octets).hexdigest(), True],
        }

    def test_form_below_the_limit(self, client: Any) -> None:
        """A form just below DATA_UPLOAD_MAX_MEMORY_SIZE is taken."""
        assert client.post("/upload", data={"word": "w" * 99_000}).json()["fields"] == {
            "word": 99_000
        }

    def test_form_above_the_limit(self, client: Any) -> None:
        """Django's RequestDataTooBig is a 400, and the connection goes on."""
        assert client.post("/upload", data={"word": "w" * 100_001}).status_code == 400
        assert client.get("/page").status_code == 200

    def test_form_far_above_the_limit(self, client: Any) -> None:
        """The same with a form of 5 MB."""
        assert client.post("/upload", data={"word": "w" * 5 * MEGABYTE}).status_code == 400
        assert client.get("/page").status_code == 200

    def test_chunked_upload(self, client: Any) -> None:
        """H18: a chunked body, whose length nobody knows, read as a stream."""
        parts = (b"p" * 1000 for _ in range(1000))
        assert client.post("/raw", content=parts).text == str(MEGABYTE)

    def test_chunked_form(self, client: Any) -> None:
        """A chunked form reaches request.POST whatever its length."""
        form = urlencode({"word": "w" * 500}).encode()
        fields = {"Content-Type": "application/x-www-form-urlencoded"}
        told = client.post("/upload", content=iter([form[:100], form[100:]]), headers=fields)
        assert told.json()["fields"] == {"word": 500}

    def test_expect(self, running: Running) -> None:
        """RFC 9110, 10.1.1: 100 (Continue) before the body, then the answer."""
        connection = running.connect()
        connection.sendall(
            b"POST /raw HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\n"
            b"Content-Length: 5\r\nConnection: close\r\n\r\n"
        )
        assert connection.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"hello")
        answer = b""
        while part := connection.recv(4096):
            answer += part
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\n\r\n5")


class TestRequests:
    """The request as Django sees it."""

    def test_path_beyond_ascii(self, client: Any) -> None:
        """H05: escapes of UTF-8 in the path are decoded, and encoded again in Django's links."""
        told = client.get("/facts/k%C3%A4se/%E2%82%AC").json()
        assert told["path"] == "/facts/käse/€"
        assert told["full_path"] == "/facts/k%C3%A4se/%E2%82%AC"

    def test_escaped_slash(self, client: Any) -> None:
        """ASGI's path is decoded: an escaped slash is a slash there, as under every ASGI server."""
        assert client.get("/facts/a%2Fb%20c").json()["rest"] == "a/b c"

    def test_path_that_is_not_utf_8(self, client: Any) -> None:
        """H05: octets that are no UTF-8 do no harm: an answer, and the connection goes on."""
        assert client.get("/facts/%ff%fe").status_code in (200, 400)
        assert client.get("/page").status_code == 200

    def test_query(self, client: Any) -> None:
        """The query arrives undecoded, and Django decodes it."""
        told = client.get("/facts/?a=%C3%A4&a=b+c&d=").json()
        assert told["query_string"] == "a=%C3%A4&a=b+c&d="
        assert told["query"] == {"a": ["ä", "b c"], "d": [""]}

    def test_field_values(self, client: Any) -> None:
        """Octets of a field value are latin-1 for Django; the same field twice is joined."""
        told = client.get(
            "/facts/", headers=[(b"X-Name", b"K\xe4se"), (b"X-Two", b"1"), (b"X-Two", b"2")]
        ).json()
        assert (told["fields"]["X-Name"], told["fields"]["X-Two"]) == ("Käse", "1,2")

    def test_cookies(self, client: Any) -> None:
        """Cookies of one field, quoted and not."""
        told = client.get("/facts/", headers={"Cookie": 'a=1; b="two 2"; c=x=y'}).json()
        assert told["cookies"] == {"a": "1", "b": "two 2", "c": "x=y"}

    def test_large_fields(self, client: Any) -> None:
        """Fields of 30 000 octets together pass."""
        fields = {f"X-Field-{number}": "v" * 10_000 for number in range(3)}
        told = client.get("/facts/", headers=fields).json()
        assert told["fields"].items() >= fields.items()

    def test_client_and_host(self, client: Any, running: Running) -> None:
        """REMOTE_ADDR, host and scheme of a direct connection, whatever X-Forwarded-* says."""
        told = client.get(
            "/facts/", headers={"X-Forwarded-For": "192.0.2.9", "X-Forwarded-Proto": "https"}
        ).json()
        assert (told["client"], told["secure"]) == ("127.0.0.1", False)
        assert told["absolute"] == f"{running.url}/facts/"

    def test_host_not_allowed(self, client: Any) -> None:
        """A Host that ALLOWED_HOSTS lacks is Django's 400."""
        assert client.get("/facts/", headers={"Host": "other.example"}).status_code == 400


class TestFailing:
    """Views that raise."""

    def test_without_debug(self, client: Any) -> None:
        """C12: Django's own 500 without details, and the connection goes on."""
        response = client.get("/fail")
        assert response.status_code == 500
        assert "on purpose" not in response.text
        assert client.get("/page").status_code == 200

    def test_in_the_middle(self, client: Any) -> None:
        """C12: an answer that can not be made whole is cut, not ended."""
        with pytest.raises(httpx.TransportError):
            client.get("/fail-later")
        assert client.get("/page").status_code == 200

    def test_with_debug(self, tmp_path: Path) -> None:
        """DEBUG: Django's page with the traceback, and the next request is served."""
        with (
            open_shop(tmp_path, expects_traceback=True, SHOP_DEBUG="1") as running,
            httpx.Client(base_url=running.url, timeout=SECONDS) as client,
        ):
            response = client.get("/fail")
            assert response.status_code == 500
            assert "RuntimeError at /fail" in response.text
            assert client.get("/page").status_code == 200
