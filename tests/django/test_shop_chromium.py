"""Django's admin in a real browser: headless Chromium, driven by Selenium.

The tests are one visit, in the order of a person's: log in, add, change, delete, log out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from tests.support import needed
from tests.support.django_shop import open_shop
from tests.support.real_server import Running

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--window-size=1280,900",
]
SECONDS = 20
LEAFLET = b"%PDF of the shop\n" * 20_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop's folder."""
    return tmp_path_factory.mktemp("shop")


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Running]:
    """The shop with static files, as a developer has it."""
    with open_shop(folder, SHOP_DEBUG="1") as running:
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Chromium with an empty profile, its console recorded."""
    options = ChromeOptions()
    options.binary_location = needed.program("chromium", "chromium")
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = Chrome(options, Service(needed.program("chromedriver", "chromium-driver")))
    chrome.set_page_load_timeout(SECONDS)
    try:
        yield chrome
    finally:
        chrome.quit()


@pytest.fixture(scope="module")
def admin(browser: Chrome, running: Running) -> Chrome:
    """The browser, logged in."""
    browser.get(f"{running.url}/admin/")
    browser.delete_all_cookies()  # an attempt that was slow may have succeeded
    browser.get(f"{running.url}/admin/")
    wait(lambda: browser.find_elements(By.NAME, "username"))
    browser.find_element(By.NAME, "username").send_keys("anna")
    browser.find_element(By.NAME, "password").send_keys("of the shop")
    leave(browser, "input[type=submit]")
    return browser


def leave(browser: Chrome, button: str) -> None:
    """Press what leads to another page, and wait until that is there."""
    before = browser.find_element(By.TAG_NAME, "html").id
    browser.find_element(By.CSS_SELECTOR, button).click()
    wait(lambda: browser.find_element(By.TAG_NAME, "html").id != before)
    wait(lambda: browser.execute_script("return document.readyState") == "complete")


def wait(condition: Callable[[], Any]) -> Any:
    """Wait until the condition holds."""
    return needed.until(condition, SECONDS)


def messages(browser: Chrome) -> str:
    """What Django's message framework says above the page."""
    return browser.find_element(By.CSS_SELECTOR, ".messagelist").text


def rows(browser: Chrome) -> list[str]:
    """Names in the list of products."""
    return [cell.text for cell in browser.find_elements(By.CSS_SELECTOR, ".field-name")]


class TestAdmin:
    """Django's own admin, in a real browser."""

    def test_log_in(self, admin: Chrome) -> None:
        """The form's CSRF token is taken, and the session's cookie known on the next page."""
        assert admin.find_element(By.ID, "user-tools").text.upper().startswith("WELCOME, ANNA")

    def test_static_files(self, admin: Chrome) -> None:
        """Style sheets are applied, and come with the type that the browser insists on."""
        sheets = "return [...document.styleSheets].filter(s => s.href).map(s => s.cssRules.length)"
        counts = admin.execute_script(sheets)
        assert counts
        assert all(counts)

    def test_add(self, admin: Chrome, running: Running, folder: Path) -> None:
        """A product with a file: it is in the list, a message says so, the file is on the disk."""
        leaflet = folder / "leaflet.pdf"
        leaflet.write_bytes(LEAFLET)
        admin.get(f"{running.url}/admin/shop/product/add/")
        admin.find_element(By.NAME, "name").send_keys("Käse & Brot")
        admin.find_element(By.NAME, "leaflet").send_keys(str(leaflet))
        leave(admin, "[name=_save]")
        assert "was added successfully" in messages(admin)
        assert rows(admin) == ["Käse & Brot"]
        assert (folder / "media/leaflets/leaflet.pdf").read_bytes() == LEAFLET

    def test_change(self, admin: Chrome, running: Running) -> None:
        """A changed name, and a review in the form's inline part."""
        admin.get(f"{running.url}/admin/shop/product/")
        leave(admin, ".field-name a")
        name = admin.find_element(By.NAME, "name")
        name.clear()
        name.send_keys("Käse")
        admin.find_element(By.CSS_SELECTOR, ".add-row a").click()
        wait(lambda: admin.find_elements(By.NAME, "review_set-0-text"))
        admin.find_element(By.NAME, "review_set-0-text").send_keys("Tastes well")
        leave(admin, "[name=_save]")
        assert "was changed successfully" in messages(admin)
        assert rows(admin) == ["Käse"]

    def test_search(self, admin: Chrome, running: Running) -> None:
        """The list is searched with letters beyond ASCII."""
        admin.get(f"{running.url}/admin/shop/product/?q=K%C3%A4se")
        assert rows(admin) == ["Käse"]
        admin.get(f"{running.url}/admin/shop/product/?q=%C3%B6")
        assert rows(admin) == []

    def test_delete(self, admin: Chrome, running: Running) -> None:
        """Asked back first, the product is gone, and its review too."""
        admin.get(f"{running.url}/admin/shop/product/")
        leave(admin, ".field-name a")
        leave(admin, ".deletelink")
        assert "Tastes well" in admin.find_element(By.ID, "content").text
        leave(admin, "#content input[type=submit]")
        assert "was deleted successfully" in messages(admin)
        assert rows(admin) == []

    def test_console_is_silent(self, admin: Chrome) -> None:
        """No page so far has left an error or a warning in the browser's console."""
        assert admin.get_log("browser") == []  # type: ignore[no-untyped-call]  # selenium's

    def test_log_out(self, admin: Chrome, running: Running) -> None:
        """After logging out the admin asks for a name again."""
        leave(admin, "#logout-form button")
        admin.get(f"{running.url}/admin/")
        assert needed.until(lambda: admin.find_elements(By.NAME, "username"))
