"""The pages of `browse` in a real browser, by keyboard and mouse: read, filtered, searched."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_core_python.selenium import Axe
from browser import Driver, chromium, console, needs_chromium, requests, show_address
from browsing import Pages, found, links, served
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from pipelines.browse import app as browse_app
from pipelines.shown.texts import LANGS

pytestmark = needs_chromium

PHONE, DESKTOP = 390, 1280
PERSON = "5e9cbfa5c9c90f44"
SECTIONS = (
    *("overview", "runs", "entries", "declined", "quarantined", "applications", "corrections"),
    *("claim", "cut_off", "due", "payout_runs", "terms", "proof", "waiting", "remarks", "changed"),
)
CUT = """
const right = document.documentElement.clientWidth;
const scrolls = (one) => one.closest('.scroll[tabindex="0"][aria-labelledby]');
return [...document.querySelectorAll('body *')]
    .filter(one => one.offsetParent && one.getBoundingClientRect().right > right + 1
        && !one.closest('.skip') && !scrolls(one))
    .map(one => one.outerHTML)
"""


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with chromium() as driver:
        yield driver


@pytest.fixture(scope="module")
def pages(six_nights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    with served(six_nights, tmp_path_factory.mktemp("log") / "lookups.jsonl") as pages:
        yield pages


@pytest.fixture(autouse=True)
def short_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checker of accessibility looks at each cell."""
    monkeypatch.setattr(browse_app, "ROWS_OF_A_PAGE", 12)


@pytest.fixture(scope="module")
def addresses(pages: Pages) -> list[str]:
    """Every page there is."""
    for page in SECTIONS:
        # Some are calculated when they are asked for first.
        assert pages.get(page).status == 200
    person = found(pages, PERSON, "person")
    return [
        *SECTIONS,
        "runs?run=1",
        "declined?service=paypay&fault=amount%3Amalformed",
        "nothing",
        person,
        found(pages, "C0006287729450", "transaction"),
        found(pages, "018592613078", "account"),
        links(pages.get(person).text, "payouts")[0],
        links(pages.get("corrections").text, "correction")[0],
    ]


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_no_page_is_cut_off_or_bars_anybody_or_asks_elsewhere(
    driver: Driver, pages: Pages, addresses: list[str], lang: str, width: int
) -> None:
    for page in addresses:
        address = f"{pages.address}{page}{'&' if '?' in page else '?'}lang={lang}"
        # In the dark there are other colours, and nothing else is other.
        show_address(driver, address, width=width, dark=width == PHONE)
        assert driver.execute_script("return document.documentElement.lang") == lang, page
        asked = {url for url in requests(driver) if not url.startswith("data:")}
        assert asked == {address, f"{pages.address}style.css"}
        said = [line for line in console(driver) if "404" not in line["message"]]
        assert said == [], page
        assert driver.execute_script("return document.documentElement.scrollWidth") == width, page
        assert driver.execute_script(CUT) == [], page
        if (lang == "ja") == (width == PHONE):
            continue
        violations = Axe().run(driver)["violations"]
        assert [
            (violation["id"], violation["nodes"][0]["html"]) for violation in violations
        ] == [], page


def test_at_common_widths_tables_need_no_scrolling(driver: Driver, pages: Pages) -> None:
    for page in SECTIONS:
        show_address(driver, f"{pages.address}{page}", width=1400, dark=False)
        scrolling = driver.execute_script(
            "return [...document.querySelectorAll('.scroll')]"
            ".filter(one => one.scrollWidth > one.clientWidth).map(one => one.innerText)"
        )
        assert scrolling == [], page


def go(driver: Driver, leave: Callable[[], object]) -> None:
    """Leaves this page: a click may return before the next one is there."""
    page = driver.find_element(By.TAG_NAME, "html")
    leave()
    # A page that is unloaded while it is looked at is an error of the driver's, too.
    WebDriverWait(driver, 60, ignored_exceptions=[WebDriverException]).until(staleness_of(page))


def test_an_auditor_finds_and_filters_without_a_script(driver: Driver, pages: Pages) -> None:
    show_address(driver, pages.address, width=DESKTOP, dark=False)
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        go(driver, driver.find_element(By.LINK_TEXT, "Declined").click)
        form = driver.find_element(By.CSS_SELECTOR, "form.sift")
        Select(form.find_element(By.NAME, "service")).select_by_value("paypay")
        Select(form.find_element(By.NAME, "reason")).select_by_value("not_enrolled")
        go(driver, form.find_element(By.TAG_NAME, "button").click)
        assert "service=paypay" in driver.current_url
        assert "reason=not_enrolled" in driver.current_url
        rows = driver.find_elements(By.CSS_SELECTOR, "#table-declined tbody tr")
        assert rows
        assert all("not_enrolled" in row.text and "paypay" in row.text for row in rows)
        # What was chosen holds where one goes, and can be taken away there.
        go(driver, driver.find_element(By.LINK_TEXT, "Runs").click)
        assert "service=paypay" in driver.current_url
        go(
            driver,
            driver.find_element(By.CSS_SELECTOR, "[aria-label='Remove the filter service']").click,
        )
        assert "service" not in driver.current_url
        box = driver.find_element(By.NAME, "text")
        go(driver, lambda: box.send_keys(PERSON, Keys.ENTER))
        assert PERSON not in driver.current_url
        go(driver, driver.find_element(By.CSS_SELECTOR, "#table-found a").click)
        assert "3,502" in driver.find_element(By.TAG_NAME, "main").text
        assert PERSON not in driver.current_url
        assert PERSON not in driver.page_source
        go(driver, driver.find_element(By.LINK_TEXT, "日本語").click)
        assert "付与ポイント 3,502" in driver.find_element(By.TAG_NAME, "main").text
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert console(driver) == []
