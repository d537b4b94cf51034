"""The application of the status page, played with a service of the test."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from typing import Any

import pytest

from daphne_like.status.application import StatusApplication, query_of
from daphne_like.status.guard import ACTION_FIELD, Guard
from daphne_like.status.history import Gauges, History
from daphne_like.status.page import load_page
from daphne_like.status.rows import MAX_ROWS, MAX_TEXT, Query
from daphne_like.status.sample import Sample

LOCAL = [(b"host", b"localhost")]


class Service:
    """A service that a test changes."""

    def __init__(self) -> None:
        self.history = History(lambda: 1.0)
        self.is_ready = True
        self.is_stopping = False
        self.actions = ("restart", "drain")
        self.acted: list[str] = []
        self.queries: list[Query] = []

    def overview(self) -> dict[str, Any]:
        return {"workers": [], "application": "main:app"}

    async def listing(self, query: Query) -> dict[str, Any]:
        self.queries.append(query)
        return {"rows": [], "omitted": 0, "silent": []}

    async def threads(self, slot: int) -> str | None:
        return "Thread 1" if slot == 1 else None

    def act(self, action: str) -> None:
        self.acted.append(action)

    def second(self) -> None:
        self.history.add(Sample(requests=1))
        self.history.close({1: Sample()}, {"1": (1, Gauges(None, None, 0.0))})


@pytest.fixture
def service() -> Service:
    return Service()


class Answer:
    """A complete response."""

    def __init__(self, sent: list[Any]) -> None:
        self.status = sent[0]["status"]
        self.headers = dict(sent[0]["headers"])
        self.body = b"".join(message.get("body", b"") for message in sent[1:])

    @property
    def json(self) -> Any:
        assert self.headers[b"content-type"] == b"application/json"
        return json.loads(self.body)


def ask(
    service: Service, path: str, method: str = "GET", headers: Any = None,
    token: str | None = None, metrics: Any = None,
) -> Answer:  # fmt: skip
    sent: list[Any] = []
    path, _, query = path.partition("?")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": method, "path": path, "query_string": query.encode(),
        "headers": LOCAL if headers is None else headers, "client": ["127.0.0.1", 1],
    }  # fmt: skip
    application = StatusApplication(service, Guard(token), metrics)
    asyncio.run(application(scope, None, send))
    return Answer(sent)


class TestPage:
    """`GET /`."""

    def test_policy_allows_what_is_there(self, service: Service) -> None:
        """Each inline element has its hash, nothing else is allowed, and nobody may frame it."""
        answer = ask(service, "/")
        policy = answer.headers[b"content-security-policy"].decode()
        assert policy.startswith("default-src 'none'; ")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        for tag in ("script", "style"):
            (element,) = re.findall(rf"<{tag}>(.*?)</{tag}>", answer.body.decode(), re.DOTALL)
            digest = base64.b64encode(hashlib.sha256(element.encode()).digest()).decode()
            assert f"{tag}-src 'sha256-{digest}'" in policy

    def test_self_contained(self) -> None:
        """No address of another place, no markup from data, no style in an attribute."""
        text = load_page().content.decode()
        addresses = set(re.findall(r"https?://[^\s'\"]+", text))
        assert addresses == {"http://www.w3.org/2000/svg"}
        assert not re.search(r"innerHTML|insertAdjacent|document\.write|\beval\(|\sstyle=", text)
        assert not re.search(r"\son[a-z]+=\"", text)

    @pytest.mark.parametrize("path", ["/", "/status.json", "/livez", "/nothing"])
    def test_headers(self, service: Service, path: str) -> None:
        """Nothing is stored, sniffed or framed."""
        headers = ask(service, path).headers
        assert headers[b"cache-control"] == b"no-store"
        assert headers[b"x-content-type-options"] == b"nosniff"
        assert b"frame-ancestors 'none'" in headers[b"content-security-policy"]

    def test_links_exist(self, service: Service) -> None:
        """What the page links to is served."""
        paths = re.findall(r'href="([\w.]+)"', load_page().content.decode())
        assert {"status.json", "livez"} <= set(paths)
        for path in paths:
            assert ask(service, f"/{path}", metrics=_metrics).status == 200, path


async def _metrics(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"# metrics"})


class TestData:
    """JSON."""

    def test_status(self, service: Service) -> None:
        """It has a version, what happens now, and sums."""
        assert ask(service, "/status.json").json["last_second"] is None
        service.second()
        status = ask(service, "/status.json").json
        assert status["schema"] == 1
        assert status["totals"]["requests"] == 1
        assert status["last_second"]["requests"] > 0
        assert status["actions"] == ["restart", "drain"]
        assert status["application"] == "main:app"

    def test_history(self, service: Service) -> None:
        """Every point that is kept."""
        for _ in range(3):
            service.second()
        assert len(ask(service, "/history.json").json["points"]) == 3

    def test_instances(self, service: Service) -> None:
        """Sorted, filtered and limited as the query says; what is wrong has its default."""
        ask(service, "/instances.json?sort=queue&match=Chat&limit=7")
        ask(service, "/instances.json?sort=colour&limit=99999999999")
        ask(service, "/instances.json?limit=0&limit=5&" + "x=1&" * 20)
        found = [(one.sort, one.match, one.limit) for one in service.queries]
        assert found == [("queue", "chat", 7), ("age", "", MAX_ROWS), ("age", "", MAX_ROWS)]
        assert len(query_of(b"match=" + b"x" * 9999).match) == MAX_TEXT

    @pytest.mark.parametrize("worker", ["2", "", "-1", "x", "9" * 50, "%C2%B2"])
    def test_no_such_worker(self, service: Service, worker: str) -> None:
        assert ask(service, f"/threads.json?worker={worker}").status == 404

    def test_threads(self, service: Service) -> None:
        assert ask(service, "/threads.json?worker=1").json["text"] == "Thread 1"

    def test_metrics(self, service: Service) -> None:
        """/metrics is served here, too, if there are any."""
        assert ask(service, "/metrics", metrics=_metrics).body == b"# metrics"
        assert ask(service, "/metrics").status == 404

    @pytest.mark.parametrize("path", ["/", "/status.json", "/events", "/instances.json"])
    def test_methods(self, service: Service, path: str) -> None:
        answer = ask(service, path, "POST")
        assert answer.status == 405
        assert answer.headers[b"allow"] == b"GET, HEAD"

    def test_websocket(self, service: Service) -> None:
        """A WebSocket is refused."""
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(StatusApplication(service, Guard(None))({"type": "websocket"}, None, send))
        assert sent == [{"type": "websocket.close"}]


class TestProbes:
    """What load balancers and orchestrators ask, without a token and by any name."""

    @pytest.mark.parametrize("path", ["/livez", "/healthz", "/readyz"])
    def test_open(self, service: Service, path: str) -> None:
        """They tell nothing else."""
        answer = ask(service, path, headers=[(b"host", b"10.1.2.3")], token="x" * 16)
        assert (answer.status, len(answer.body.split())) == (200, 1)

    def test_not_ready(self, service: Service) -> None:
        service.is_ready = False
        assert ask(service, "/readyz").status == 503
        assert ask(service, "/readyz?draining=404").status == 503
        assert ask(service, "/livez").status == 200

    def test_stopping(self, service: Service) -> None:
        """From the first moment of a stop; 404 where a balancer understands that as draining."""
        service.is_ready, service.is_stopping = False, True
        assert ask(service, "/readyz").status == 503
        assert ask(service, "/readyz?draining=404").status == 404
        assert ask(service, "/livez").status == 200


class TestActions:
    """POST."""

    def test_action(self, service: Service) -> None:
        """It is carried out once."""
        answer = ask(service, "/drain", "POST", [*LOCAL, (ACTION_FIELD, b"drain")])
        assert answer.status == 202
        assert service.acted == ["drain"]

    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
    def test_only_post(self, service: Service, method: str) -> None:
        answer = ask(service, "/drain", method, [*LOCAL, (ACTION_FIELD, b"drain")])
        assert (answer.status, answer.headers[b"allow"]) == (405, b"POST")
        assert service.acted == []

    @pytest.mark.parametrize(
        "headers",
        [
            LOCAL,
            [(b"host", b"evil.example"), (ACTION_FIELD, b"drain")],
            [*LOCAL, (ACTION_FIELD, b"drain"), (b"origin", b"http://evil.example")],
        ],
    )
    def test_refused(self, service: Service, headers: Any) -> None:
        """Another site cannot act."""
        assert ask(service, "/drain", "POST", headers).status == 403
        assert service.acted == []

    def test_unknown(self, service: Service) -> None:
        """An action that this service does not have is no page."""
        answer = ask(service, "/reopen", "POST", [*LOCAL, (ACTION_FIELD, b"reopen")])
        assert (answer.status, service.acted) == (404, [])


class TestToken:
    """With a token nothing but the probes answers without it."""

    @pytest.mark.parametrize(
        "path",
        ["/", "/status.json", "/history.json", "/instances.json", "/threads.json?worker=1",
         "/events", "/metrics", "/drain", "/nothing"],
    )  # fmt: skip
    def test_needed(self, service: Service, path: str) -> None:
        for method in ("GET", "POST"):
            headers = [*LOCAL, (ACTION_FIELD, b"drain")]
            answer = ask(service, path, method, headers, token="x" * 16, metrics=_metrics)
            assert answer.status == 401
        assert service.acted == []


class TestEvents:
    """`/events`."""

    def test_seconds(self, service: Service) -> None:
        """The present values at once, then each second; it ends with its client."""
        sent: list[Any] = []

        async def run() -> None:
            gone = asyncio.Event()

            async def receive() -> Any:
                await gone.wait()
                return {"type": "http.disconnect"}

            async def send(message: Any) -> None:
                sent.append(message)

            scope = {"type": "http", "method": "GET", "path": "/events", "query_string": b"",
                     "headers": LOCAL, "client": ["127.0.0.1", 1]}  # fmt: skip
            task = asyncio.ensure_future(
                StatusApplication(service, Guard(None))(scope, receive, send)
            )
            for _ in range(2):
                await asyncio.sleep(0.01)
                service.second()
            await asyncio.sleep(0.01)
            gone.set()
            await asyncio.wait_for(task, 5)
            assert len(asyncio.all_tasks()) == 1

        asyncio.run(run())
        events = [json.loads(message["body"].decode()[6:]) for message in sent[1:]]
        assert [len(event["points"]) for event in events] == [0, 1, 1]
        assert events[-1]["status"]["totals"]["requests"] == 2

    def test_head(self, service: Service) -> None:
        """HEAD ends at once."""
        answer = ask(service, "/events", "HEAD")
        assert (answer.headers[b"content-type"], answer.body) == (b"text/event-stream", b"")

    def test_slow_client(self, service: Service) -> None:
        """A client that reads late gets the seconds that it has missed, in one event."""
        sent: list[Any] = []

        async def run() -> None:
            may_send = asyncio.Event()

            async def receive() -> Any:
                await asyncio.sleep(3600)

            async def send(message: Any) -> None:
                sent.append(message)
                if message["type"] == "http.response.body":
                    await may_send.wait()

            scope = {"type": "http", "method": "GET", "path": "/events", "query_string": b"",
                     "headers": LOCAL, "client": ["127.0.0.1", 1]}  # fmt: skip
            task = asyncio.ensure_future(
                StatusApplication(service, Guard(None))(scope, receive, send)
            )
            await asyncio.sleep(0.01)
            for _ in range(5):
                service.second()
            may_send.set()
            await asyncio.sleep(0.01)
            service.second()
            await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.wait([task])

        asyncio.run(run())
        events = [json.loads(message["body"].decode()[6:]) for message in sent[1:]]
        assert [len(event["points"]) for event in events] == [0, 6]
