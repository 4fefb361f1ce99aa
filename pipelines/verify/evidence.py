"""What a verification says of itself: what was checked and what was not, when and by what."""

import datetime as dt
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, Literal

from engine.io.book.chain import ChainRecord
from pipelines.verify import (
    ARITHMETIC,
    BYTES,
    CLAIMS,
    INDEX,
    ORIGIN,
    PAYOUTS,
    PLACES,
    SEALS,
    Verified,
)
from pipelines.verify.findings import PROMISES, Findings, control_of

FORMAT: Final = 1
SCHEMA: Final = "verification.schema.json"
State = Literal["done", "unfinished", "not_asked", "nothing"]
CHECKS: Final = (BYTES, PLACES, ARITHMETIC, PAYOUTS, INDEX, ORIGIN, SEALS, CLAIMS)
_ENDED: Final = frozenset({BYTES, PLACES, INDEX, SEALS})
_LIBRARIES: Final = ("mynapoint", "duckdb", "polars", "pyarrow")
_JAPAN: Final = dt.timezone(dt.timedelta(hours=9))


@dataclass(frozen=True, slots=True)
class Unproven:
    """Something that this verification does not prove.

    Attributes:
        code: the text's key.
        values: what is filled in.
    """

    code: str
    values: Mapping[str, str]


def state_of(check: str, verified: Verified) -> State:
    """How far a check came."""
    if check == SEALS and not verified.vouched.seals and not verified.of(SEALS):
        return "nothing"
    if check == PAYOUTS and not any(record.is_payout_run for record in verified.chain):
        return "nothing" if not verified.of(PAYOUTS) else "unfinished"
    if check == CLAIMS:
        return "done" if CLAIMS in verified.by_check else "not_asked"
    if check in verified.checked or check in _ENDED:
        return "done"
    return "unfinished" if check in verified.by_check else "not_asked"


def sealed_up_to(verified: Verified) -> ChainRecord | None:
    """The latest record that a trusted seal or a known head vouches for."""
    places = {seal.record.place for seal in verified.vouched.seals if seal.trusted}
    places |= {record.place for record in verified.vouched.heads}
    return next((record for record in verified.chain[::-1] if record.place in places), None)


def unproven(verified: Verified) -> Iterator[Unproven]:
    """What a reader must not take from it."""
    sealed = sealed_up_to(verified)
    state = state_of(ORIGIN, verified)
    if state == "not_asked":
        yield Unproven("unproven_origin", {})
    elif state == "unfinished":
        yield Unproven("unproven_origin_unfinished", {})
    if verified.unproven:
        yield Unproven("unproven_format_1", {"runs": str(verified.unproven)})
    if sealed is None:
        yield Unproven("unproven_unsealed", {})
        yield Unproven("unproven_times", {})
    elif sealed.place != verified.chain[-1].place:
        yield Unproven("unproven_after", {"record": sealed.place})
    if any(seal.trusted is None for seal in verified.vouched.seals):
        yield Unproven("unproven_signers", {})


def versions() -> dict[str, str]:
    """What the verification was made with."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def now() -> dt.datetime:
    """The present, in Japan Standard Time."""
    return dt.datetime.now(_JAPAN).replace(microsecond=0)


def evidence(verified: Verified, *, made_at: dt.datetime, show_ids: bool) -> dict[str, Any]:
    """The verification for machines; ``verification.schema.json`` describes it."""
    findings = verified.findings
    runs = [run for run in verified.kept.runs if run is not None]
    return {
        "format": FORMAT,
        "verified_at": made_at.isoformat(),
        "versions": versions(),
        "book": str(verified.book),
        "runs": verified.runs,
        "entries": verified.entries,
        "booked_from": runs[0].record.booked_on.isoformat() if runs else None,
        "booked_to": runs[-1].record.booked_on.isoformat() if runs else None,
        "chain_sha256": verified.chain[-1].sha256 if verified.chain else None,
        "chain": [{"record": record.place, "sha256": record.sha256} for record in verified.chain],
        "checks": [_check(check, verified) for check in CHECKS],
        "checked": list(verified.checked),
        "unused_deliveries": verified.unused,
        "unproven_runs": verified.unproven,
        "payouts": None if verified.payouts is None else asdict(verified.payouts),
        "unproven": [what.code.removeprefix("unproven_") for what in unproven(verified)],
        "seals": [seal.value() for seal in verified.vouched.seals],
        "heads": [
            {"record": record.place, "sha256": record.sha256} for record in verified.vouched.heads
        ],
        "claims": [
            {"claim": str(claim.path), "record": record.place, "sha256": record.sha256}
            for claim, record in verified.claims
        ],
        "totals": dict(findings.totals),
        "remark_totals": dict(findings.remark_totals),
        "findings": [finding.value(show_ids=show_ids) for finding in findings],
        "remarks": [remark.value(show_ids=show_ids) for remark in findings.remarks()],
        "controls": {control_of(number): text for number, text in PROMISES.items()},
    }


def _check(check: str, verified: Verified) -> dict[str, Any]:
    findings = verified.by_check.get(check, Findings())
    return {
        "check": check,
        "state": state_of(check, verified),
        "findings": findings.totals.total(),
        "remarks": findings.remark_totals.total(),
    }
