"""examples/chat, the project that people copy: in memory, on Redis, in Chromium, over a restart."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import needed
from tests.support.real_server import TRACEBACK, Running

websockets = needed.module("websockets")
httpx = needed.module("httpx")
needed.module("channels")

CHAT = Path(__file__).parents[2] / "examples" / "chat"
APPLICATION = "project.asgi:application"
SECONDS = 20.0
CLIENTS = 50
RESTARTED = 1012


@contextmanager
def serving(redis: str = "", port: str = "0") -> Iterator[Running]:
    """The chat; without the address of a Redis in memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REDIS_URL", redis)
        running = Running(
            "-p", port, "--graceful-timeout", "2", "--app-dir", str(CHAT), APPLICATION
        )
    try:
        yield running.wait_until_ready()
    finally:
        log = running.stop()
        assert TRACEBACK not in log, log


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an empty Redis that keeps nothing."""
    needed.module("channels_redis")
    program = needed.program("redis-server", "redis-server")
    folder = tmp_path_factory.mktemp("redis")
    path = folder / "socket"
    with subprocess.Popen(
        [program, "--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
    ) as process:
        try:
            needed.until(lambda: _listens(path))
            yield f"unix://{path}"
        finally:
            process.terminate()


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0


@contextmanager
def working(redis: str) -> Iterator[None]:
    """The background worker, as `manage.py runworker shout`."""
    with subprocess.Popen(
        [sys.executable, "manage.py", "runworker", "shout"],
        cwd=CHAT,
        env={**os.environ, "REDIS_URL": redis},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield
        finally:
            process.terminate()
            assert process.stderr is not None
            assert "Traceback (most" not in process.stderr.read().partition("KeyboardInter")[0]


@asynccontextmanager
async def joined(running: Running, path: str, name: str = "", origin: str = "") -> Any:
    """A WebSocket, as a browser on the page opens it."""
    url = f"ws://127.0.0.1:{running.port}/ws/{path}/?name={name}"
    async with websockets.connect(url, origin=origin or running.url) as connection:
        yield connection


async def next_with(connection: Any, **wanted: Any) -> Any:
    """The next message that has these members."""
    while True:
        message = json.loads(await asyncio.wait_for(connection.recv(), SECONDS))
        if wanted.items() <= message.items():
            return message


async def say(connection: Any, text: str) -> None:
    await connection.send(json.dumps({"text": text}))


class TestInMemory:
    """Every consumer, over the wire."""

    def test_page(self, running: Running) -> None:
        """Django's view, through ProtocolTypeRouter and URLRouter; nothing from elsewhere."""
        page = httpx.get(f"{running.url}/room/garden/")
        assert page.status_code == 200
        assert 'const room = "garden";' in page.text
        assert not re.search(r"""(src|href)=["'](https?:)?//""", page.text)

    def test_room(self, running: Running) -> None:
        """AsyncJsonWebsocketConsumer: who comes, who is here, what is said, who goes."""

        async def chat() -> None:
            async with joined(running, "room/a", "Ann") as ann:
                own = await next_with(ann, joined="Ann")
                async with joined(running, "room/a", "Bob") as bob:
                    await next_with(ann, joined="Bob")
                    assert (await next_with(bob, present="Ann"))["id"] == own["id"]
                    await say(ann, "hello <b>")
                    assert await next_with(bob, name="Ann") == {"name": "Ann", "text": "hello <b>"}
                await next_with(ann, left="Bob")

        asyncio.run(chat())

    def test_rooms_are_apart(self, running: Running) -> None:
        """What is said in one is not heard in another."""

        async def chat() -> None:
            async with joined(running, "room/b") as here, joined(running, "room/c") as there:
                await say(here, "here")
                await next_with(here, text="here")
                await say(there, "there")
                assert (await next_with(there, name="Guest"))["text"] == "there"

        asyncio.run(chat())

    @pytest.mark.parametrize("octets", ["[]", "{}", '{"text": 1}', '{"text": " "}'])
    def test_nonsense_is_no_message(self, running: Running, octets: str) -> None:
        """It is dropped, and the room goes on."""

        async def chat() -> None:
            async with joined(running, "room/d", "Ann") as ann:
                await ann.send(octets)
                await say(ann, "after")
                assert (await next_with(ann, name="Ann"))["text"] == "after"

        asyncio.run(chat())

    def test_sync_consumer(self, running: Running) -> None:
        """JsonWebsocketConsumer: it takes a job from a thread, and answers."""

        async def chat() -> None:
            async with joined(running, "shout/a") as shout:
                await say(shout, "hello")
                assert await next_with(shout) == {"state": "queued"}

        asyncio.run(chat())

    def test_other_pages_are_refused(self, running: Running) -> None:
        """AllowedHostsOriginValidator."""

        async def chat() -> None:
            async with joined(running, "room/a", origin="https://example.org"):
                pass

        with pytest.raises(websockets.InvalidStatus, match="403"):
            asyncio.run(chat())

    def test_bare_consumer(self, running: Running) -> None:
        """AsyncConsumer: one method for each event."""
        answer = httpx.get(f"{running.url}/health/")
        assert (answer.status_code, answer.text) == (200, "ok\n")

    def test_long_poll(self, running: Running) -> None:
        """AsyncHttpConsumer: the answer comes when something is said."""

        async def chat() -> None:
            async with joined(running, "room/e", "Ann") as ann, httpx.AsyncClient() as client:
                poll = asyncio.create_task(client.get(f"{running.url}/poll/e/", timeout=SECONDS))
                while not poll.done():  # from when on it listens cannot be seen from outside
                    await say(ann, "news")
                    await next_with(ann, text="news")
                assert (await poll).json() == {"name": "Ann", "text": "news"}

        asyncio.run(chat())

    def test_server_sent_events(self, running: Running) -> None:
        """AsyncHttpConsumer: a stream, an event for each thing that is said in any room."""

        async def chat() -> None:
            async with (
                joined(running, "room/f") as room,
                httpx.AsyncClient() as client,
                client.stream("GET", f"{running.url}/events/") as stream,
            ):
                assert stream.headers["content-type"] == "text/event-stream"
                lines = stream.aiter_lines()
                assert await anext(lines) == "retry: 2000"
                await say(room, "hello")
                async for line in lines:
                    if line:
                        assert json.loads(line.removeprefix("data: ")) == {"room": "f"}
                        break

        asyncio.run(asyncio.wait_for(chat(), SECONDS))


