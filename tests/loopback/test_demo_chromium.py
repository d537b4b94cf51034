"""The demo page in a real browser: daphne_like on one side, headless Chromium on the other.

The browser is driven by Selenium. All tests share one server, one browser and one load of the page,
which is what a person sees too; each waits for what it is about, with a deadline.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
from typing import IO, TYPE_CHECKING

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SERVER_COMMAND = [sys.executable, "-m", "daphne_like", "-v", "1", "-p"]
START_SECONDS = 20


GENERATED = (bytes(range(251)) * (8_000_000 // 251 + 1))[:8_000_000]
"""What "Send 8 MB of generated data" sends: octet i is i modulo 251."""

MARKUP = "<img/src=x/onerror=document.title='broken'>"
"""Peer's data that would run if it ever became markup."""


def find_program(name: str, package: str) -> str:
    """The program's path; without it the test is skipped, but on CI it fails."""
    path = shutil.which(name)
    if path is not None:
        return path
    sentence = f"{name} is missing: install it with `apt-get install {package}`."
    if "CI" in os.environ:
        pytest.fail(sentence)
    pytest.skip(sentence)


def read_url(output: IO[str]) -> str:
    """The URL that a starting server prints; all its output is read, so that it never blocks."""
    lines: queue.Queue[str] = queue.Queue()

    def pump() -> None:
        for line in output:
            lines.put(line)
        lines.put("")

    threading.Thread(target=pump, daemon=True).start()
    deadline = time.monotonic() + START_SECONDS
    seen = ""
    while True:
        try:
            line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            pytest.fail(f"no URL within {START_SECONDS} seconds; the server said: {seen}")
        assert line, f"the server ended before it served; it said: {seen}"
        seen += line
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        if found:
            return found[0]


@contextlib.contextmanager
def serve(port: int = 0) -> Iterator[str]:
    """A server of the demo, as `python -m daphne_like` starts it without an application."""
    with subprocess.Popen(
        [*SERVER_COMMAND, str(port)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        assert server.stdout is not None
        try:
            yield read_url(server.stdout)
        finally:
            server.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(START_SECONDS)
            server.kill()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The server of all tests but those that stop it."""
    with serve() as url:
        yield url


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Chromium with an empty profile, its console and its requests recorded."""
    options = ChromeOptions()
    options.binary_location = find_program("chromium", "chromium")
    for flag in [*CHROMIUM_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = Service(find_program("chromedriver", "chromium-driver"))
    chrome = Chrome(options=options, service=service)
    try:
        yield chrome
    finally:
        chrome.quit()


@pytest.fixture(scope="module")
def page(browser: Chrome, url: str) -> Chrome:
    """The browser with the page loaded, once for the module."""
    browser.get(f"{url}?from={MARKUP}")
    return browser


def upload(page: Chrome, begin: Callable[[], None]) -> None:
    """Begin an upload and wait until the browser has compared the digests."""
    page.execute_script("document.getElementById('upload').dataset.state = 'idle'")
    begin()
    wait_for_state(page, "upload", "done")


def own_name(page: Chrome) -> str:
    """What the chat calls this tab."""
    wait_for_state(page, "chat", "open")
    return text(page, "chat-status").removeprefix("Connected. You are ").removesuffix(".")


class TestRequest:
    """The part "The request, as the server saw it"."""

    def test_request_line_is_shown(self, page: Chrome, url: str) -> None:
        """Method, path and HTTP version are those of the request that was sent."""
        wait_for_state(page, "request", "done")
        line = page.find_element(By.CLASS_NAME, "request-line").text
        assert re.fullmatch(r"GET /scope\?from=\S+ HTTP/1\.1", line)

    @pytest.mark.parametrize("width", [390, 1400])
    def test_names_stay_whole(self, page: Chrome, width: int) -> None:
        """No name of an extension is broken, on a phone neither, and nothing is too wide."""
        wait_for_state(page, "request", "done")
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)  # type: ignore[no-untyped-call]  # selenium's
        try:
            names, page_width = page.execute_script(
                "return [[...document.querySelectorAll('#request-facts .name-of-list')]"
                ".map((node) => [node.textContent, node.offsetHeight,"
                " parseFloat(getComputedStyle(node).lineHeight)]),"
                " document.documentElement.scrollWidth]"
            )
        finally:
            page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})  # type: ignore[no-untyped-call]  # selenium's
        assert "http.response.zerocopysend" in [name for name, _, _ in names]
        assert [name for name, height, line in names if height > 1.5 * line] == []
        assert page_width <= width

    def test_fields_are_shown(self, page: Chrome, url: str) -> None:
        """The user agent and the host in the table are the browser's and the server's."""
        wait_for_state(page, "request", "done")
        rows = page.find_elements(By.CSS_SELECTOR, "#request-fields tr")
        fields = dict(
            [cell.text for cell in row.find_elements(By.CSS_SELECTOR, "th, td")] for row in rows
        )
        agent = page.execute_script("return navigator.userAgent")
        assert (fields["user-agent"], fields["host"]) == (agent, url.split("/")[2])

    def test_markup_stays_text(self, page: Chrome, browser: Chrome) -> None:
        """A cookie that holds markup is shown as it is, and makes no element."""
        browser.add_cookie({"name": "probe", "value": MARKUP})
        page.find_element(By.ID, "request-again").click()
        wait(page, lambda: f"probe={MARKUP}" in text(page, "request-fields"))
        assert page.find_elements(By.TAG_NAME, "img") == []


