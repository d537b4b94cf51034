"""Chromium on the demo's page: how it is started, what a person does there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

WAIT_SECONDS = 20
CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
]


def text(page: Chrome, name: str) -> str:
    """The text of the element with that id."""
    return page.find_element(By.ID, name).text


def wait(page: Chrome, condition: Callable[[], Any]) -> None:
    """Wait until the condition holds."""
    WebDriverWait(page, WAIT_SECONDS, poll_frequency=0.05).until(lambda _: condition())


def wait_for_state(page: Chrome, part: str, state: str) -> None:
    """Wait until a part of the page is in that state; it fails at once where the part says so."""

    def reached() -> bool:
        now = page.find_element(By.ID, part).get_attribute("data-state")
        assert now == state or now != "failed", text(page, f"{part}-status")
        return now == state

    wait(page, reached)


def read_log(page: Chrome, kind: str) -> list[dict[str, Any]]:
    """The entries that this log of the browser has got since it was last read."""
    entries: list[dict[str, Any]] = page.get_log(kind)  # type: ignore[no-untyped-call]  # selenium's
    return entries


@contextlib.contextmanager
def in_another_tab(page: Chrome, url: str) -> Iterator[str]:
    """A second tab that has joined the chat, as a handle to switch to; the first one is in view."""
    first = page.current_window_handle
    page.switch_to.new_window("tab")
    second = page.current_window_handle
    page.get(url)
    wait_for_state(page, "chat", "open")
    page.switch_to.window(first)
    try:
        yield second
    finally:
        page.switch_to.window(second)
        page.close()
        page.switch_to.window(first)


def say(page: Chrome, line: str) -> None:
    """Type a line of chat and press Enter."""
    page.find_element(By.ID, "chat-input").send_keys(line, Keys.ENTER)


def last_line(page: Chrome) -> list[str]:
    """Who spoke last in the chat, and what they said."""
    parts = page.find_elements(By.CSS_SELECTOR, "#chat-said p:last-of-type > span")
    return [part.text for part in parts]
