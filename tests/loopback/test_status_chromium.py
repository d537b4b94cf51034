"""The status page in a real browser: two workers, a stuck consumer, and headless Chromium.

All tests share one server and one browser; each waits for what it is about, with a deadline.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.support import needed
from tests.support.chromium import CHROMIUM_FLAGS, read_log, text, wait
from tests.support.live_endpoints import free_port
from tests.support.real_server import fetched
from tests.support.status_peer import Status, open_websocket
from tests.support.supervised import Supervised

needed.module("channels")
MARKUP = b"/<img/src=x/onerror=document.title='broken'>"
WIDTHS = [390, 1400]


class Served:
    """A server with a stuck consumer, a peer with a strange path, and its status."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.status = Status(free_port())
        self.running = Supervised(*self.status.option, application="watched:application")
        stack.callback(self.running.stop)
        self.running.wait_until_ready()
        self.status.until_ready()
        port = self.running.port
        # Each worker has its own lock; so many connections reach both of them.
        for _ in range(8):
            peer = stack.enter_context(open_websocket(port, b"/pay/?token=secret", "lost", "again"))
            needed.until(lambda peer=peer: len(self.status.rows("/pay/")) and peer)
        stack.enter_context(open_websocket(port, b"/chat/1/", "hello"))
        for _ in range(10):
            fetched(port, "/")

    @property
    def url(self) -> str:
        return f"http://localhost:{self.status.port}/"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with contextlib.ExitStack() as stack:
        yield Served(stack)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Chromium with an empty profile, its console and its requests recorded."""
    options = ChromeOptions()
    options.binary_location = needed.program("chromium", "chromium")
    for flag in [*CHROMIUM_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = Chrome(
        options=options, service=Service(needed.program("chromedriver", "chromium-driver"))
    )
    try:
        yield chrome
    finally:
        chrome.quit()


@pytest.fixture
def page(browser: Chrome, served: Served) -> Chrome:
    """The page, with what it has heard first."""
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.get(served.url)
    wait(browser, lambda: "ready" in text(browser, "pill"))
    return browser


def rows(page: Chrome) -> list[Any]:
    """The rows of connections and instances."""
    return page.find_elements(By.CSS_SELECTOR, "#rows tr:not(.more)")


def look(page: Chrome) -> None:
    """Click "Look inside" and wait for rows."""
    page.find_element(By.ID, "look").click()
    wait(page, lambda: rows(page))


class TestPage:
    """What it shows."""

    def test_head(self, page: Chrome, served: Served) -> None:
        """Name, readiness, and both workers with their processes."""
        assert text(page, "name") == "watched:application"
        assert text(page, "pill") == "2 of 2 workers ready"
        shown = text(page, "workers")
        for worker in served.running.workers:
            assert str(worker.pid) in shown

    def test_requests_arrive(self, page: Chrome, served: Served) -> None:
        """A second in which there are requests is drawn, without loading the page again."""
        path = "#charts figure:first-child path"
        wait(page, lambda: page.find_elements(By.CSS_SELECTOR, path))
        before = page.find_element(By.CSS_SELECTOR, path).get_attribute("d")
        for _ in range(30):
            fetched(served.running.port, "/")
        wait(page, lambda: page.find_element(By.CSS_SELECTOR, path).get_attribute("d") != before)
        wait(page, lambda: "requests a second" in text(page, "lead"))

    def test_history(self, page: Chrome) -> None:
        """A page that is opened later shows what was before."""
        wait(page, lambda: page.execute_script("return points.length") > 3)
        page.refresh()
        wait(page, lambda: page.execute_script("return points.length") > 3)
        times = page.execute_script("return points.map((point) => point.time)")
        assert times == sorted(set(times))

    @pytest.mark.parametrize("width", WIDTHS)
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_fits(self, page: Chrome, width: int, scheme: str) -> None:
        """Nothing is wider than a phone or a desktop, with rows and stacks open."""
        page.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
        )
        page.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )
        look(page)
        page.find_element(By.CSS_SELECTOR, "#places button").click()
        wide = page.execute_script(
            "return [...document.querySelectorAll('body *')].filter((one) => "
            "one.getBoundingClientRect().right > innerWidth + 1 && !one.closest('.skip'))"
            ".map((one) => one.outerHTML.slice(0, 80))"
        )
        assert wide == []

    def test_nothing_from_outside(self, page: Chrome, served: Served) -> None:
        """Every request is for this server, and the console has no complaint."""
        for kind in ("performance", "browser"):
            read_log(page, kind)  # of the tests before
        page.get(served.url)
        look(page)
        requested = {
            url
            for entry in read_log(page, "performance")
            for url in re.findall(r'"url":"(https?://[^"]+)"', entry["message"])
        }
        assert {url for url in requested if not url.startswith(served.url)} == set()
        complaints = [entry["message"] for entry in read_log(page, "browser")]
        assert complaints == []


class TestStuck:
    """docs/howto/find-what-is-stuck.rst in three clicks."""

    def test_three_clicks(self, page: Chrome) -> None:
        """From the sentence that something is slow to the line, and to who holds it."""
        button = "//ul[@id='findings']//li[contains(., 'slow')]//button"
        wait(page, lambda: page.find_elements(By.XPATH, button))
        page.find_element(By.XPATH, button).click()  # 1: Show where
        wait(page, lambda: page.find_elements(By.CSS_SELECTOR, "#places button"))
        place = page.find_element(By.CSS_SELECTOR, "#places button")
        assert "await self.lock.acquire()" in place.text
        assert "Ledger.pay" in place.text
        assert "watched.py:" in place.text
        place.click()  # 2: the place
        stack = page.find_element(By.CSS_SELECTOR, ".stack").text
        assert "PaymentConsumer.receive" in stack
        assert "await self.ledger.pay(text_data)" in stack
        assert all("Ledger.pay" in row.text for row in rows(page))
        page.find_elements(By.CSS_SELECTOR, "#rows .open")[1].click()  # 3: another instance
        assert len(page.find_elements(By.CSS_SELECTOR, ".stack")) == 2

    def test_query_is_masked(self, page: Chrome) -> None:
        """The token in a query is on no page."""
        look(page)
        assert "/pay/?…" in text(page, "rows")
        assert "secret" not in page.page_source

    def test_filter(self, page: Chrome) -> None:
        """What is typed is looked for."""
        look(page)
        page.find_element(By.ID, "match").send_keys("/chat/1/")
        wait(page, lambda: len(rows(page)) == 1)
        assert "waits for a message" in rows(page)[0].text

    def test_markup(self, page: Chrome, served: Served) -> None:
        """A peer's path stays text."""
        with open_websocket(served.running.port, b"/chat/1/"):
            page.execute_script(
                "rows = [{worker: 1, id: '1', kind: 'http', peer: arguments[0], method: 'GET', "
                "path: arguments[0], state: arguments[0], mood: '', where: arguments[0], "
                "stack: [arguments[0]], age: 1, received: 0, sent: 0, queue: 0, "
                "protocol: 'http/1.1'}]; renderRows()",
                MARKUP.decode(),
            )
        page.find_element(By.CSS_SELECTOR, "#rows .open").click()
        assert page.find_elements(By.CSS_SELECTOR, "#inside img") == []
        assert "broken" not in page.title
        assert MARKUP.decode() in text(page, "rows")


