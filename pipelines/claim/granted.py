"""What the operator may claim for points that were granted: net of what was taken back and lapses.

A month takes what was answered in it, less the lapse that was filed; the final settlement takes all
that was granted, less what lapsed in fact where that is known, and less what was claimed before.
"""

import datetime as dt
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from engine.errors import InputError
from engine.extras import require_extra
from engine.io.payout.calculation import DayCalculation
from engine.io.payout.known import PAYOUT_COLUMNS, KnownPayouts, known
from engine.io.spreadsheet_csv import spreadsheet_csv
from engine.payouts.bridge import TERMS
from pipelines.desk.opened_book import OpenedBook, open_book
from pipelines.shown.errors import output_may_fail
from pipelines.shown.head import head_facts
from pipelines.shown.result_files import check_folder, whole_folder
from pipelines.shown.spreadsheet import Spreadsheet
from pipelines.shown.terminal import output, plain, print_json, table
from pipelines.shown.texts import Lang, Texts

_SUMS: Final = ("granted", "taken_back", "net", "lapse", "claimed_before", "claimed")


@dataclass(frozen=True, slots=True)
class GrantedLine:
    """A service's line.

    Attributes:
        net: granted less taken back.
        lapse: of a month what is expected to lapse, in the end what lapsed in fact.
        expected_lapse: in the end, what the months' claims left out.
        claimed_before: in the end, by the months.
        claimed: what remains to be claimed; below 0 is to be paid back.
    """

    service_id: str
    granted: int
    taken_back: int
    net: int
    lapse: int
    expected_lapse: int
    claimed_before: int
    claimed: int


def claim_granted(
    book: Path,
    *,
    lang: Lang,
    month: str | None,
    final: bool,
    lapsed: Sequence[str] = (),
    as_of: int | None = None,
    out: Path | None = None,
    as_json: bool = False,
) -> int:
    """Says what may be claimed for granted points; writes it to ``out``.

    Raises:
        InputError: not one of a month and the end was asked for, or nothing was answered then.
        BookError: a file of the book is damaged.
    """
    if (month is None) != final:
        raise InputError(
            "claim: one of --month and --final is needed",
            hint="--month YYYY-MM for the month of the answers, --final for all of the book",
        )
    if lapsed and not final:
        raise InputError(
            "--lapsed: what lapsed in fact is claimed for in the end",
            hint="leave it out, or give --final",
        )
    opened = open_book(book, as_of)
    at = known(book, opened.runs)
    if out is not None:
        require_extra("claim --out", "desk", "xlsxwriter")
        check_folder(out)
    lines, value = granted(opened, at, month, _lapsed(lapsed, at))
    texts = Texts("claim", lang)
    if out is not None:
        _write(out, lines, value, texts)
    with output_may_fail():
        if as_json:
            print_json(value)
        else:
            _print(lines, value, texts, out)
    return 0


def granted(
    opened: OpenedBook, at: KnownPayouts, month: str | None, lapsed: Mapping[str, int]
) -> tuple[list[GrantedLine], dict[str, Any]]:
    """The claim, by service and for machines.

    Args:
        opened: the book.
        at: its payouts.
        month: of the answers; None for all.
        lapsed: by service, points that lapsed in fact.

    Raises:
        InputError: nothing was answered in the month.
    """
    answers = _answers(at)
    lines = _of_month(at, answers, month) if month else _of_all(at, answers, lapsed)
    value = {
        "book": str(at.book.path),
        "month": month,
        "payout_runs": at.payout_runs,
        "last_run": opened.record(opened.runs).run_id,
        "last_booked_on": opened.record(opened.runs).booked_on.isoformat(),
        "chain_sha256": opened.chain_sha256,
        "seals": opened.seals,
        "services": [
            {name: getattr(line, name) for name in GrantedLine.__slots__}
            | {"lapse_rate": at.asked(dt.date.min).service(line.service_id).lapse_rate}
            for line in lines
        ],
        "total": {name: sum(getattr(line, name) for line in lines) for name in _SUMS},
    }
    if month is None:
        value["bridge"] = _bridge(at)
    return lines, value


def _answers(at: KnownPayouts) -> pl.DataFrame:
    """What was granted and taken back, by service and month of the answer."""
    is_pay, points = pl.col("direction") == "pay", pl.col("points")
    sums = [
        rows.filter(pl.col("entry") == "done")
        .group_by("service_id", month=pl.col("on").dt.strftime("%Y-%m"))
        .agg(granted=points.filter(is_pay).sum(), taken_back=points.filter(~is_pay).sum())
        for rows in (pl.DataFrame(schema=PAYOUT_COLUMNS), *at.payout_rows())
    ]
    return pl.concat(sums).group_by("service_id", "month").sum().sort("service_id", "month")


def _of_month(at: KnownPayouts, answers: pl.DataFrame, month: str) -> list[GrantedLine]:
    of_month = answers.filter(pl.col("month") == month)
    if of_month.is_empty():
        months = sorted(answers["month"].unique())
        raise InputError(
            f"--month: nothing was answered in {month}",
            hint=f"answers are of {months[0]} to {months[-1]}"
            if months
            else "take in answers with mynapoint payout --answers",
        )
    lines = []
    for service, _, granted, taken_back in of_month.iter_rows():
        net = granted - taken_back
        claimed = _less_lapse(at, service, net)
        lapse = net - claimed
        lines.append(GrantedLine(service, granted, taken_back, net, lapse, lapse, 0, claimed))
    return lines