class TestStream:
    """The part "A response that arrives in pieces"."""

    def test_all_pieces_arrive(self, page: Chrome) -> None:
        """Each of the forty cells is filled when the stream is done."""
        wait_for_state(page, "stream", "done")
        assert len(page.find_elements(By.CSS_SELECTOR, "#stream-cells [data-here]")) == 40

    def test_pieces_arrive_one_after_another(self, page: Chrome) -> None:
        """Arrivals spread over the time of sending: no one on the way collects them first."""
        wait_for_state(page, "stream", "done")
        cells = page.find_elements(By.CSS_SELECTOR, "#stream-cells [data-here]")
        arrivals = [float(cell.get_attribute("data-here") or "") for cell in cells]
        assert arrivals == sorted(arrivals)
        assert arrivals[-1] - arrivals[0] > 39 * 60 / 2
        assert len(set(arrivals)) > 20

    def test_stream_can_be_stopped(self, page: Chrome) -> None:
        """A reader who stops the stream keeps what has arrived."""
        wait_for_state(page, "stream", "done")
        page.find_element(By.ID, "stream-run").click()
        wait_for_state(page, "stream", "running")
        wait(page, lambda: page.find_elements(By.CSS_SELECTOR, "#stream-cells [data-here]"))
        page.find_element(By.ID, "stream-run").click()
        wait_for_state(page, "stream", "stopped")
        assert text(page, "stream-status").startswith("Stopped after ")


class TestUpload:
    """The part "An upload, counted on both sides"."""

    def test_generated_data_arrives_whole(self, page: Chrome) -> None:
        """The server's count and SHA-256 are those of the eight megabytes that were sent."""
        upload(page, page.find_element(By.ID, "upload-send").click)
        assert text(page, "upload-received") == "8,000,000 bytes"
        assert text(page, "upload-digest") == hashlib.sha256(GENERATED).hexdigest()
        assert text(page, "upload-status") == "Done. Browser and server have the same digest."

    def test_chosen_file_arrives_whole(self, page: Chrome, tmp_path: Path) -> None:
        """A file from the disk is sent as it is."""
        content = os.urandom(300_001)
        (tmp_path / "file.bin").write_bytes(content)
        choose = page.find_element(By.ID, "upload-file").send_keys
        upload(page, lambda: choose(str(tmp_path / "file.bin")))
        assert text(page, "upload-digest") == hashlib.sha256(content).hexdigest()

    def test_progress_ends_full(self, page: Chrome) -> None:
        """The progress element is at its end when the upload is."""
        upload(page, page.find_element(By.ID, "upload-send").click)
        assert page.find_element(By.ID, "upload-progress").get_property("value") == 1


class TestEvents:
    """The part "Events that keep coming"."""

    def test_events_arrive(self, page: Chrome) -> None:
        """At least two events come, by one connection."""
        wait(page, lambda: int(text(page, "events-count")) >= 2)
        wait_for_state(page, "events", "open")

    def test_count_goes_on_after_the_server_hung_up(self, page: Chrome) -> None:
        """The browser comes back with Last-Event-ID, and no event is lost."""
        wait(page, lambda: text(page, "events-returns") != "0 times")
        wait(page, lambda: int(text(page, "events-count")) > 12)
        assert text(page, "events-lost") == "0"

    def test_count_goes_on_after_a_pause(self, page: Chrome) -> None:
        """A reader who pauses and resumes misses no event."""
        wait_for_state(page, "events", "open")
        page.find_element(By.ID, "events-toggle").click()
        wait_for_state(page, "events", "paused")
        before = int(text(page, "events-count"))
        page.find_element(By.ID, "events-toggle").click()
        wait(page, lambda: int(text(page, "events-count")) > before)
        assert text(page, "events-lost") == "0"


