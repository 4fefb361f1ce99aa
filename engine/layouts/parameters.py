"""The parameters given with a file, checked against those that its layout asks for."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from engine.errors import InputError
from engine.layouts.model import Layout, Parameter
from engine.terms.strict_toml import MAX_ID_CHARACTERS

DIGEST_PREFIX: Final = "sha256:"


@dataclass(frozen=True, slots=True)
class Described:
    """A layout with the parameters given with a file.

    Attributes:
        parameters: all that the layout asks for.
    """

    layout: Layout
    parameters: Mapping[str, str]

    @property
    def recorded_parameters(self) -> dict[str, str]:
        """The parameters as a run's record keeps them: of an ID its digest."""
        return {
            name: digest_of(value) if self.layout.parameters[name].form == "id" else value
            for name, value in self.parameters.items()
        }

    def day(self, name: str) -> dt.date:
        """A parameter of the form day."""
        return dt.date.fromisoformat(self.parameters[name])


def digest_of(value: str) -> str:
    """What a run's record keeps of a parameter that is an ID."""
    return f"{DIGEST_PREFIX}{hashlib.sha256(value.encode()).hexdigest()}"


def describe(layout: Layout, parameters: Mapping[str, str], where: str) -> Described:
    """A layout with its parameters; errors name by `where` what it describes.

    Raises:
        InputError: a parameter is missing or unknown, or its value cannot be one.
    """
    for name, value in parameters.items():
        parameter = layout.parameters.get(name)
        if parameter is None:
            asked = ", ".join(layout.parameters) or "nothing"
            raise InputError(
                f"{where}: layout {layout.layout_id} has no parameter {name}",
                hint=f"it asks for {asked}; leave --set {name}=… out",
            )
        fault = _parameter_fault(parameter, value)
        if fault:
            raise InputError(f"{where}: --set {name}: {fault}", hint=f"it is: {parameter.asks}")
    for name, parameter in layout.parameters.items():
        if name not in parameters:
            raise InputError(
                f"{where}: layout {layout.layout_id} asks for {name}: {parameter.asks}",
                hint=f"the file itself does not say it; add --set {name}=… ahead of the file",
            )
    return Described(layout, {name: parameters[name] for name in layout.parameters})


def _parameter_fault(parameter: Parameter, value: str) -> str | None:
    if parameter.form == "day":
        try:
            if dt.date.fromisoformat(value).isoformat() == value:
                return None
        except ValueError:
            pass
        return "not a date (YYYY-MM-DD)"
    if not value.strip() or value != value.strip() or len(value) > MAX_ID_CHARACTERS:
        return f"expected 1 to {MAX_ID_CHARACTERS} characters without spaces around them"
    if not value.isprintable():
        return "it has a character that cannot be printed"
    return None
