"""HTTP/2 in a real browser: a page, and a WebSocket on the same connection (RFC 8441)."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from tests.support import needed
from tests.support.certificates import Authority, Issued
from tests.support.chromium import CHROMIUM_FLAGS
from tests.support.real_server import TRACEBACK, Running

if TYPE_CHECKING:
    from pathlib import Path

WAIT_SECONDS = 20

CONVERSE = """
const [url, line, done] = arguments;
const socket = new WebSocket(url);
const heard = [];
const told = (event) => done([event.type, heard]);
socket.onopen = () => socket.send(line);
socket.onmessage = (event) => { heard.push(event.data); if (heard.length === 2) { told(event); } };
socket.onerror = told;
"""
"""Open a WebSocket, send a line, and hand over the first two messages, or how it went wrong."""


@dataclass(frozen=True)
class Page:
    """The browser, and where its server is."""

    browser: Chrome
    running: Running

    @property
    def host(self) -> str:
        return f"localhost:{self.running.port}"

    def navigate(self) -> dict[str, Any]:
        """Load the page: what it says of its own request's scope."""
        self.browser.get(f"https://{self.host}/")
        told: dict[str, Any] = json.loads(
            self.browser.execute_script("return document.body.innerText")
        )
        return told

    def converse(self, line: str) -> list[Any]:
        """See CONVERSE."""
        url = f"wss://{self.host}/"
        heard: list[Any] = self.browser.execute_async_script(CONVERSE, url, line)
        return heard


def key_hash(issued: Issued) -> str:
    """What Chromium knows a public key by."""
    public = issued.certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    digest = hashes.Hash(hashes.SHA256())
    digest.update(public)
    return base64.b64encode(digest.finalize()).decode()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A server with TLS, and Chromium with an empty profile, which trusts its key alone."""
    folder: Path = tmp_path_factory.mktemp("chromium-http2")
    issued = Authority().issue("localhost")
    certificate, key = issued.write(folder, "server")
    options = ChromeOptions()
    options.binary_location = needed.program("chromium", "chromium")
    trust = f"--ignore-certificate-errors-spki-list={key_hash(issued)}"
    for flag in [*CHROMIUM_FLAGS, f"--user-data-dir={folder}/profile", trust]:
        options.add_argument(flag)
    service = Service(needed.program("chromedriver", "chromium-driver"))
    running = Running(
        *("-b", "127.0.0.1", "-p", "0", "--tls-certificate", certificate, "--tls-key", key),
        "versions:application",
    )
    try:
        running.wait_until_ready()
        chrome = Chrome(options=options, service=service)
        try:
            chrome.set_script_timeout(WAIT_SECONDS)
            chrome.set_page_load_timeout(WAIT_SECONDS)
            yield Page(chrome, running)
        finally:
            chrome.quit()
    finally:
        log = running.stop()
    assert TRACEBACK not in log, log


class TestChromium:
    """RFC 9113 and RFC 8441, as Chromium speaks them over TLS."""

    def test_page(self, page: Page) -> None:
        """ALPN has settled on h2: so says the browser, and so does the scope."""
        told = page.navigate()
        protocol = page.browser.execute_script(
            "return performance.getEntriesByType('navigation')[0].nextHopProtocol"
        )
        assert (protocol, told["http_version"], told["scheme"]) == ("h2", "2", "https")

    def test_websocket(self, page: Page) -> None:
        """RFC 8441: a WebSocket to the same server is a stream of the page's own connection."""
        navigated = page.navigate()
        kind, (scope, line) = page.converse("caf\u00e9")
        told = json.loads(scope)
        assert (kind, line) == ("message", "caf\u00e9")
        assert (told["type"], told["scheme"], told["http_version"]) == ("websocket", "wss", "2")
        assert told["client"] == navigated["client"]

    def test_large_message(self, page: Page) -> None:
        """DATA frames under flow control both ways: more than a window of a stream, echoed."""
        page.navigate()
        line = "0123456789" * 30_000
        kind, (_, heard) = page.converse(line)
        assert (kind, heard) == ("message", line)
