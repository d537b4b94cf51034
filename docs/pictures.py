"""Takes the documentation's pictures of the demo with headless Chromium.

`python docs/pictures.py` writes them to docs/_static, or to the folder that is named. It needs
chromium, chromedriver and Selenium, which the tests need as well.
"""

from __future__ import annotations

import base64
import shutil
import sys
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

from daphne_like.testing import RunningServer

FOLDER = Path(__file__).parent / "_static"
WIDTH, HEIGHT = 1120, 600
MAX_OCTETS = 150_000


def open_browser() -> Chrome:
    """Start a browser without a window."""
    options = ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(flag)
    options.binary_location = shutil.which("chromium") or ""
    return Chrome(options=options, service=Service(shutil.which("chromedriver")))


def take(browser: Chrome, url: str, scheme: str) -> bytes:
    """Return a PNG of the demo's first screen, with each of its parts at work.

    Args:
        browser: to look with.
        url: of the demo.
        scheme: light or dark.
    """
    metrics = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.get(url)
    # The parts further down begin when they are seen.
    for part in ("stream", "events", "chat", "request"):
        browser.execute_script(f"document.getElementById('{part}').scrollIntoView()")
        WebDriverWait(browser, 30).until(
            lambda page, part=part: page.execute_script(
                f"return ['done', 'open'].includes(document.getElementById('{part}').dataset.state)"
            )
        )
    browser.execute_script("document.getElementById('upload-send').click()")
    WebDriverWait(browser, 30).until(
        lambda page: page.execute_script(
            "return document.getElementById('upload').dataset.state === 'done'"
        )
    )
    browser.execute_script("scrollTo(0, 0); document.activeElement.blur()")
    browser.execute_cdp_cmd(
        "Runtime.evaluate",
        {"expression": "new Promise((go) => setTimeout(go, 1500))", "awaitPromise": True},
    )
    return base64.b64decode(browser.execute_cdp_cmd("Page.captureScreenshot", {})["data"])


def main(folder: Path) -> None:
    """Write demo-light.png and demo-dark.png to a folder.

    Raises:
        ValueError: a picture is larger than everybody who clones the repository should load.
    """
    browser = open_browser()
    try:
        with RunningServer("daphne_like.demo:application") as server:
            for scheme in ("light", "dark"):
                picture = take(browser, server.url + "/", scheme)
                if len(picture) > MAX_OCTETS:
                    raise ValueError(f"the {scheme} picture has {len(picture)} octets")
                (folder / f"demo-{scheme}.png").write_bytes(picture)
    finally:
        browser.quit()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