class TestChat:
    """The part "A conversation between tabs"."""

    def test_line_is_heard_in_both_tabs(self, page: Chrome, url: str) -> None:
        """What is typed in one tab appears in the other and in itself, under the same name."""
        name = own_name(page)
        with in_another_tab(page, url) as second:
            say(page, "Hello from the first tab")
            wait(page, lambda: last_line(page) == [name, "Hello from the first tab"])
            page.switch_to.window(second)
            wait(page, lambda: last_line(page) == [name, "Hello from the first tab"])

    def test_people_are_counted(self, page: Chrome, url: str) -> None:
        """Coming and leaving changes the count, and is told in the log."""
        wait(page, lambda: text(page, "chat-people").startswith("1 here"))
        with in_another_tab(page, url) as second:
            wait(page, lambda: text(page, "chat-people").startswith("2 here"))
            page.switch_to.window(second)
            name = own_name(page)
            assert text(page, "chat-people").startswith("2 here")
        wait(page, lambda: text(page, "chat-people").startswith("1 here"))
        log = text(page, "chat-said")
        assert log.index(f"{name} joined.") < log.index(f"{name} left.")

    def test_markup_stays_text(self, page: Chrome) -> None:
        """A line that holds markup is shown as it is, and makes no element."""
        say(page, MARKUP)
        wait(page, lambda: last_line(page)[1:] == [MARKUP])
        assert page.find_elements(By.TAG_NAME, "img") == []

    def test_refusal_is_told_to_its_sender(self, page: Chrome) -> None:
        """Too many lines at once: the server's sentence stands below the input."""
        page.execute_script(
            "for (let i = 0; i < 12; i += 1) {"
            " document.getElementById('chat-input').value = `line ${i}`;"
            " document.getElementById('chat-form').requestSubmit(); }"
        )
        wait(page, lambda: text(page, "chat-note").startswith("Too many messages: "))
        wait_for_state(page, "chat", "open")

    def test_round_trips_are_shown_and_drawn(self, page: Chrome) -> None:
        """A value in milliseconds, and a point more in the chart with each second."""
        count = "return document.getElementById('chat-curve').points.numberOfItems"
        drawn = page.execute_script(count)
        wait(page, lambda: page.execute_script(count) >= drawn + 2)
        assert 0 < float(text(page, "chat-rtt")) < 10_000
        unit = page.find_element(By.CSS_SELECTOR, "#chat-rtt + .unit")
        assert unit.text == "ms"
        assert re.fullmatch(r"top of chart: [\d.]+ ms(, \d+ higher)?", text(page, "chat-scale"))

    def test_clock_is_fine(self, page: Chrome) -> None:
        """The page is isolated, so that the browser does not round what is measured."""
        assert page.execute_script("return crossOriginIsolated") is True

    def test_reader_may_leave_and_join_again(self, page: Chrome) -> None:
        """Who left is not there and hears nothing; who joins again is."""
        wait_for_state(page, "chat", "open")
        toggle = page.find_element(By.ID, "chat-toggle")
        toggle.click()
        wait_for_state(page, "chat", "left")
        assert text(page, "chat-people") == "Not connected"
        say(page, "not sent")
        assert text(page, "chat-note") == "Not sent, because there is no connection."
        toggle.click()
        wait_for_state(page, "chat", "open")
        page.find_element(By.ID, "chat-send").click()
        wait(page, lambda: last_line(page)[1:] == ["not sent"])

    def test_chat_is_within_reach_of_the_keyboard(self, page: Chrome) -> None:
        """Tab leads from the button over the log and the input to Send."""
        page.find_element(By.ID, "chat-toggle").send_keys(Keys.TAB)
        reached = []
        for _ in range(3):
            active = page.switch_to.active_element
            reached.append(active.get_attribute("id"))
            active.send_keys(Keys.TAB)
        assert reached == ["chat-said", "chat-input", "chat-send"]

    def test_lines_are_read_out(self, page: Chrome) -> None:
        """A screen reader is told of each line, but not of each round trip."""
        log = page.find_element(By.ID, "chat-said")
        assert (log.aria_role, log.get_attribute("aria-live")) == ("log", "polite")
        live = page.find_elements(By.CSS_SELECTOR, "[role=status] #chat-rtt, [aria-live] #chat-rtt")
        assert live == []

    def test_nothing_moves_for_who_wants_it_calm(self, page: Chrome) -> None:
        """With prefers-reduced-motion no line slides in, and the heart does not beat."""
        features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        say(page, "quietly")
        wait(page, lambda: last_line(page)[1:] == ["quietly"])
        moving = (
            "return document.getElementById(arguments[0]).getAnimations({subtree: true}).length"
        )
        rtt = text(page, "chat-rtt")
        wait(page, lambda: text(page, "chat-rtt") != rtt)
        still = [page.execute_script(moving, name) for name in ("chat-said", "chat-petal")]
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        assert still == [0, 0]


