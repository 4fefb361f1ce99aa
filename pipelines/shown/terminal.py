"""What a command prints for people: tables and lines that no value can break or steer.

Rich is imported by what prints for people: a quiet night needs it for nothing.
"""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# Wider than any table: a terminal breaks a long line itself, where a table that is made to fit cuts
# its numbers.
_WIDTH: Final = 10_000


def output() -> "Console":
    """Standard output; lines are as wide as they need to be."""
    from rich.console import Console

    class Output(Console):
        """A broken pipe raises BrokenPipeError instead of exiting the process."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Output(
        width=_WIDTH,
        highlight=False,
        soft_wrap=True,
        markup=False,
        emoji=False,
    )


def print_json(value: object) -> None:
    """Prints a value for machines; JSON's own escapes stand for what might steer a terminal."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    whole = (c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    sys.stdout.write(f"{''.join(whole)}\n")


def plain(text: object, *, keep: str = "") -> str:
    """A value that stays on its line and steers no terminal: IDs may hold any character.

    A page or a drawing cannot hold all of them either; ``keep`` are those that it can.
    """
    return "".join(c if c.isprintable() or c in keep else ascii(c)[1:-1] for c in str(text))


def table(
    columns: Sequence[tuple[str, bool]], rows: Sequence[Sequence[object]], *, total: bool = False
) -> "Table":
    """A table; a column is its heading and whether it holds numbers, which end at the right.

    ``total`` sets the last row apart from those that it adds up.
    """
    from rich.table import Table

    made = Table(box=None, pad_edge=False)
    for heading, numbers in columns:
        made.add_column(heading, justify="right" if numbers else "left", no_wrap=True)
    for number, row in enumerate(rows, 1):
        bold = "bold" if total and number == len(rows) else None
        made.add_row(*map(cell, row), style=bold)
    return made


def cell(value: object) -> str:
    """A value as it stands in a table: numbers with their thousands, nothing where nothing is."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else plain(value)