class TestKeyboard:
    """Without a mouse."""

    def test_charts(self, page: Chrome) -> None:
        """Arrow keys move through the seconds, which are read out."""
        wait(page, lambda: page.execute_script("return points.length") > 2)
        plot = page.find_element(By.CSS_SELECTOR, "svg.plot")
        page.execute_script("arguments[0].focus()", plot)
        page.switch_to.active_element.send_keys(Keys.ARROW_LEFT)
        wait(page, lambda: "requests" in page.execute_script("return $('spoken').textContent"))
        assert "Arrow keys" in plot.get_attribute("aria-label")

    def test_names(self, page: Chrome) -> None:
        """Each control has a name."""
        look(page)
        nameless = page.execute_script(
            "return [...document.querySelectorAll('button, input, select')].filter((one) => "
            "one.checkVisibility() && !(one.textContent.trim() || one.labels?.length || "
            "one.getAttribute('aria-label'))).map((one) => one.outerHTML)"
        )
        assert nameless == []

    def test_focus_stays(self, page: Chrome) -> None:
        """A row that is opened by a key keeps the focus, also when the seconds go on."""
        look(page)
        page.find_element(By.CSS_SELECTOR, "#rows .open").send_keys(Keys.ENTER)
        key = page.switch_to.active_element.get_attribute("data-row")
        assert key
        page.find_element(By.ID, "again").click()
        page.execute_script("document.querySelector('#rows .open').focus()")
        number = page.execute_script("return asked")
        wait(page, lambda: page.execute_script("return asked") > number + 1)
        assert page.switch_to.active_element.get_attribute("data-row") == key


class TestActions:
    """Restart, with a question before."""

    def test_no(self, page: Chrome, served: Served) -> None:
        """Cancel does nothing."""
        page.find_element(By.XPATH, "//div[@id='acts']/button[.='Drain and stop']").click()
        wait(page, lambda: page.find_element(By.ID, "ask").is_displayed())
        page.find_element(By.ID, "ask-no").click()
        assert not page.find_element(By.ID, "ask").is_displayed()
        assert "asks for" not in served.running.log

    def test_yes(self, page: Chrome, served: Served) -> None:
        """The workers are replaced, and the page says so."""
        page.find_element(By.XPATH, "//div[@id='acts']/button[.='Restart workers']").click()
        wait(page, lambda: page.find_element(By.ID, "ask").is_displayed())
        page.find_element(By.ID, "ask-yes").click()
        wait(page, lambda: "begun" in text(page, "findings"))
        wait(page, lambda: "generation 2" in text(page, "about"))

    def test_threads(self, page: Chrome) -> None:
        """The threads of a worker, blocked or not."""
        page.find_element(By.CSS_SELECTOR, "#workers button").click()
        wait(page, lambda: "thread" in text(page, "told-text").lower())
        page.find_element(By.ID, "told-close").click()


def test_no_answer(browser: Chrome, tmp_path: Path) -> None:
    """When the server has gone the page says so, and keeps what it knows."""
    with contextlib.ExitStack() as stack:
        served = Served(stack)
        browser.get(served.url)
        wait(browser, lambda: "ready" in text(browser, "pill"))
        served.running.stop()
        wait(browser, lambda: text(browser, "pill") == "no answer")
        assert "has not answered" in text(browser, "findings")
        assert "watched:application" in text(browser, "name")
