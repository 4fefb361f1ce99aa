"""The pages of `report` and `explain`: nothing is cut off, at no width and not on paper."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from browser import Driver, chromium, needs_chromium, show

from pipelines.cli import call
from pipelines.report import write_report
from pipelines.shown.texts import LANGS

pytestmark = needs_chromium

PHONE, WIDE = 390, (1400, 1920)
# A4 across, less the margins of 12 mm, at 96 pixels an inch.
PAPER = round((297 - 24) / 25.4 * 96)
PAGES = [f"{page}-{lang}" for page in ("report", "explain") for lang in LANGS]
# Whatever does not show all of its width, and whether the keyboard reaches it.
SCROLLING = """
return [...document.querySelectorAll('main *')]
    .filter(one => one.offsetParent && getComputedStyle(one).overflowX !== 'visible'
        && one.scrollWidth > one.clientWidth)
    .map(one => ({what: one.className, tab: one.tabIndex, role: one.getAttribute('role'),
        name: one.getAttribute('aria-label') ?? document.getElementById(
            one.getAttribute('aria-labelledby'))?.textContent ?? '',
        table: !!one.querySelector('table')}))
"""
CUT = """
const right = document.documentElement.clientWidth;
return [...document.querySelectorAll('main th, main td, main p')]
    .filter(one => one.offsetParent && one.getBoundingClientRect().right > right + 1)
    .map(one => one.textContent)
"""
OPEN = "for (const one of document.querySelectorAll('details')) one.open = true"


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with chromium() as driver:
        yield driver


@pytest.fixture(scope="module")
def person(six_nights: Path) -> str:
    """Whoever has the most entries."""
    ledger = pl.read_parquet(six_nights / "ledger" / "*.parquet")
    return str(ledger["person_id"].value_counts(sort=True)["person_id"][0])


@pytest.fixture(scope="module")
def pages(
    six_nights: Path, person: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for lang in LANGS:
        write_report(
            six_nights, out=folder / f"report-{lang}.html", xlsx=None, lang=lang, verify=False
        )
        page = folder / f"explain-{lang}.html"
        words = ["--person", person, "--declined", "--html", str(page), "--lang", lang]
        assert call(["explain", str(six_nights), *words]) == 0
    return {name: folder / f"{name}.html" for name in PAGES}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("width", WIDE)
def test_on_a_screen_every_column_is_seen_whole(
    driver: Driver, pages: dict[str, Path], page: str, width: int
) -> None:
    show(driver, pages[page], width=width, dark=False)
    driver.execute_script(OPEN)
    assert driver.execute_script(SCROLLING) == []
    assert driver.execute_script(CUT) == []


@pytest.mark.parametrize("page", PAGES)
def test_on_a_phone_what_scrolls_can_be_reached_by_the_keyboard_and_has_a_name(
    driver: Driver, pages: dict[str, Path], page: str
) -> None:
    show(driver, pages[page], width=PHONE, dark=False)
    driver.execute_script(OPEN)
    regions = driver.execute_script(SCROLLING)
    assert regions
    for region in regions:
        assert (region["tab"], region["role"], region["table"]) == (0, "region", True), region
        assert region["name"], region
    assert driver.execute_script("return document.documentElement.scrollWidth") == PHONE


def printed(driver: Driver, page: Path) -> None:
    """Lays a page out as it is printed."""
    show(driver, page, width=PAPER, dark=False)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    driver.execute_script("dispatchEvent(new Event('beforeprint'))")


@pytest.fixture
def on_screen(driver: Driver) -> Iterator[None]:
    yield
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.usefixtures("on_screen")
@pytest.mark.parametrize("page", PAGES)
def test_on_paper_no_column_is_lost(driver: Driver, pages: dict[str, Path], page: str) -> None:
    printed(driver, pages[page])
    assert driver.execute_script(CUT) == []
    assert driver.execute_script(SCROLLING) == []


def rows_of(driver: Driver) -> Any:
    return driver.execute_script(
        "return Object.fromEntries([...document.querySelectorAll('table')]"
        ".map(one => [one.id, one.tBodies[0].rows.length]))"
    )


@pytest.mark.usefixtures("on_screen")
def test_on_paper_no_row_is_lost_and_the_screen_is_as_it_was(
    driver: Driver, pages: dict[str, Path]
) -> None:
    show(driver, pages["report-en"], dark=False)
    on_the_screen = rows_of(driver)
    assert on_the_screen["table-points"] == 10
    source = pages["report-en"].read_text(encoding="utf-8")
    printed(driver, pages["report-en"])
    on_paper = rows_of(driver)
    for name, rows in on_paper.items():
        [table] = source.split(f'id="{name}"')[1:]
        body = table.partition("<tbody>")[2].partition("</tbody>")[0]
        assert rows == body.count("<tr"), name
    assert on_paper["table-points"] > 1000
    driver.execute_script("dispatchEvent(new Event('afterprint'))")
    assert rows_of(driver) == on_the_screen


@pytest.mark.parametrize("lang", LANGS)
def test_ids_are_shown_whole(
    driver: Driver, pages: dict[str, Path], six_nights: Path, person: str, lang: str
) -> None:
    show(driver, pages[f"explain-{lang}"], width=1400, dark=False)
    text = driver.execute_script("return document.querySelector('table').innerText")
    ledger = pl.read_parquet(six_nights / "ledger" / "*.parquet").filter(person_id=person)
    assert ledger["transaction_id"].str.len_chars().max() > 16  # type: ignore[operator]
    for transaction in ledger["transaction_id"]:
        assert transaction in text