class TestPage:
    """The page as a whole; these tests come last, when every part has done its work."""

    @pytest.mark.parametrize("width", [390, 1280])
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_nothing_is_wider_than_the_window(self, page: Chrome, width: int, scheme: str) -> None:
        """On a phone and on a desk the page scrolls in one direction only."""
        metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
        page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        wait(page, lambda: page.execute_script("return innerWidth") == width)
        wide = page.execute_script(
            "return [...document.querySelectorAll('body *:not(.skip)')]"
            ".filter((e) => e.getBoundingClientRect().right > innerWidth).map((e) => e.outerHTML)"
        )
        assert wide == []
        assert page.execute_script("return document.documentElement.scrollWidth") <= width

    def test_controls_have_names(self, page: Chrome) -> None:
        """A screen reader has a name for each control and for the progress element."""
        controls = page.find_elements(By.CSS_SELECTOR, "button:not([hidden]), input, progress, a")
        assert [
            control.get_attribute("id") for control in controls if not control.accessible_name
        ] == []

    def test_console_is_silent(self, page: Chrome) -> None:
        """No error, no warning, no violation of the page's policy."""
        for part, state in [("request", "done"), ("events", "open")]:
            wait_for_state(page, part, state)
        assert read_log(page, "browser") == []

    def test_no_other_origin_is_asked(self, page: Chrome, url: str) -> None:
        """Every request of the page goes to the server that it came from."""
        wait_for_state(page, "events", "open")
        events = [
            json.loads(entry["message"])["message"] for entry in read_log(page, "performance")
        ]
        requests = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
        # The browser's own first page is in the log too.
        ours = [e["request"]["url"] for e in requests if e["documentURL"].startswith(url)]
        assert f"{url}events" in ours
        assert [target for target in ours if not target.startswith((url, "data:"))] == []
        sockets = [e["params"]["url"] for e in events if e["method"] == "Network.webSocketCreated"]
        assert set(sockets) == {f"{url}chat".replace("http", "ws", 1)}


class TestRestart:
    """The server goes and comes back; these tests have servers of their own, and noisy consoles."""

    def test_chat_goes_on_after_a_restart(self, browser: Chrome) -> None:
        """The page says why it has no connection, and comes back to the same port by itself."""
        with serve() as url:
            browser.get(url)
            wait_for_state(browser, "chat", "open")
            say(browser, "before")
            wait(browser, lambda: last_line(browser)[1:] == ["before"])
            wait(browser, lambda: text(browser, "chat-rtt")[0].isdigit())
        wait_for_state(browser, "chat", "away")
        assert re.fullmatch(r"1012 .+", text(browser, "chat-close"))
        assert re.fullmatch(
            r"The server is .+\. This tab tries again in (a second|\d+ seconds)\.",
            text(browser, "chat-status"),
        )
        with serve(int(url.split(":")[2].rstrip("/"))):
            wait_for_state(browser, "chat", "open")
            say(browser, "after")
            wait(browser, lambda: last_line(browser)[1:] == ["after"])
            assert text(browser, "chat-returns") == "once"
            log = text(browser, "chat-said")
            assert (
                log.index("before") < log.index("You are connected again, as ") < log.index("after")
            )
            wait(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "#chat-seams line"))

    def test_pauses_grow(self, browser: Chrome) -> None:
        """While the server stays away, the page tries less and less often, until it is asked to."""

        def pause() -> int:
            told = re.search(r" in (\d+) seconds\.", text(browser, "chat-status"))
            return int(told[1]) if told else 1

        with serve() as url:
            browser.get(url)
            wait_for_state(browser, "chat", "open")
        wait_for_state(browser, "chat", "away")
        first = pause()
        wait(browser, lambda: pause() > max(first, 2))
        assert browser.find_element(By.ID, "chat-toggle").text == "Try now"
        with serve(int(url.split(":")[2].rstrip("/"))):
            browser.find_element(By.ID, "chat-toggle").click()
            wait_for_state(browser, "chat", "open")
