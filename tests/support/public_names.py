"""What others rely on by name: the Python API, the records, the commands and their options.

`python tests/support/public_names.py > docs/public-names.txt` writes the list anew.
"""

import dataclasses
import inspect
from collections.abc import Iterator

from cyclopts import App

import mynapoint
from engine.records import (
    AcceptedEvent,
    Declined,
    Enrollment,
    LedgerEntry,
    Quarantined,
    RejectedEnrollment,
    RejectedEvent,
)
from pipelines.cli import app

TABLES = (
    *(LedgerEntry, Declined, Quarantined, Enrollment, RejectedEnrollment),
    *(AcceptedEvent, RejectedEvent),
)


def public_names() -> Iterator[str]:
    """A line for each name, with its parameters, fields, columns or options; sorted by kind."""
    yield "# The Python API: names, and their parameters or fields"
    for name in mynapoint.__all__:
        yield f"mynapoint.{name}({', '.join(members(getattr(mynapoint, name)))})"
    yield "# Tables of a book: their columns"
    for record in TABLES:
        yield f"{record.name}: {', '.join(record.columns)}"
    yield "# Commands and their options"
    yield from commands(app, "mynapoint")


def members(named: object) -> list[str]:
    if isinstance(named, type) and dataclasses.is_dataclass(named):
        return [field.name for field in dataclasses.fields(named)]
    assert callable(named)
    parameters = inspect.signature(named).parameters.values()
    if any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
        return []  # a protocol
    return [
        f"{parameter.name}=" if parameter.kind == parameter.KEYWORD_ONLY else parameter.name
        for parameter in parameters
    ]


def commands(of: App, line: str) -> Iterator[str]:
    for name in sorted(of):
        if name.startswith("-"):
            continue
        command = of[name]
        if any(not inner.startswith("-") for inner in command):
            yield from commands(command, f"{line} {name}")
            continue
        arguments = command.assemble_argument_collection()
        options = [argument.name for argument in arguments if argument.show]
        yield " ".join([line, name, *options])


if __name__ == "__main__":
    print("\n".join(public_names()))
