"""A page as HTML, CSV or JSON."""

import io
import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from engine.io.spreadsheet_csv import spreadsheet_csv
from pipelines.browse.asked import PageRequest
from pipelines.browse.counts import APPLIES, SECTIONS
from pipelines.browse.listing import Link, Listing, Page, value_of
from pipelines.browse.whole_book import PATTERN_NAMES
from pipelines.report.table import Value, shown
from pipelines.shown.terminal import plain

if TYPE_CHECKING:
    from jinja2 import Template

NAVIGATION: Final = (
    *("overview", "runs", *SECTIONS, "waiting", "remarks", "changed", "claim", "cut_off"),
    *("due", "payout_runs", "terms", "proof"),
)
# Pages of other filters than the rest.
_TAKES: Final = {
    "payout_runs": frozenset[str](),
    "proof": frozenset[str](),
    "terms": frozenset({"run"}),
    "waiting": frozenset({"service", "run", "reason"}),
    "due": frozenset({"service", "on"}),
    "remarks": frozenset({"service", "run", "pattern"}),
    "changed": frozenset({"since", "run"}),
}
# Filters for which a page has no choice, and which its sums are of all the same.
_ALSO: Final = {
    **dict.fromkeys(("overview", "runs"), ("service", "kind", "paid", "reason")),
    **dict.fromkeys(("claim", "cut_off"), ("service", "paid")),
}
# Pages that can be asked for by address as CSV and JSON; a search is not one.
_ABOUT_ONE: Final = ("transaction", "person", "account", "payouts", "correction")


@cache
def _template() -> "Template":
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_kept("pipelines.browse", "page.html.jinja"))


@cache
def style() -> str:
    """The pages' style: the report's, and what is theirs alone."""
    return _kept("pipelines.report", "page.css") + _kept("pipelines.browse", "page.css")


