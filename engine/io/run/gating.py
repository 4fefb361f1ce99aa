"""A run's figures against the gates of its book."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median_low
from typing import Final

from engine.errors import InputError
from engine.io.book.run_record import GateFinding, RunRecord
from engine.terms.gates import Bound, Gate, Gates, Measure


def examine(
    gates: Gates, record: RunRecord, earlier: Callable[[int], Sequence[RunRecord]]
) -> tuple[GateFinding, ...]:
    """The gates that a run does not pass, in the order of the file.

    Args:
        gates: the book's.
        record: the run's.
        earlier: gives the records of so many nights before, the last one first; nights on which
            nothing was read do not count as nights.
    """
    nights = max((gate.nights for gate in gates.gates), default=0)
    before = earlier(max(nights, 1))
    return tuple(found for gate in gates.gates if (found := _examined(gate, record, before)))


def check(findings: Iterable[GateFinding], overridden: Sequence[str]) -> tuple[GateFinding, ...]:
    """The findings with those that were allowed marked so.

    Raises:
        InputError: a gate fails that was not allowed to.
    """
    marked = tuple(
        finding.allowed() if finding.fails and finding.gate in overridden else finding
        for finding in findings
    )
    failed = [finding for finding in marked if finding.fails and not finding.is_allowed]
    if failed:
        what = "; ".join(finding.what for finding in failed)
        raise InputError(
            f"the night does not pass its gates; nothing was booked: {what}",
            hint="look at the deliveries; --allow-gate NAME books the night all the same, and is "
            "recorded",
            code="gate_failed",
            details={"gates": [finding.to_json() for finding in marked]},
        )
    return marked


def _examined(gate: Gate, record: RunRecord, before: Sequence[RunRecord]) -> GateFinding | None:
    value = _value(gate, record, before)
    if gate.of == "value":
        return _found(gate, value, None, value)
    if gate.of == "read":
        reference = _value_of(_read_of(gate.measure), gate, record)
        if reference == 0:
            # Of nothing there is no share.
            return None
    else:
        last = before[: gate.nights]
        if len(last) < gate.nights:
            return None
        # The lower of two in the middle: a whole number that a night had.
        reference = median_low(_value(gate, night, ()) for night in last)
    return _found(gate, value * 100, reference, value)


def _found(gate: Gate, scaled: int, reference: int | None, value: int) -> GateFinding | None:
    """The first bound that the figure breaks; a failure ahead of a warning."""
    for bound, limit in gate.bounds.items():
        # Of a median of 0 every percentage is 0: anything is above it.
        allowed = limit if reference is None else limit * reference
        if scaled < allowed if bound.endswith("_below") else scaled > allowed:
            what = _words(gate, bound, limit, reference, value)
            return GateFinding(gate.name, bound, limit, value, reference, what)
    return None


def _words(gate: Gate, bound: Bound, limit: int, reference: int | None, value: int) -> str:
    figure = gate.measure.replace("_", " ") + (f" as {gate.reason}" if gate.reason else "")
    unit = " yen" if gate.unit == "yen" else ""
    side = bound.partition("_")[2]
    if reference is None:
        return f"{gate.name}: {figure}: {value:,}{unit}, {side} {limit:,}"
    of = "read" if gate.of == "read" else f"the median of {gate.nights} nights"
    return (
        f"{gate.name}: {figure}: {value:,}{unit}, {side} {limit:,} % of {reference:,}{unit} ({of})"
    )


def _read_of(measure: Measure) -> str:
    role, separator, _ = measure.partition("_")
    return f"{role}_read" if separator else "read"


def _value(gate: Gate, record: RunRecord, before: Sequence[RunRecord]) -> int:
    if gate.measure == "services_changed":
        return int(bool(before) and before[0].services_sha256 != record.services_sha256)
    if gate.measure == "programme_changed":
        return int(bool(before) and before[0].programme != record.programme)
    return _value_of(gate.measure, gate, record)


def _value_of(measure: str, gate: Gate, record: RunRecord) -> int:
    value = _FIGURES[measure](record, gate.unit)
    if isinstance(value, int):
        return value
    return value.get(gate.reason, 0) if gate.reason else sum(value.values())


_Figure = Callable[[RunRecord, str], int | Mapping[str, int]]


def _of_transactions(name: str) -> _Figure:
    def figure(record: RunRecord, unit: str) -> int | Mapping[str, int]:
        split = record.yen if unit == "yen" else record.counts
        value: int | Mapping[str, int] = getattr(split, name)
        return value

    return figure


def _of_decisions(role: str, name: str) -> _Figure:
    def figure(record: RunRecord, _: str) -> int | Mapping[str, int]:
        value: int | Mapping[str, int] = getattr(getattr(record.counts, role), name)
        return value

    return figure


_FIGURES: Final[Mapping[str, _Figure]] = {
    **{
        name: _of_transactions(name)
        for name in ("read", "reconsidered", "booked", "declined", "quarantined", "skipped")
    },
    **{
        f"{role}_{name}": _of_decisions(role, name)
        for role in ("enrollments", "events")
        for name in ("read", "accepted", "rejected", "quarantined")
    },
    "points_awarded": lambda record, _: record.points.awarded,
    "points_reversed": lambda record, _: record.points.reversed,
    "files": lambda record, _: len(record.inputs),
}
