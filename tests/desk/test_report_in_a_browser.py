"""The report's page in a real browser: what it shows, and that it asks for nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_core_python.selenium import Axe
from browser import Driver, chromium, console, needs_chromium, requests, show
from sample_book import hostile_book
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from pipelines.report import write_report
from pipelines.shown.texts import LANGS, Lang

pytestmark = needs_chromium

CHARTS = {"points", "bands", "reached", "declined", "quarantined", "refunds"}
PHONE, DESKTOP = 390, 1280


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with chromium() as driver:
        yield driver


@pytest.fixture(scope="module")
def pages(six_nights: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Lang, Path]:
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for lang in LANGS:
        found[lang] = folder / f"{lang}.html"
        write_report(six_nights, out=found[lang], xlsx=None, lang=lang, verify=False)
    return found


def column(driver: Driver, table: str, place: int) -> list[str]:
    rows = driver.find_elements(By.CSS_SELECTOR, f"#{table} tbody tr")
    return [row.find_elements(By.TAG_NAME, "td")[place].text for row in rows]


def until(driver: Driver, holds: Callable[[], bool]) -> None:
    """Returns when something holds; the page answers a key in its own time."""
    WebDriverWait(driver, 10, ignored_exceptions=[StaleElementReferenceException]).until(
        lambda _: holds()
    )


def numbers(values: list[str]) -> list[int]:
    return [int(value.replace(",", "")) for value in values]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("lang", LANGS)
def test_it_shows_its_charts_in_each_language_light_and_dark_and_asks_for_nothing(
    driver: Driver, pages: dict[Lang, Path], lang: Lang, *, dark: bool
) -> None:
    for width in (DESKTOP, PHONE):
        show(driver, pages[lang], width=width, dark=dark)
        assert requests(driver) == [pages[lang].as_uri()]
        assert console(driver) == []
        assert driver.execute_script("return document.documentElement.lang") == lang
        wide = driver.execute_script("return document.documentElement.scrollWidth")
        assert wide == width
        drawn = driver.execute_script(
            "return [...document.querySelectorAll('.drawing svg')].map(svg => {"
            "const box = svg.getBoundingClientRect();"
            "return [svg.closest('.drawing').getAttribute('aria-labelledby').slice(6),"
            " box.width, box.height, svg.querySelectorAll('path[fill^=\"var\"]').length]})"
        )
        shown = {name: (w, h, marks) for name, w, h, marks in drawn if w}
        assert set(shown) == CHARTS
        for name, (w, h, marks) in shown.items():
            assert w > width * 0.6, name
            assert h > 120, name
            assert marks > 0, name
    background = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    lightness = sum(int(channel) for channel in background.strip("rgb()").split(","))
    assert lightness < 150 if dark else lightness > 700
    # A bar's colour is the page's, and another in the dark.
    colour = driver.execute_script(
        "return getComputedStyle(document.querySelector('path[fill=\"var(--series-1)\"]')).fill"
    )
    assert colour == ("rgb(86, 174, 230)" if dark else "rgb(11, 106, 168)")


def test_its_long_tables_sort_by_their_numbers_and_filter(
    driver: Driver, pages: dict[Lang, Path]
) -> None:
    show(driver, pages["en"], dark=False)
    table, net = "table-points", 10
    heading = driver.find_elements(By.CSS_SELECTOR, f"#{table} thead th")[net]
    assert heading.get_attribute("aria-sort") is None
    # From the keyboard: the heading can be reached, and Enter sorts.
    target = heading.find_element(By.CSS_SELECTOR, "[tabindex]")
    target.send_keys(Keys.ENTER)
    until(driver, lambda: heading.get_attribute("aria-sort") == "ascending")
    ascending = numbers(column(driver, table, net))
    assert ascending == sorted(ascending)
    assert ascending[0] < 0
    target.send_keys(Keys.ENTER)
    until(driver, lambda: heading.get_attribute("aria-sort") == "descending")
    descending = numbers(column(driver, table, net))
    assert descending == sorted(descending, reverse=True)
    assert descending[0] > 10_000
    search = driver.find_element(By.CSS_SELECTOR, f"input[aria-controls='{table}']")
    search.send_keys("suica")
    until(driver, lambda: set(column(driver, table, 2)) == {"suica"})
    filtered = numbers(column(driver, table, net))
    assert filtered == sorted(filtered, reverse=True)
    search.send_keys("nobody")
    until(driver, lambda: "No row matches" in driver.find_element(By.ID, table).text)
    assert console(driver) == []


@pytest.mark.parametrize(("lang", "dark"), [("ja", False), ("en", True)])
def test_a_checker_of_accessibility_finds_nothing(
    driver: Driver, pages: dict[Lang, Path], lang: Lang, *, dark: bool
) -> None:
    show(driver, pages[lang], dark=dark)
    driver.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    # Another page of a table, too: its controls are made anew.
    second = "document.querySelector(\"[aria-controls=table-points][data-dt-idx='1']\")"
    driver.execute_script(f"{second}.click()")
    # In the dark there are other colours, and nothing else is other.
    found = Axe().run(driver, options={"runOnly": ["color-contrast"]} if dark else None)
    assert [
        (violation["id"], violation["nodes"][0]["html"]) for violation in found["violations"]
    ] == []
    assert len(found["passes"]) >= (1 if dark else 30)
    levels = driver.execute_script(
        "return [...document.querySelectorAll('h1, h2, h3')].map(one => one.tagName)"
    )
    assert levels == ["H1"] + ["H2"] * 13


def test_the_first_key_leads_past_the_contents(driver: Driver, pages: dict[Lang, Path]) -> None:
    show(driver, pages["ja"], dark=False)
    driver.switch_to.active_element.send_keys(Keys.TAB)
    skip = driver.switch_to.active_element
    assert skip.text == "本文へ移動"
    assert skip.is_displayed()
    skip.send_keys(Keys.ENTER)
    assert driver.execute_script("return document.activeElement.id") == "main"


def test_what_is_folded_away_is_printed(driver: Driver, pages: dict[Lang, Path]) -> None:
    show(driver, pages["en"], dark=False)
    folded = "return document.querySelectorAll('details:not([open])').length"
    before = driver.execute_script(folded)
    assert before > 0
    driver.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert driver.execute_script(folded) == 0
    driver.execute_script("dispatchEvent(new Event('afterprint'))")
    assert driver.execute_script(folded) == before


def test_names_that_want_to_be_markup_stay_names(driver: Driver, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    write_report(hostile_book(tmp_path), out=out, xlsx=None, lang="en", verify=False)
    show(driver, out, dark=False)
    assert "taken" not in driver.title
    assert driver.find_elements(By.TAG_NAME, "img") == []
    text = driver.find_element(By.ID, "table-by_service").text
    assert "<script>document.title='taken'</script>" in text
    assert requests(driver) == [out.as_uri()]
    assert console(driver) == []