class TestRedis:
    """Several processes, over a real Redis."""

    def test_two_servers_share_a_room_and_a_worker(self, redis: str) -> None:
        """One says it on one server, the other hears it on another, the worker answers both."""

        async def chat(first: Running, second: Running) -> None:
            async with (
                joined(first, "room/a", "Ann") as ann,
                joined(second, "room/a", "Bob") as bob,
            ):
                await next_with(bob, present="Ann")
                await next_with(ann, joined="Bob")
                await say(ann, "hello")
                await next_with(bob, name="Ann", text="hello")
                async with joined(first, "shout/a", "Ann") as shout:
                    await say(shout, "quiet")
                    for state in ("queued", "working", "done"):
                        assert await next_with(shout) == {"state": state}
                await next_with(bob, name="Ann, through the worker", text="QUIET")

        with serving(redis) as first, serving(redis) as second, working(redis):
            asyncio.run(chat(first, second))

    def test_a_room_survives_a_restart(self, redis: str) -> None:
        """Fifty clients talk; SIGTERM; each is told 1012, comes back, and all hear each other."""
        asyncio.run(_restart(redis))


class Member:
    """One client that talks all the time and comes back.

    Attributes:
        codes: with which its connections were closed.
        heard: who it has heard in the present life of the server.
    """

    def __init__(self, number: int) -> None:
        self.name = f"m{number}"
        self.codes: list[int] = []
        self.heard: set[str] = set()
        self.ended = False

    async def live(self, port: int) -> None:
        url = f"ws://127.0.0.1:{port}/ws/room/load/?name={self.name}"
        while not self.ended:
            try:
                async with websockets.connect(url, origin=f"http://127.0.0.1:{port}") as connection:
                    await self._talk(connection)
            except websockets.ConnectionClosed:
                if not self.ended:
                    self.codes.append(connection.close_code)
                    self.heard = set()
            except (OSError, websockets.InvalidHandshake):
                await asyncio.sleep(0.1)  # the server is not back yet

    async def _talk(self, connection: Any) -> None:
        async def speak() -> None:
            while True:
                await say(connection, "again")
                await asyncio.sleep(1)  # load, not synchronisation

        speaking = asyncio.create_task(speak())
        try:
            async for message in connection:
                if "text" in message:
                    self.heard.add(json.loads(message).get("name", ""))
            raise websockets.ConnectionClosedOK(None, None)
        finally:
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)


