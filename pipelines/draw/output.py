"""A sample and its evaluation on the terminal."""

from pathlib import Path

from pipelines.draw.evaluation import Evaluation
from pipelines.draw.sample import Sample
from pipelines.draw.sheet import facts_of
from pipelines.shown import terminal
from pipelines.shown.terminal import output, plain, table
from pipelines.shown.texts import Texts


def print_sample(sample: Sample, folder: Path, texts: Texts) -> None:
    """Prints how a sample was drawn, by stratum, and where it is."""
    console = output()
    console.print(texts("title"), style="bold")
    for label, value in facts_of(sample, texts):
        console.print(
            plain(f"{label}: {value:,}" if isinstance(value, int) else f"{label}: {value}")
        )
    if sample.drawn.method == "stratified":
        columns = [(texts("column_stratum"), False)]
        columns += [(texts(f"column_{name}"), True) for name in ("rows", "points", "units")]
        rows = [
            (stratum.name or texts("unknown_service"), stratum.rows, stratum.points, stratum.units)
            for stratum in sample.strata
        ]
        console.print()
        console.print(table(columns, rows))
    console.print()
    console.print(plain(texts("written", units=len(sample.units), folder=folder)))


def print_evaluation(sample: Sample, evaluation: Evaluation, texts: Texts) -> None:
    """Prints what the sample says of the book."""
    console = output()
    console.print(texts("title_evaluation"), style="bold")
    for label, value in facts_of(sample, texts):
        console.print(
            plain(f"{label}: {value:,}" if isinstance(value, int) else f"{label}: {value}")
        )
    found = texts("in_error", errors=len(evaluation.errors), units=evaluation.audited)
    console.print(found)
    for error in evaluation.errors:
        console.print(
            plain(
                texts(
                    "error",
                    unit=error.unit.number,
                    service=error.unit.service_id,
                    transaction=error.unit.transaction_id,
                    booked=error.unit.points,
                    audited=error.audited_points,
                )
            )
        )
    columns = [(texts("column_side"), False)]
    columns += [(texts(f"column_{name}"), True) for name in ("found", "projected")]
    columns.append((texts("column_upper", confidence=f"{evaluation.confidence:g}"), True))
    sides = {"too_many": evaluation.too_many, "too_few": evaluation.too_few}
    rows = [
        (texts(name), side.found, side.projected, "–" if side.upper is None else side.upper)
        for name, side in sides.items()
    ]
    console.print()
    console.print(table(columns, rows))
    console.print()
    if evaluation.upper_rate is not None:
        console.print(texts("upper_rate", rate=f"{evaluation.upper_rate:.2%}"))
    console.print(texts(f"note_{sample.drawn.method}"))


def print_sample_json(sample: Sample) -> None:
    """Prints how a sample was drawn, for machines."""
    terminal.print_json(sample.value())


def print_evaluation_json(sample: Sample, evaluation: Evaluation) -> None:
    """Prints an evaluation for machines."""
    terminal.print_json({"sample": sample.value(), "evaluation": evaluation.value()})
