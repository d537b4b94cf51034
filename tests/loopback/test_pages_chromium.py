"""The documentation's pages, built as people build them, in a real browser as wide as a phone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from tests.support import needed

DOCS = Path(__file__).parents[2] / "docs"
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
MADE_BY_SPHINX = {"genindex", "py-modindex", "search"}
WIDER_THAN_ITS_PLACE = """
const content = document.querySelector(".content"), page = document.documentElement;
return Math.max(content.scrollWidth - content.clientWidth, page.scrollWidth - page.clientWidth)
"""
"""The theme lets its content scroll sideways in the place of the page."""
BROKEN_IMAGES = """
return [...document.images]
  .filter((image) => image.complete && image.naturalWidth === 0 && image.offsetParent !== null)
  .map((image) => image.src)
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The pages, built without a warning."""
    for name in ("sphinx", "furo", "sphinx_copybutton"):
        needed.module(name)
    folder = tmp_path_factory.mktemp("pages")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", "-d", folder / "read", DOCS,
         folder / "html"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    built = sorted((folder / "html").rglob("*.html"))
    return [page for page in built if page.stem not in MADE_BY_SPHINX]


@pytest.fixture(scope="module")
def phone() -> Iterator[Chrome]:
    """Chromium, 390 pixels wide."""
    options = ChromeOptions()
    options.binary_location = needed.program("chromium", "chromium")
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(flag)
    chrome = Chrome(options, Service(needed.program("chromedriver", "chromium-driver")))
    try:
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)  # type: ignore[no-untyped-call]  # selenium's
        yield chrome
    finally:
        chrome.quit()


class TestPages:
    """All of them."""

    def test_they_fit_a_phone(self, pages: list[Path], phone: Chrome) -> None:
        """Tables and code wrap, or scroll by themselves: the page does not."""
        assert len(pages) > 25
        too_wide = {}
        for page in pages:
            phone.get(page.as_uri())
            too_wide[page.stem] = phone.execute_script(WIDER_THAN_ITS_PLACE)
        assert {name: pixels for name, pixels in too_wide.items() if pixels > 0} == {}

    def test_pictures_are_there(self, pages: list[Path], phone: Chrome) -> None:
        """No page shows a picture that cannot be loaded."""
        broken = []
        for page in pages:
            phone.get(page.as_uri())
            broken += phone.execute_script(BROKEN_IMAGES)
        assert broken == []

    def test_code_is_no_error(self, pages: list[Path]) -> None:
        """What is highlighted as a language is read as that language."""
        wrong = [page.stem for page in pages if '<span class="err">' in page.read_text()]
        assert wrong == []
