"""A simulation as people and machines read it."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from pipelines.shown import terminal
from pipelines.shown.terminal import output, plain, table
from pipelines.shown.texts import Texts
from pipelines.simulate import Simulation

_TOTALS = (
    *("entries", "booked_yen", "counted_yen", "awarded", "reversed", "net"),
    *("people", "at_the_cap"),
)


def print_json(simulation: Simulation) -> None:
    """Prints a simulation for machines."""
    comparison = simulation.comparison
    value = {
        "terms": dict(simulation.terms),
        "against": simulation.against,
        "decided_from": simulation.source,
        "runs": simulation.runs,
        "exact": not simulation.unknown,
        "booked": comparison.booked.value(),
        "simulated": comparison.simulated.value(),
        "services": {
            service: {"booked": booked.value(), "simulated": simulated.value()}
            for service, (booked, simulated) in comparison.services.items()
        },
        "people": {
            "better": comparison.better,
            "worse": comparison.worse,
            "same": comparison.same,
            "points_gained": comparison.gained,
            "points_lost": comparison.lost,
        },
        "not_decided_again": [
            {"kind": unknown.kind, "rows": unknown.rows, "yen": unknown.yen}
            for unknown in simulation.unknown
        ],
    }
    terminal.print_json(value)


def print_simulation(simulation: Simulation, book: Path | None, t: Texts) -> None:
    """Prints a simulation at a glance."""
    console = output()
    terms, comparison = simulation.terms, simulation.comparison
    if book is None:
        console.print(t("title_deliveries"))
    else:
        console.print(t("title_book", book=plain(str(book)), runs=simulation.runs))
    console.print(
        t(
            "terms",
            programme=terms["programme"],
            rate=terms["rate"],
            cap=f"{terms['cap_yen']:,}",
            announced=terms["announced_on"],
            first=terms["window_first"],
            last=terms["window_last"],
            applications=terms["applications_last"],
            card=terms["card_applications_last"],
        )
    )
    console.print(t(f"against_{simulation.against}"))
    console.print()
    booked, simulated = comparison.booked.value(), comparison.simulated.value()
    console.print(
        _table(
            (t("c_what"), t("c_booked"), t("c_simulated"), t("c_difference")),
            [(t(name), booked[name] or 0, simulated[name] or 0) for name in _TOTALS],
        )
    )
    console.print()
    console.print(
        _table(
            (
                *(t("c_service"), t("c_booked_points")),
                *(t("c_simulated_points"), t("c_difference")),
            ),
            [
                (plain(service), booked.net, simulated.net)
                for service, (booked, simulated) in comparison.services.items()
            ],
        )
    )
    console.print()
    console.print(
        t(
            "people_better",
            people=f"{comparison.better:,}",
            points=_signed(comparison.gained),
            worse=f"{comparison.worse:,}",
            lost=_signed(-comparison.lost),
            same=f"{comparison.same:,}",
        )
    )
    console.print(t(f"source_{simulation.source}"), end="" if t.lang == "ja" else " ")
    console.print(t("unknown" if simulation.unknown else "exact"))
    for unknown in simulation.unknown:
        what = t(f"unknown_{unknown.kind}")
        if unknown.yen is None:
            console.print(t("unknown_rows", rows=f"{unknown.rows:,}", what=what))
        else:
            console.print(
                t("unknown_rows_yen", rows=f"{unknown.rows:,}", yen=f"{unknown.yen:,}", what=what)
            )


def _table(headings: Sequence[str], rows: Sequence[tuple[str, int, int]]) -> Table:
    columns = [(heading, place > 0) for place, heading in enumerate(headings)]
    return table(columns, [(*row, _signed(row[2] - row[1])) for row in rows])


def _signed(number: int) -> str:
    return f"{number:+,}" if number else "0"
