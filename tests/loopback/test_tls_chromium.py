"""https and wss in a real browser, which trusts the tests' authority as it would trust any other.

The authority is imported into the certificate database of a home folder of the browser's own. How
the browser is driven is in test_demo_chromium.py.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from tests.support import needed
from tests.support.certificates import Authority
from tests.support.chromium import (
    CHROMIUM_FLAGS,
    in_another_tab,
    last_line,
    read_log,
    say,
    text,
    wait,
    wait_for_state,
)
from tests.support.real_server import DEADLINE, Running

AUTHORITY = Authority()
SITE = AUTHORITY.issue("localhost")
STRANGER = Authority("Another CA").issue("localhost")

Serve = Callable[..., Running]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder with a certificate database that holds the authority."""
    certutil = needed.program("certutil", "libnss3-tools")
    home = tmp_path_factory.mktemp("home")
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    where = ("-d", f"sql:{database}")
    authority = ("-n", "tests", "-t", "C,,", "-i", AUTHORITY.write(home))
    for arguments in (("-N", "--empty-password"), ("-A", *authority)):
        subprocess.run([certutil, *where, *arguments], timeout=DEADLINE, check=True)
    return home


@pytest.fixture(scope="module")
def browser(home: Path) -> Iterator[Chrome]:
    """Chromium with that home, an empty profile, and its console recorded."""
    options = ChromeOptions()
    options.binary_location = needed.program("chromium", "chromium")
    for flag in [*CHROMIUM_FLAGS, f"--user-data-dir={home}/profile"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = needed.program("chromedriver", "chromium-driver")
    environment = {**os.environ, "HOME": str(home)}
    chrome = Chrome(options=options, service=Service(driver, env=environment))
    try:
        yield chrome
    finally:
        chrome.quit()


@pytest.fixture
def serve(program: Serve) -> Serve:
    """serve(certificate, *arguments): the demo over TLS."""

    def start(certificate: str, *arguments: str) -> Running:
        # The page's streams are in no hurry at the end.
        hurry = ("--graceful-timeout", "1")
        running = program("-p", "0", *hurry, "--tls-certificate", certificate, *arguments)
        return running.wait_until_ready()

    return start


@pytest.fixture
def certificate(tmp_path: Path) -> str:
    return SITE.write_both(tmp_path / "site.pem")


def origin(running: Running) -> str:
    return f"https://localhost:{running.port}/"


class TestTrusted:
    """Chromium speaks https and wss with the server, by a test CA."""

    def test_page_and_chat(self, serve: Serve, certificate: str, browser: Chrome) -> None:
        """The page, its uploads and streams over https, and its chat between tabs over wss."""
        url = origin(serve(certificate))
        browser.get(url)
        assert browser.execute_script("return window.isSecureContext")
        wait_for_state(browser, "request", "done")
        assert "https" in text(browser, "request-facts").split()
        wait_for_state(browser, "chat", "open")
        wait_for_state(browser, "events", "open")
        with in_another_tab(browser, url):
            wait(browser, lambda: text(browser, "chat-people").startswith("2 here"))
            say(browser, "over wss")
            wait(browser, lambda: last_line(browser)[1:] == ["over wss"])
        assert read_log(browser, "browser") == []

    def test_renewed(self, serve: Serve, certificate: str, browser: Chrome) -> None:
        """A renewed certificate disconnects no chat, and a reload of the page takes it."""
        running = serve(certificate)
        browser.get(origin(running))
        wait_for_state(browser, "chat", "open")
        AUTHORITY.issue("localhost").write_both(Path(certificate))
        running.wait_for("TLS certificates loaded")
        say(browser, "still here")
        wait(browser, lambda: last_line(browser)[1:] == ["still here"])
        assert text(browser, "chat-returns") == "0 times"
        browser.get(origin(running))
        wait_for_state(browser, "chat", "open")

    def test_redirected(self, serve: Serve, certificate: str, browser: Chrome) -> None:
        """A page of --https-redirect ends on https, with path and query."""
        running = serve(certificate, "--https-redirect", "tcp:0:interface=127.0.0.1")
        plain = running.wait_for(r"to which http://127\.0\.0\.1:(\d+)/ redirects")[1]
        browser.get(f"http://localhost:{plain}/?from=redirect")
        assert browser.current_url == f"{origin(running)}?from=redirect"
        wait_for_state(browser, "chat", "open")

    def test_another_authority(self, serve: Serve, tmp_path: Path, browser: Chrome) -> None:
        """The browser does decide: what it does not trust, it does not show."""
        running = serve(STRANGER.write_both(tmp_path / "stranger.pem"))
        browser.get(origin(running))
        assert browser.title == "Privacy error"
        assert "ERR_CERT_AUTHORITY_INVALID" in browser.page_source
        assert browser.find_elements(By.ID, "chat") == []
