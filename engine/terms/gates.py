"""Gates: what a night must look like to be booked, as data.

A TOML file, a list of ``[[gates]]``:

| key | default | meaning |
|---|---|---|
| `name` | | how messages call the gate |
| `measure` | | one of `MEASURES` |
| `reason` | all | of `declined`, `enrollments_rejected`, `events_rejected`: one reason alone |
| `in` | `rows` | `rows` or `yen` (of transactions) |
| `of` | `value` | what the bounds are: `value`, as they stand; `read`, a percentage of what was \
read (nothing read: not asked); `median`, a percentage of the median of the last `nights` nights, \
which of a median of 0 is 0 |
| `nights` | | of `median`: 1 to 366; a book with fewer nights does not ask this gate |
| `warn_below`, `fail_below`, `warn_above`, `fail_above` | none | the bounds, whole numbers; at \
least one |

A bound itself is allowed. A run without any delivery is asked nothing. `services_changed` and
`programme_changed` are 1 where they did, else 0.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from engine.terms.strict_toml import StrictTable, parse, read_text

OfTransactions = Literal["read", "reconsidered", "booked", "declined", "quarantined", "skipped"]
OfDecisions = Literal[
    "enrollments_read",
    "enrollments_accepted",
    "enrollments_rejected",
    "enrollments_quarantined",
    "events_read",
    "events_accepted",
    "events_rejected",
    "events_quarantined",
]
Alone = Literal[
    "points_awarded", "points_reversed", "files", "services_changed", "programme_changed"
]
Measure = Literal[OfTransactions, OfDecisions, Alone]
MEASURES: Final[tuple[Measure, ...]] = get_args(Measure)
Unit = Literal["rows", "yen"]
Reference = Literal["value", "read", "median"]
Bound = Literal["fail_below", "fail_above", "warn_below", "warn_above"]
BOUNDS: Final[tuple[Bound, ...]] = get_args(Bound)

MAX_NIGHTS: Final = 366
MAX_BOUND: Final = 10**15
_KEYS: Final = ("name", "measure", "reason", "in", "of", "nights", *BOUNDS)

REASONS: Final[dict[str, tuple[str, ...]]] = {
    "declined": (
        *("duplicate", "voided", "unknown_service", "not_enrolled", "original_not_booked"),
        *("refund_account_differs", "refund_before_original", "refund_exceeds_original"),
        *("before_window", "after_window", "before_application", "enrollment_stopped"),
        *("service_closed", "not_the_basis", "excluded_method"),
    ),
    "enrollments_rejected": (
        *("unknown_service", "basis_not_chosen", "card_applied_late", "applied_late"),
        *("service_closed_to_applications", "applied_before_reservation"),
        *("certificate_under_24h", "not_preregistered", "voided", "account_taken"),
        "already_enrolled",
    ),
    "events_rejected": (
        *("withdrawn", "unknown_service", "voided", "no_such_enrollment", "no_such_transaction"),
        *("already_undone", "no_such_event", "same_person", "person_gone", "account_taken"),
        *("already_enrolled", "basis_not_chosen", "not_stopped"),
    ),
}
"""The reasons that a gate may name, by measure; a misspelt one would never be asked."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A bound, or several, on one figure of a night.

    Attributes:
        reason: only what was turned away for it; None for all.
        of: what the bounds are of.
        nights: how many nights the median is of; 0 elsewhere.
        bounds: by name, in the order of `BOUNDS`.
    """

    name: str
    measure: Measure
    reason: str | None
    unit: Unit
    of: Reference
    nights: int
    bounds: dict[Bound, int]


@dataclass(frozen=True, slots=True)
class Gates:
    """The gates of a book.

    Attributes:
        text: the file's text, whole.
        sha256: of `text` in UTF-8, which is the file's own.
    """

    gates: tuple[Gate, ...]
    text: str
    sha256: str

    @property
    def names(self) -> tuple[str, ...]:
        """The gates' names, in the file's order."""
        return tuple(gate.name for gate in self.gates)


def load_gates(path: str | Path) -> Gates:
    """The gates in a file.

    Raises:
        InputError: there is no such file, or it breaks a rule.
    """
    return parse_gates(read_text(path), str(path))


def parse_gates(text: str, where: str) -> Gates:
    """The gates that a TOML text describes; errors name the text by `where`.

    Raises:
        InputError: the text is not TOML; a key is unknown, missing, of the wrong type or of another
            kind of gate; two gates have one name.
    """
    gates: dict[str, Gate] = {}
    for table in parse(text, where, ("gates",)).optional_tables("gates", _KEYS):
        gate = _gate(table)
        if gate.name in gates:
            raise table.fault(
                "name", f'"{gate.name}" is there twice', "give each a name of its own"
            )
        gates[gate.name] = gate
    return Gates(tuple(gates.values()), text, hashlib.sha256(text.encode("utf-8")).hexdigest())


def _gate(table: StrictTable) -> Gate:
    measure = table.word("measure", MEASURES)
    unit = table.word("in", get_args(Unit), "rows")
    if unit == "yen" and measure not in get_args(OfTransactions):
        raise table.fault("in", f"{measure} has no yen", "leave it out")
    of = table.word("of", get_args(Reference), "value")
    if of == "read" and measure in get_args(Alone):
        raise table.fault("of", f"{measure} is not counted among what was read", "leave it out")
    if of == "median" and measure in ("services_changed", "programme_changed"):
        raise table.fault("of", f"{measure} has no median", "leave it out")
    if of != "median" and table.has("nights"):
        raise table.fault("nights", 'is not used unless of = "median"', "leave it out")
    bounds = {key: table.integer(key, 0, MAX_BOUND) for key in BOUNDS if table.has(key)}
    if not bounds:
        raise table.fault("warn_below", "the gate has no bound", f"one of {', '.join(BOUNDS)}")
    return Gate(
        name=table.text("name"),
        measure=measure,
        reason=_reason(table, measure),
        unit=unit,
        of=of,
        nights=table.integer("nights", 1, MAX_NIGHTS) if of == "median" else 0,
        bounds=bounds,
    )


def _reason(table: StrictTable, measure: Measure) -> str | None:
    if not table.has("reason"):
        return None
    if measure not in REASONS:
        raise table.fault("reason", f"{measure} has no reasons", "leave it out")
    return table.word("reason", REASONS[measure])
