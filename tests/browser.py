"""A real browser for tests: Chromium, driven by its own chromedriver. Nothing is fetched for it.

Without the two programs a test is skipped and says what to install; in CI it fails.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ALONE = (
    "--headless=new",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-proxy-server",
    "--disable-background-networking",
)


@contextlib.contextmanager
def browser(width: int = 1280, height: int = 900) -> Iterator[webdriver.Chrome]:
    """An empty profile with one window."""
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        reason = "no Chromium with chromedriver: install the packages chromium and chromium-driver"
        if os.environ.get("CI"):
            pytest.fail(f"{reason}. In CI no test is skipped for want of a browser")
        pytest.skip(reason)
    options = webdriver.ChromeOptions()
    options.binary_location = program
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in (*ALONE, f"--window-size={width},{height}"):
        options.add_argument(argument)
    if os.geteuid() == 0:  # Chromium's sandbox is for other users
        options.add_argument("--no-sandbox")
    made = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield made
    finally:
        made.quit()


def said(driver: webdriver.Chrome) -> list[str]:
    """What the browser complained about since it was last asked: a forbidden script or style, an error of the page."""
    entries = driver.get_log("browser")
    return [str(entry["message"]) for entry in entries if entry["level"] == "SEVERE"]
