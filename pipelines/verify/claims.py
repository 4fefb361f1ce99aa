"""Filed claims, as ``mynapoint claim`` wrote them, held against today's book.

A claim names the last hash of the chain: the book as it was then is still in today's, and gives the
same claim; or it was changed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.errors import InputError, MynapointError
from engine.io.book.chain import ChainRecord
from engine.io.payout.known import Known
from engine.paths import local_path
from pipelines.claim.granted import granted
from pipelines.claim.output import value as claim_value
from pipelines.claim.settlement import settled
from pipelines.desk.opened_book import OpenedBook, open_book
from pipelines.verify.findings import NEVER_TOO_MUCH, NO_CHANGED_BYTE, REMARK, Finding, Findings

_SAID_AGAIN: Final = ("month", "services", "months", "total", "runs", "bridge", "payout_runs")


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
        except (OSError, ValueError):
            value = None
        if not isinstance(value, dict) or not {"chain_sha256", "services", "month"} <= value.keys():
            raise InputError(
                f"--claim: {path}: not a claim",
                hint="name a claim.json of mynapoint claim --out, or what claim --json printed",
            )
        return cls(path, value)

    @property
    def is_of_granted(self) -> bool:
        return "payout_runs" in self.value


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
            wrong = list(_differences(book, claim, record, folder))
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


def _differences(
    book: Path, claim: FiledClaim, record: ChainRecord, scratch: Path
) -> Iterator[str]:
    """What the book, as it was then, says otherwise, with both values."""
    again = _made_again(open_book(book, record.run), claim, scratch / "then")
    said, now = _by_service(claim.value), _by_service(again)
    for service in sorted(said.keys() | now.keys()):
        old, new = said.get(service, {}), now.get(service, {})
        for name in [*old, *(name for name in new if name not in old)]:
            if old.get(name) != new.get(name):
                yield f"{service}: claim {name} {old.get(name)}, book {new.get(name)}"
    for name in _SAID_AGAIN:
        if name != "services" and claim.value.get(name) != again.get(name):
            yield f"the claim has another {name} than the book"


def _made_again(opened: OpenedBook, claim: FiledClaim, scratch: Path) -> Mapping[str, Any]:
    month = claim.value["month"]
    if not claim.is_of_granted:
        scratch.mkdir()
        return _as_read(claim_value(settled(opened, month, scratch)))
    lapsed = {
        str(line["service_id"]): int(line["lapse"]) for line in claim.value["services"] if not month
    }
    at = Known(opened.book, opened.runs, int(claim.value["payout_runs"]))
    return _as_read(granted(opened, at, month, lapsed)[1])


def _as_read(value: Mapping[str, Any]) -> dict[str, Any]:
    """What would be read of it, had it been written down."""
    read: dict[str, Any] = json.loads(json.dumps(value))
    return read


def _by_service(value: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    try:
        return {str(line["service_id"]): line for line in value["services"]}
    except (TypeError, KeyError):
        return {}


def _grown(book: Path, claim: FiledClaim, scratch: Path) -> str | None:
    """What was booked since then of what the claim is of."""
    if claim.is_of_granted:
        return None
    now = _made_again(open_book(book), claim, scratch / "now")
    then, today = (value["total"].get("points") for value in (claim.value, now))
    if then == today and claim.value["runs"] == now["runs"]:
        return None
    later = [run for run in now["runs"] if run not in claim.value["runs"]]
    return (
        f"since then {len(later)} runs were booked of what it claims: "
        f"claimed {then} points, today {today}"
    )
