"""Types of options that several commands have."""

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

Paths = Annotated[list[str], Parameter(consume_multiple=True)]
Json = Annotated[bool, Parameter(name="--json")]
Id = Annotated[str, Parameter(allow_leading_hyphen=True)]
Settings = Annotated[list[str] | None, Parameter(name="--set")]
# The whole command line, for commands in which the order of options counts.
Arguments = Annotated[Sequence[str], Parameter(parse=False)]
