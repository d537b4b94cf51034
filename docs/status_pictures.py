"""Takes the documentation's pictures of the status page and of `daphne-like status`.

`python docs/status_pictures.py` writes them to docs/_static, or to the folder that is named. They
show three workers under load: a chat, uploads, streams of events, a client that does not read,
consumers that are stuck, and for a while a worker whose event loop is blocked. It takes two
minutes, and needs chromium, chromedriver and the packages of the tests.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import html
import random
import re
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import websockets  # noqa: E402 # after the path of this repository
from pictures import open_browser  # noqa: E402
from selenium.webdriver import Chrome  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402

from tests.support.live_endpoints import free_port  # noqa: E402
from tests.support.status_peer import Status  # noqa: E402
from tests.support.supervised import Supervised  # noqa: E402

FOLDER = Path(__file__).parent / "_static"
MAX_OCTETS = 200_000
BEFORE_SECONDS = 45
DESKTOP, PHONE = (1400, 1060), (390, 844)
COLOURS = {"1": "b", "2": "d", "31": "r", "32": "g", "33": "y"}
TERMINAL = """<!doctype html><meta charset="utf-8"><style>
body { margin: 0; background: #0c1411; color: #e3ede7; padding: 18px 22px }
pre { margin: 0; font: 13px/1.4 "DejaVu Sans Mono", monospace }
.b { font-weight: bold } .d { color: #9bafa3 } .r { color: #ff8f85 } .g { color: #74cfa1 }
.y { color: #f2c75c }</style><pre>%s</pre>"""


class Load:
    """Clients of all kinds, in a thread with an event loop of its own.

    Args:
        port: of the server.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    async def _run(self) -> None:
        jobs = [
            *(self._ask("/", 0.02) for _ in range(6)),
            *(self._ask("/search?q=daphne", 0.1) for _ in range(5)),
            self._ask("/fail", 3),
            *(self._chat(number % 4) for number in range(24)),
            *(self._pay(number) for number in range(7)),
            *(self._upload() for _ in range(3)),
            *(self._listen("/prices") for _ in range(5)),
            self._listen("/archive", reads=False),
        ]
        tasks = [asyncio.ensure_future(job) for job in jobs]
        await asyncio.to_thread(self._stopping.wait)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port, limit=4096)

    async def _ask(self, target: str, pause: float) -> None:
        while True:
            reader, writer = await self._open()
            with contextlib.closing(writer), contextlib.suppress(OSError):
                writer.write(
                    f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
                )
                await reader.read()
            await asyncio.sleep(random.uniform(0, 2 * pause))  # noqa: S311 # no secret

    async def _chat(self, room: int) -> None:
        url = f"ws://127.0.0.1:{self._port}/chat/{room}/"
        async with websockets.connect(url, ping_interval=None) as socket:
            while True:
                await socket.send("good morning")
                await socket.recv()
                await asyncio.sleep(random.uniform(0.1, 0.9))  # noqa: S311 # no secret

    async def _pay(self, number: int) -> None:
        await asyncio.sleep(BEFORE_SECONDS / 3 + number)
        url = f"ws://127.0.0.1:{self._port}/pay/"
        async with websockets.connect(url, ping_interval=None) as socket:
            await socket.send("lost" if number == 0 else "mine")
            await asyncio.sleep(1)
            await socket.send("again")
            await asyncio.sleep(600)

    async def _upload(self) -> None:
        while True:
            _reader, writer = await self._open()
            writer.write(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n")
            with contextlib.closing(writer), contextlib.suppress(OSError):
                for _ in range(80):
                    writer.write(bytes(100_000))
                    await asyncio.sleep(0.15)

    async def _listen(self, target: str, *, reads: bool = True) -> None:
        reader, writer = await self._open()
        writer.write(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        while reads:
            await reader.read(4096)
        await asyncio.sleep(600)


def emulate(browser: Chrome, size: tuple[int, int], scheme: str) -> None:
    """Let a browser be of a size, and like light or dark pages."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def save(browser: Chrome, path: Path) -> None:
    """Write a PNG of what a browser shows.

    Raises:
        ValueError: it is larger than everybody who clones the repository should load.
    """
    picture = base64.b64decode(browser.execute_cdp_cmd("Page.captureScreenshot", {})["data"])
    if len(picture) > MAX_OCTETS:
        raise ValueError(f"{path.name} has {len(picture)} octets")
    path.write_bytes(picture)


def take_pages(browser: Chrome, url: str, folder: Path) -> None:
    """Take the page from its top: on a desktop and on a phone, light and dark."""
    for name, size in (("desktop", DESKTOP), ("phone", PHONE)):
        for scheme in ("light", "dark"):
            emulate(browser, size, scheme)
            browser.get(url)
            WebDriverWait(browser, 20).until(
                lambda page: page.execute_script("return points.length > 5 && status !== null")
            )
            time.sleep(1.2)  # one more second arrives
            save(browser, folder / f"status-{name}-{scheme}.png")


def take_stuck(browser: Chrome, url: str, folder: Path) -> None:
    """Take the place where consumers are stuck, after three clicks."""
    emulate(browser, (1400, 820), "light")
    browser.get(url)
    button = "//ul[@id='findings']//li[contains(., 'slow')]//button"
    WebDriverWait(browser, 20).until(lambda page: page.find_elements(By.XPATH, button))
    browser.find_element(By.XPATH, button).click()
    place = "#places button"
    WebDriverWait(browser, 20).until(lambda page: page.find_elements(By.CSS_SELECTOR, place))
    browser.find_element(By.CSS_SELECTOR, place).click()
    browser.execute_script("$('inside').scrollIntoView(); document.activeElement.blur()")
    save(browser, folder / "status-stuck.png")


def take_terminal(browser: Chrome, text: str, path: Path) -> None:
    """Take what a command has written to a terminal."""
    marked = re.sub(
        "\x1b\\[(\\d+)m", lambda code: f"<span class={COLOURS[code[1]]}>" if code[1] != "0"
        else "</span>", html.escape(text),
    )  # fmt: skip
    encoded = base64.b64encode((TERMINAL % marked).encode()).decode()
    emulate(browser, (1180, 60 + 18 * text.count("\n")), "dark")
    browser.get(f"data:text/html;base64,{encoded}")
    save(browser, path)


def run_status(port: int) -> str:
    """Return what `daphne-like status` writes to a terminal of 140 columns."""
    from daphne_like.status.client import StatusClient
    from daphne_like.status.terminal import write_status

    client = StatusClient(f"127.0.0.1:{port}")
    listing = client.get("/instances.json", {"limit": 200})
    points = client.get("/history.json")["points"]
    return write_status(client.get("/status.json"), listing, points, 140, colours=True)


def main(folder: Path) -> None:
    """Write the pictures to a folder."""
    status = Status(free_port())
    running = Supervised(*status.option, workers="3", application="watched:application")
    browser = open_browser()
    try:
        running.wait_until_ready()
        with Load(running.port):
            time.sleep(BEFORE_SECONDS)
            blocking = running.send("/report")
            time.sleep(5)
            url = f"http://localhost:{status.port}/"
            take_pages(browser, url, folder)
            take_terminal(browser, run_status(status.port), folder / "status-terminal.png")
            take_stuck(browser, url, folder)
            blocking.close()
    finally:
        browser.quit()
        running.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