def _of_all(
    at: KnownPayouts, answers: pl.DataFrame, actual: Mapping[str, int]
) -> list[GrantedLine]:
    lines = []
    for (service,), rows in answers.partition_by(
        "service_id", as_dict=True, maintain_order=True
    ).items():
        name = str(service)
        granted, taken_back = int(rows["granted"].sum()), int(rows["taken_back"].sum())
        net = granted - taken_back
        nets = (rows["granted"] - rows["taken_back"]).to_list()
        before = sum(_less_lapse(at, name, of_month) for of_month in nets)
        lapse = actual.get(name, 0)
        claimed = net - lapse - before
        lines.append(
            GrantedLine(name, granted, taken_back, net, lapse, net - before, before, claimed)
        )
    return lines


def _less_lapse(at: KnownPayouts, service_id: str, net: int) -> int:
    service = at.services.by_id.get(service_id)
    if service is None or service.lapse_rate is None:
        return net
    numerator, denominator = service.lapse_rate
    return net * (denominator - numerator) // denominator


def _lapsed(texts: Sequence[str], at: KnownPayouts) -> dict[str, int]:
    lapsed = {}
    for text in texts:
        service, _, points = text.rpartition("=")
        if service not in at.services.by_id or not points.isascii() or not points.isdigit():
            raise InputError(
                f"--lapsed {text}: expected SERVICE_ID=POINTS of a service of the book",
                hint="such as --lapsed waon=12000: points that were granted and never used",
            )
        lapsed[service] = int(points)
    return lapsed


def _bridge(at: KnownPayouts) -> dict[str, dict[str, int]]:
    """From award to grant on the day of the last booking."""
    with tempfile.TemporaryDirectory(prefix="mynapoint-claim-") as scratch:
        sums = DayCalculation(at, at.last_run.booked_on, Path(scratch)).bridge()
    rows = sums.select("service_id", *TERMS).to_dicts() if sums.height else []
    return {row.pop("service_id"): row for row in rows}


def _write(out: Path, lines: Sequence[GrantedLine], value: Mapping[str, Any], texts: Texts) -> None:
    frame = pl.DataFrame(
        [[getattr(line, name) for name in GrantedLine.__slots__] for line in lines],
        schema=["service_id", *(name for name in GrantedLine.__slots__ if name != "service_id")],
        orient="row",
    )
    with whole_folder(out) as folder:
        frame.write_parquet(folder / "claim.parquet")
        spreadsheet_csv(frame, folder / "claim.csv")
        text = json.dumps(value, ensure_ascii=False, indent=1)
        (folder / "claim.json").write_text(f"{text}\n", encoding="utf-8")
        _write_workbook(folder / "claim.xlsx", lines, value, texts)


def _write_workbook(
    path: Path, lines: Sequence[GrantedLine], value: Mapping[str, Any], texts: Texts
) -> None:
    """A cover, the claim, and in the end the bridge from award to grant."""
    columns, rows, total = _table(lines, value, texts)
    rates = {row["service_id"]: row["lapse_rate"] for row in value["services"]}
    last_run = {"run_id": value["last_run"], "booked_on": value["last_booked_on"]}
    facts: list[tuple[str, object]] = [
        (_title(value, texts), None),
        (texts("book"), value["book"]),
        (texts("last_run"), texts("last_run_value", **last_run)),
        (texts("payout_runs"), value["payout_runs"]),
        *head_facts(value["chain_sha256"], value["seals"], texts.lang),
        *(
            (texts("lapse_rate", service=service), f"{rate[0]}/{rate[1]}")
            for service, rate in rates.items()
            if rate is not None
        ),
        (texts("verification"), texts("verification_value")),
    ]
    with Spreadsheet(path, made_on=dt.date.fromisoformat(value["last_booked_on"])) as sheets:
        sheets.facts(texts("sheet_cover"), facts)
        sheets.table(
            texts("sheet_claim"),
            [(heading, 18 if number else 22) for heading, number in columns],
            rows,
            totals=total,
        )
        if "bridge" in value:
            words = Texts("due", texts.lang)
            sheets.table(
                texts("sheet_bridge"),
                [(words(name), 18) for name in ("service", *TERMS)],
                [(service, *terms.values()) for service, terms in value["bridge"].items()],
                totals=(
                    texts("total"),
                    *(sum(terms[name] for terms in value["bridge"].values()) for name in TERMS),
                ),
            )


def _title(value: Mapping[str, Any], texts: Texts) -> str:
    key = "title_granted_final" if value["month"] is None else "title_granted_month"
    return texts(key, month=value["month"] or "")


def _table(
    lines: Sequence[GrantedLine], value: Mapping[str, Any], texts: Texts
) -> tuple[list[tuple[str, bool]], list[Sequence[object]], Sequence[object]]:
    """Columns, each with whether it is a number, rows and total."""
    columns = [(texts("column_service"), False)]
    columns += [(texts(f"column_{name}"), True) for name in _SUMS]
    rows: list[Sequence[object]] = [
        (line.service_id, *(getattr(line, name) for name in _SUMS)) for line in lines
    ]
    return columns, rows, (texts("total"), *value["total"].values())


def _print(
    lines: Sequence[GrantedLine], value: Mapping[str, Any], texts: Texts, out: Path | None
) -> None:
    console = output()
    console.print(plain(_title(value, texts)), style="bold")
    for label, fact in head_facts(value["chain_sha256"], value["seals"], texts.lang):
        console.print(plain(f"{label}: {fact}"))
    columns, rows, total = _table(lines, value, texts)
    console.print(table(columns, [*rows, total], total=True))
    for line in lines:
        if value["month"] is None and line.expected_lapse != line.lapse:
            said = texts(
                "lapse_differs",
                service=line.service_id,
                expected=line.expected_lapse,
                actual=line.lapse,
                difference=line.claimed,
            )
            console.print(plain(said))
    if out is not None:
        console.print(plain(texts("written", folder=out)))