def _kept(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")


def html(page: Page, asked: PageRequest) -> str:
    """A page for people."""
    filters, browsed = asked.filters, asked.browsed
    other = "en" if asked.lang == "ja" else "ja"
    again = {name: asked.query[name] for name in ("id", "from") if name in asked.query}
    can_be_asked_again = page.name in (*NAVIGATION, *_ABOUT_ONE)
    return _template().render(
        t=asked.t,
        lang=asked.lang,
        page=page,
        plain=plain,
        shown=_shown,
        is_link=lambda cell: isinstance(cell, Link),
        value_of=value_of,
        book=plain(asked.opened.book.path.resolve().name),
        last=asked.opened.records[-1],
        show_ids=browsed.show_ids,
        navigation=[
            (filters.address(name), asked.t(f"p_{name}"), name == page.name) for name in NAVIGATION
        ],
        controls=_controls(page, asked)
        if page.name in NAVIGATION and _TAKES.get(page.name) != frozenset()
        else [],
        hidden={"lang": filters.lang} if filters.lang else {},
        held=_held(page, asked),
        other_lang=other,
        other_address=filters.with_(lang=other).address(page.name, **again)
        if can_be_asked_again
        else filters.with_(lang=other).address("overview"),
        exports=_exports(page, asked, again) if can_be_asked_again else {},
        search_address=filters.with_(lang=filters.lang).address("search"),
        all_address=_only_lang(asked).address(page.name if page.name in NAVIGATION else "overview"),
    )


def _shown(value: Value, kind: Any) -> str:  # noqa: ANN401 - a column's kind
    if isinstance(value, int) and kind == "number":
        return f"{value:,}"
    return "" if value is None else shown(str(value), "text")


def _only_lang(asked: PageRequest) -> Any:  # noqa: ANN401 - filters
    return type(asked.filters)(lang=asked.filters.lang)


def _held(page: Page, asked: PageRequest) -> list[tuple[str, str, str, bool]]:
    """The filters in force: name, value, the address without it, and whether it applies here."""
    also = _ALSO.get(page.name, ("service",))
    here = _TAKES.get(page.name, {"run", "month", *APPLIES.get(page.name, also)})
    if page.name not in NAVIGATION:
        here = set()
    return [
        (
            asked.t(f"c_{name}"),
            value,
            asked.filters.with_(**{name: None}).address(
                page.name if page.name in NAVIGATION else "overview"
            ),
            name in here,
        )
        for name, value in asked.filters.given().items()
        if name != "lang"
    ]


def _controls(page: Page, asked: PageRequest) -> list[dict[str, Any]]:
    """The choices of the form with filters: for each its name, its words, and what there is."""
    choices = _choices(page, asked)
    # A filter of another section stays in force there.
    kept = {
        name: value
        for name, value in asked.filters.given().items()
        if name not in choices and name != "lang"
    }
    taken = _TAKES.get(page.name, choices)
    kept |= {
        name: value
        for name in choices
        if name not in taken and (value := getattr(asked.filters, name)) is not None
    }
    choices = {name: of_name for name, of_name in choices.items() if name in taken}
    controls: list[dict[str, Any]] = [
        {
            "name": name,
            "label": asked.t(f"c_{name}"),
            "chosen": getattr(asked.filters, name),
            "choices": of_name,
        }
        for name, of_name in choices.items()
    ]
    if "on" in taken:
        controls.append({"name": "on", "label": asked.t("c_on"), "day": kept.pop("on", "")})
    return [*controls, *({"name": name, "hidden": value} for name, value in kept.items())]


def _choices(page: Page, asked: PageRequest) -> dict[str, list[tuple[str, str]]]:
    """What may be chosen on a page, by filter: the value, and its words."""
    opened, counts = asked.opened, asked.browsed.counts
    runs = [(record.run_id, f"{record.run_id} ({record.booked_on})") for record in opened.records]
    choices = {
        "service": [
            (service, asked.service_name(service))
            for service in sorted(counts.entries["service"].unique().to_list())
        ],
        "run": runs,
        "month": [(month, month) for month in sorted({record.month for record in opened.records})],
    }
    for name in APPLIES.get(page.name, ()):
        if name != "service":
            known = getattr(counts, page.name)[name].unique().drop_nulls().sort().to_list()
            words = asked.kind if name == "kind" else str
            choices[name] = [(code, words(code)) for code in known]
    if page.name == "waiting":
        reasons = counts.declined["reason"].unique().sort().to_list()
        choices["reason"] = [(code, code) for code in reasons]
    if page.name == "remarks":
        choices["pattern"] = [(name, name) for name in PATTERN_NAMES]
    if page.name == "changed":
        choices = {"since": runs} | choices
    return choices


def _exports(
    page: Page, asked: PageRequest, again: dict[str, str]
) -> dict[str, list[tuple[str, str]]]:
    """By table the addresses of its CSV and of the page's JSON."""
    address = asked.filters.address
    return {
        listing.name: [
            ("CSV", address(f"{page.name}.csv", table=listing.name, **again)),
            ("JSON", address(f"{page.name}.json", table=listing.name, **again)),
        ]
        for listing in page.listings
    }


def csv_of(listing: Listing) -> bytes:
    """A table as CSV for people."""
    rows, kinds = listing.values(), {column.key: column.kind for column in listing.columns}
    columns = []
    for key in (*kinds, *["why"] * bool(listing.notes)):
        is_number = kinds.get(key) == "number"
        cells = (row[key] for row in rows)
        values = [cell if cell is None or is_number else str(cell) for cell in cells]
        columns.append(pl.Series(key, values, pl.Int64 if is_number else pl.String))
    file = io.BytesIO()
    days = [key for key, kind in kinds.items() if kind == "day"]
    spreadsheet_csv(pl.DataFrame(columns), file, as_written=days)
    return file.getvalue()


def json_of(page: Page, asked: PageRequest, table: str | None) -> str:
    """A page for machines; ``table`` is the one that is wanted."""
    last = asked.opened.records[-1]
    listings = [listing for listing in page.listings if table in (None, listing.name)]
    value = {
        "page": page.name,
        "book": asked.opened.book.path.resolve().name,
        "last_run": last.run_id,
        "chain_sha256": asked.opened.chain_sha256,
        "filters": asked.filters.given(),
        "tables": {listing.name: listing.values() for listing in listings},
        "following": {listing.name: listing.following for listing in listings if listing.following},
    }
    if page.value is not None:
        value["story"] = page.value
    return json.dumps(value, ensure_ascii=False, indent=1, default=str) + "\n"


def by_name(page: Page, table: str | None) -> Listing | None:
    """A page's table; without a name the one with the most rows to it, the last."""
    listings = page.listings
    if table is None:
        return listings[-1] if listings else None
    return next((listing for listing in listings if listing.name == table), None)