async def _restart(redis: str) -> None:
    members = [Member(number) for number in range(CLIENTS)]
    names = {member.name for member in members}

    async def until(condition: Callable[[Member], Any]) -> None:
        async def look() -> None:
            while not all(map(condition, members)):
                await asyncio.sleep(0.05)

        await asyncio.wait_for(look(), SECONDS)

    def has_heard_all(member: Member) -> bool:
        return member.heard >= names

    with serving(redis) as first:
        port = first.port
        tasks = [asyncio.create_task(member.live(port)) for member in members]
        await until(has_heard_all)
        first.signal()
        assert await asyncio.to_thread(first.ended) == 0
        await until(lambda member: member.codes)
    with serving(redis, str(port)):
        await until(has_heard_all)
        assert [member.codes for member in members] == [[RESTARTED]] * CLIENTS
        for member, task in zip(members, tasks, strict=True):
            member.ended = True
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


CHROMIUM_FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1280,900"]


@pytest.fixture(scope="module")
def browsers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A function that opens a Chromium of its own, with an empty profile."""
    needed.module("selenium")
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    opened: list[Any] = []

    def browse() -> Any:
        options = ChromeOptions()
        options.binary_location = needed.program("chromium", "chromium")
        for flag in [*CHROMIUM_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
            options.add_argument(flag)
        service = Service(needed.program("chromedriver", "chromium-driver"))
        opened.append(Chrome(options=options, service=service))
        return opened[-1]

    yield browse
    for browser in opened:
        browser.quit()


def text(browser: Any, name: str) -> str:
    return str(browser.find_element("id", name).text)


def enter(browser: Any, url: str, name: str) -> None:
    """Come into the room under a name."""
    browser.get(url)
    browser.execute_script("localStorage.setItem('name', arguments[0])", name)
    browser.refresh()
    needed.until(lambda: text(browser, "status") == "Connected")


def test_two_windows_chat_over_a_restart(browsers: Any, redis: str) -> None:
    """Tabs see each other, talk, and shout through the worker; again after a restart, too."""
    first, second = browsers(), browsers()
    with working(redis):
        with serving(redis) as running:
            port = str(running.port)
            url = f"http://127.0.0.1:{port}/room/garden/"
            enter(first, url, "Ann")
            enter(second, url, "Bob")
            needed.until(lambda: set(text(first, "people").split()) == {"Ann", "Bob"})
            needed.until(lambda: set(text(second, "people").split()) == {"Ann", "Bob"})
            first.find_element("id", "text").send_keys("<img src=x>")
            first.find_element("id", "send").click()
            needed.until(lambda: "<img src=x>" in text(second, "said"))
            needed.until(lambda: text(second, "rooms") == "garden 1")
            second.find_element("id", "text").send_keys("quiet")
            second.find_element("id", "shout").click()
            needed.until(lambda: "QUIET" in text(first, "said"))
            needed.until(lambda: text(second, "job") == "")
        needed.until(lambda: "trying again" in text(first, "status"))
        with serving(redis, port):
            needed.until(lambda: text(first, "status") == text(second, "status") == "Connected")
            second.find_element("id", "text").send_keys("back again\n")
            needed.until(lambda: "back again" in text(first, "said"))
            needed.until(lambda: set(text(first, "people").split()) == {"Ann", "Bob"})
            _look(first, second)


def _look(*browsers: Any) -> None:
    """No message of the console, and nothing wider than a phone."""
    for browser in browsers:
        errors = [entry for entry in browser.get_log("browser") if "/events/" not in str(entry)]
        assert [entry for entry in errors if "WebSocket" not in entry["message"]] == []
    browser = browsers[0]
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    width = browser.execute_script("return document.documentElement.scrollWidth")
    assert width <= 390
    if "CHAT_PICTURES" in os.environ:
        for scheme in ("light", "dark"):
            features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
            for pixels in (390, 1280):
                metrics["width"] = pixels
                browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
                folder = Path(os.environ["CHAT_PICTURES"])
                browser.save_screenshot(str(folder / f"{pixels}-{scheme}.png"))
