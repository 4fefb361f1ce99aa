"""Types of options that several commands have."""

import datetime as dt
from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter, Token


def _day(_: object, tokens: Sequence[Token]) -> dt.date:
    """A day, or today and yesterday by Japan's clock."""
    from engine.io.run.changes import JAPAN

    value = tokens[0].value
    today = dt.datetime.now(JAPAN).date()
    if value == "today":
        return today
    if value == "yesterday":
        return today - dt.timedelta(1)
    try:
        return dt.date.fromisoformat(value)
    except ValueError as error:
        raise ValueError(f'"{value}" is not a day, YYYY-MM-DD') from error


Day = Annotated[dt.date, Parameter(converter=_day)]
Paths = Annotated[list[str], Parameter(consume_multiple=True)]
Json = Annotated[bool, Parameter(name="--json")]
Id = Annotated[str, Parameter(allow_leading_hyphen=True)]
Settings = Annotated[list[str] | None, Parameter(name="--set")]
# The whole command line, for commands in which the order of options counts.
Arguments = Annotated[Sequence[str], Parameter(parse=False)]
