"""A real headless Chromium, as people's own is; tests that need it are skipped where it is not."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

needs_chromium = pytest.mark.skipif(
    not (CHROMIUM and DRIVER),
    reason="Chromium and its driver are not installed (Debian: chromium, chromium-driver)",
)

# What a fresh profile would fetch of its own accord is not the page's doing.
_QUIET = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--disable-extensions", "--hide-scrollbars"),
)

Driver = webdriver.Chrome


@contextmanager
def chromium() -> Iterator[Driver]:
    """A browser with an empty profile."""
    with TemporaryDirectory(prefix="mynapoint-chromium-") as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM or ""
        for argument in (*_QUIET, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        try:
            yield driver
        finally:
            driver.quit()


def show(driver: Driver, page: Path, *, width: int = 1280, height: int = 900, dark: bool) -> None:
    """Opens a page of the disk, at a width, in light or in dark."""
    show_address(driver, page.as_uri(), width=width, height=height, dark=dark)


def show_address(
    driver: Driver, address: str, *, width: int = 1280, height: int = 900, dark: bool
) -> None:
    """Opens an address, at a width, in light or in dark."""
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    # Nothing that came before is of interest.
    driver.get("about:blank")
    _log(driver, "performance")
    _log(driver, "browser")
    driver.get(address)


def requests(driver: Driver) -> list[str]:
    """What was asked for since the last look: the addresses, data within the page left out."""
    events = [json.loads(entry["message"])["message"] for entry in _log(driver, "performance")]
    asked = [
        str(event["params"]["request"]["url"])
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    return [url for url in asked if not url.startswith("data:")]


def console(driver: Driver) -> list[dict[str, Any]]:
    """What was said on the console since the last look."""
    return _log(driver, "browser")


def _log(driver: Driver, kind: str) -> list[dict[str, Any]]:
    return list(driver.get_log(kind))  # type: ignore[no-untyped-call]
