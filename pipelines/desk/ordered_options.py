"""The deliveries of a command line, each with the layout and parameters that stand ahead of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from engine.errors import InputError
from engine.io.delivered.deliveries import CANONICAL, DeliveredAs
from engine.layouts.catalogue import load_layout

ROLES: Final = ("transactions", "enrollments", "events", "answers")
_BY_HEADER: Final = "auto"
_ORDERED: Final = (*(f"--{role}" for role in ROLES), "--layout", "--set")


@dataclass(slots=True)
class _Ahead:
    """What was said ahead of the next delivery.

    Attributes:
        layouts: by role; a layout holds for the deliveries of its own role.
        used: what of it a delivery has taken.
        waiting: what was set and no delivery has taken yet.
    """

    layouts: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    last: str | None = None
    used: set[str] = field(default_factory=set)
    waiting: dict[str, str] = field(default_factory=dict)


def parameters_of(texts: Sequence[str]) -> dict[str, str]:
    """What several ``NAME=VALUE`` say of one file.

    Raises:
        InputError: one is none, or a name is there twice.
    """
    parameters: dict[str, str] = {}
    for text in texts:
        name, value = _parameter(text, parameters)
        parameters[name] = value
    return parameters


def _parameter(text: str, parameters: Mapping[str, str]) -> tuple[str, str]:
    """Parses ``NAME=VALUE``; ``parameters`` are those set already for the same files."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InputError("--set: expected NAME=VALUE", hint="write it like --set account_id=A-123")
    if name in parameters:
        raise InputError(
            f"--set {name}: it was set already for the same files",
            hint="leave one of the two out, or name the files of each after it",
        )
    return name, value


def deliveries_in_order(
    arguments: Sequence[str], parsed: Mapping[str, Sequence[str]]
) -> dict[str, list[DeliveredAs]]:
    """The deliveries by role: a ``--layout`` and ``--set`` hold for those that follow them.

    A ``--layout`` ends what was ``--set`` before it; ``auto`` leaves it to the headers again.

    Args:
        arguments: the command line.
        parsed: by role, the paths that it was understood to name.

    Raises:
        InputError: a layout is none, or no delivery follows it or what is set; or the order cannot
            be told.
    """
    ahead = _Ahead()
    deliveries: dict[str, list[DeliveredAs]] = {role: [] for role in ROLES}
    for option, value in _options(arguments):
        if option == "--layout":
            _layout(ahead, value)
        elif option == "--set":
            name, text = _parameter(value, ahead.waiting)
            ahead.parameters[name] = ahead.waiting[name] = text
        else:
            role = option.removeprefix("--")
            layout = ahead.layouts.get(role)
            if layout is not None:
                ahead.used.add(layout)
            parameters = ahead.parameters if layout == ahead.last else {}
            if parameters:
                ahead.waiting = {}
            deliveries[role].append(DeliveredAs(value, layout, dict(parameters)))
    _check_used(ahead)
    for name in ahead.waiting:
        raise InputError(
            f"--set {name}: no file that it could hold for follows it",
            hint="what is set holds for what follows it: name it ahead of the files",
        )
    if {role: [str(delivery.path) for delivery in files] for role, files in deliveries.items()} != {
        role: list(parsed.get(role, ())) for role in ROLES
    }:
        raise InputError(
            "the order of the deliveries and their layouts cannot be told",
            hint="name each path with a --transactions or --enrollments of its own",
        )
    return deliveries


def _layout(ahead: _Ahead, value: str) -> None:
    for name in ahead.waiting:
        raise InputError(
            f"--set {name}: it stands ahead of --layout {value}, which ends what was set",
            hint=f"name it after its layout: --layout {value} --set {name}=…",
        )
    _check_used(ahead)
    ahead.parameters = {}
    if value in (CANONICAL, _BY_HEADER):
        ahead.layouts = {} if value == _BY_HEADER else dict.fromkeys(ROLES, value)
        ahead.last = None if value == _BY_HEADER else value
        return
    ahead.layouts[load_layout(value).role] = value
    ahead.last = value


def _check_used(ahead: _Ahead) -> None:
    if ahead.last is not None and ahead.last not in ahead.used:
        role = next(
            (role for role, layout in ahead.layouts.items() if layout == ahead.last), ROLES[0]
        )
        raise InputError(
            f"--layout {ahead.last}: no --{role} follow it",
            hint="a layout holds for what follows it: name it ahead of the files",
        )


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The options whose order counts, with each of their values."""
    option = None
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if argument.startswith("-"):
            option = name if name in _ORDERED else None
            if option is not None and equals:
                yield option, value
                option = None
        elif option is not None:
            yield option, argument
            if option in ("--layout", "--set"):
                option = None
