"""Filed claims, as ``mynapoint claim`` wrote them, held against today's book.

A claim names the last hash of the chain: the book as it was then is still in today's, and gives the
same claim; or it was changed.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.errors import InputError, MynapointError
from engine.io.book.chain import ChainRecord
from engine.io.payout.known import KnownPayouts
from engine.paths import local_path
from pipelines.claim.granted import granted
from pipelines.claim.output import value as claim_value
from pipelines.claim.settlement import settled
from pipelines.desk.database import readable_by_duckdb
from pipelines.desk.months import MONTH_PATTERN, checked_month
from pipelines.desk.opened_book import OpenedBook, open_book
from pipelines.verify.findings import NEVER_TOO_MUCH, NO_CHANGED_BYTE, REMARK, Finding, Findings

_SAID_AGAIN: Final = (
    *("month", "months", "total", "runs", "booked_from", "booked_to"),
    *("bridge", "payout_runs", "last_run", "last_booked_on"),
)
_NOT_SAID_AGAIN: Final = ("book", "chain_sha256", "seals", "terms", "verified", "services")


@dataclass(frozen=True, slots=True)
class FiledClaim:
    """A claim's file.

    Attributes:
        value: what stands in it.
    """

    path: Path
    value: Mapping[str, Any]

    @classmethod
    def at(cls, path: Path) -> "FiledClaim":
        """Reads a claim.

        Raises:
            InputError: it is none.
        """
        path = local_path(path)
        try:
            value = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            value = None
        fault = next(_faults(value), None)
        if fault is not None:
            raise InputError(
                f"--claim: {path}: not a claim: {fault}",
                hint="name a claim.json of mynapoint claim --out, or what claim --json printed",
            )
        return cls(path, value)

    @property
    def is_of_granted(self) -> bool:
        return "payout_runs" in self.value


def _faults(value: object) -> Iterator[str]:
    """Why a value is not a claim; the first counts, since later ones may follow from it."""
    if not isinstance(value, dict):
        yield "it cannot be read as JSON with keys and values"
        return
    is_of_granted = "payout_runs" in value
    counted = "payout_runs" if is_of_granted else "runs"
    for key in ("chain_sha256", "last_run", "month", "services", "total", counted):
        if key not in value:
            yield f"{key} is missing"
    for key in value:
        if key not in (*_SAID_AGAIN, *_NOT_SAID_AGAIN):
            yield f"no claim has the key {json.dumps(key)}"
    month, total, runs = value["month"], value["total"], value[counted]
    if month is not None and not (isinstance(month, str) and re.fullmatch(MONTH_PATTERN, month)):
        yield "month is neither null nor a month such as 2021-03"
    if not isinstance(total, dict):
        yield "total holds no sums"
    if is_of_granted and not _is_count(runs):
        yield "payout_runs is not a number"
    if not is_of_granted and not _is_list_of(str, runs):
        yield "runs is not a list of runs"
    yield from _faults_of_services(value["services"], with_lapse=is_of_granted and month is None)


def _faults_of_services(services: object, *, with_lapse: bool) -> Iterator[str]:
    if not isinstance(services, list) or not _is_list_of(dict, services):
        yield "services is not a list of services"
        return
    ids = [line.get("service_id") for line in services]
    if not _is_list_of(str, ids):
        yield "a service has no service_id"
    if len(set(ids)) < len(ids):
        yield "a service is there twice"
    if with_lapse and not all(_is_count(line.get("lapse")) for line in services):
        yield "a service has no number of points as lapse"


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_list_of(kind: type, value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)


def check_claims(
    book: Path,
    chain: Sequence[ChainRecord],
    claims: Sequence[FiledClaim],
    scratch: Path,
    findings: Findings,
) -> list[tuple[FiledClaim, ChainRecord]]:
    """Makes each claim again from the book as it was; gives those that agree, with their record."""
    by_sha256 = {record.sha256: record for record in chain}
    agreeing = []
    for number, claim in enumerate(claims):
        record = by_sha256.get(str(claim.value["chain_sha256"]))
        where = str(claim.path)
        if record is None:
            what = "no record of the book has the claim's last hash: it was changed or cut off"
            findings.add(Finding("claim", NO_CHANGED_BYTE, where, what))
            continue
        folder = scratch / f"claim-{number}"
        folder.mkdir()
        try:
            payout_runs = _payout_runs(chain[: chain.index(record) + 1])
            wrong = list(_differences(book, claim, record, payout_runs, folder))
            grown = _grown(book, claim, folder)
        except MynapointError as error:
            wrong, grown = [f"it cannot be made again: {error.message}"], None
        for what in wrong:
            findings.add(Finding("claim", NEVER_TOO_MUCH, where, what))
        if grown:
            finding = Finding("claim_grown", NEVER_TOO_MUCH, where, grown, severity=REMARK)
            findings.add(finding)
        if not wrong:
            agreeing.append((claim, record))
    return agreeing


def _payout_runs(chain: Sequence[ChainRecord]) -> int:
    """The number of the last payout run in a chain."""
    return max(
        (int(record.path.parent.name) for record in chain if record.is_payout_run), default=0
    )


def _differences(
    book: Path, claim: FiledClaim, record: ChainRecord, payout_runs: int, scratch: Path
) -> Iterator[str]:
    """What the book, as it was then, says otherwise, with both values."""
    again = _made_again(open_book(book, record.run), claim, payout_runs, scratch / "then")
    said, now = _by_service(claim.value), _by_service(again)
    for service in sorted(said.keys() | now.keys()):
        old, new = said.get(service, {}), now.get(service, {})
        for name in [*old, *(name for name in new if name not in old)]:
            if old.get(name) != new.get(name):
                yield f"{service}: claim {name} {old.get(name)}, book {new.get(name)}"
    for name in _SAID_AGAIN:
        if claim.value.get(name) != again.get(name):
            yield f"the claim has another {name} than the book"


def _made_again(
    opened: OpenedBook, claim: FiledClaim, payout_runs: int, scratch: Path
) -> Mapping[str, Any]:
    month = claim.value["month"]
    if not claim.is_of_granted:
        if month is not None:
            checked_month(opened, month)
        scratch.mkdir()
        with readable_by_duckdb(opened.book.path):
            return _as_read(claim_value(settled(opened, month, scratch)))
    lapsed = {line["service_id"]: line["lapse"] for line in claim.value["services"] if not month}
    at = KnownPayouts(opened.book, opened.runs, payout_runs)
    return _as_read(granted(opened, at, month, lapsed)[1])


def _as_read(value: Mapping[str, Any]) -> dict[str, Any]:
    """What would be read of it, had it been written down."""
    read: dict[str, Any] = json.loads(json.dumps(value))
    return read


def _by_service(value: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {line["service_id"]: line for line in value["services"]}


def _grown(book: Path, claim: FiledClaim, scratch: Path) -> str | None:
    """What was booked since then of what the claim is of."""
    if claim.is_of_granted:
        return None
    now = _made_again(open_book(book), claim, 0, scratch / "now")
    then, today = (value["total"].get("points") for value in (claim.value, now))
    if then == today and claim.value["runs"] == now["runs"]:
        return None
    later = [run for run in now["runs"] if run not in claim.value["runs"]]
    return (
        f"since then {len(later)} runs were booked of what it claims: "
        f"claimed {then} points, today {today}"
    )
