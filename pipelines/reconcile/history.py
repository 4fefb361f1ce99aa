"""The folder in which reconciliations are kept: its policy, what was resolved, and each result.

| in the folder | |
|---|---|
| ``policy.toml`` | how claims are written, and what a resolution needs; made by the first use |
| ``resolutions.csv`` | what was decided of differences; people fill it in |
| ``NNNNNN/`` | a reconciliation: never changed again, each names the digest of the one before |
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import polars as pl

from engine.errors import InputError
from engine.io.durable import make_folder, sha256_of, write_text
from engine.io.parquet import scan_parquet
from engine.paths import local_path
from pipelines.reconcile.resolutions import COLUMNS, Resolution, parse_resolutions
from pipelines.shown.result_files import check_outside_books

POLICY: Final = "policy.toml"
RESOLUTIONS_FILE: Final = "resolutions.csv"
SUMMARY: Final = "summary.json"
_NUMBER: Final = re.compile(r"[0-9]{6,}")
_POLICY_TEXT: Final = """\
# How reconciliations in this folder are made.

# Whether a resolution must name the SHA-256 of the document that it rests on.
evidence_required = true

# A layout for claims in a form of the operator's own, and what it asks for (see docs/layouts.md).
# layout = "claims.toml"
# [set]
# service_id = "paypay"
"""
# With the mark by which spreadsheet programs in Japan know that it is UTF-8.
_RESOLUTIONS_TEXT: Final = "\ufeff" + ",".join(COLUMNS) + "\n"


@dataclass(frozen=True, slots=True)
class Policy:
    """How reconciliations are made.

    Attributes:
        layout: by which claims are read; None for the forms of ``claim_file``.
    """

    evidence_required: bool = True
    layout: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReconciliationSeries:
    """A folder of reconciliations, as it was when one more began.

    Attributes:
        number: of the one that begins.
        previous_sha256: of the summary of the one before; None for the first.
        resolutions_text: the file of resolutions as it is.
    """

    folder: Path
    policy: Policy
    number: int
    previous_sha256: str | None
    resolutions: list[Resolution]
    resolutions_text: bytes

    @property
    def out(self) -> Path:
        """The folder of the reconciliation that begins."""
        return self.folder / f"{self.number:06}"

    @property
    def resolutions_sha256(self) -> str:
        """The digest of the file of resolutions."""
        return hashlib.sha256(self.resolutions_text).hexdigest()

    def check_state(self, key: str, month: str | None, chain: Sequence[str], head: str) -> None:
        """Makes sure that the folder is of this book, and that the state of the book that is
        looked at is not older than the one that its month and form were last reconciled at.

        Args:
            key: the form of the claim.
            month: that is compared.
            chain: the digests of all records of the book.
            head: the digest of the last record that is looked at.

        Raises:
            InputError: it is not so.
        """
        for number in _numbers(self.folder):
            path = self.folder / f"{number:06}" / SUMMARY
            before = _summary(path)["chain_sha256"]
            if before not in chain:
                raise InputError(
                    f"{path}: it was made from another book, or the book has changed since",
                    hint="name a folder of its own with --history for each book",
                )
            if _scope(path) == (key, month) and chain.index(before) > chain.index(head):
                raise InputError(
                    f"{path}: it was made from a later state of the book than this one",
                    hint="leave out --as-of, or write this result elsewhere with --out",
                )

    def carried(self, key: str, month: str | None) -> "Carried":
        """Differences of other months or forms that were open there, with what was resolved of
        them since: of each month and form the last reconciliation counts.

        Raises:
            InputError: an earlier reconciliation cannot be read.
        """
        last: dict[tuple[str, str | None], int] = {}
        for number in _numbers(self.folder):
            form, of_month = _scope(self.folder / f"{number:06}" / SUMMARY)
            last[form, of_month] = number
        last.pop((key, month), None)
        frames = [pl.DataFrame(schema=_CARRIED)]
        for (form, of_month), number in sorted(last.items(), key=lambda item: item[1]):
            path = self.folder / f"{number:06}" / "breaks.parquet"
            try:
                found = scan_parquet([path]).select(
                    pl.lit(f"{number:06}").alias("reconciliation"),
                    pl.lit(form).alias("form"),
                    pl.lit(of_month, pl.String).alias("month_compared"),
                    "service_id",
                    pl.col(form).alias("key"),
                    *("kind", "ledger_points", "claim_points", "difference", "difference_id"),
                )
                frames.append(found.collect().cast(_CARRIED))
            except (OSError, pl.exceptions.PolarsError) as error:
                raise _unreadable(path) from error
        resolutions = pl.DataFrame(
            [resolution.row for resolution in self.resolutions], schema=_RESOLUTION, orient="row"
        )
        all_carried = pl.concat(frames)
        return Carried(
            all_carried.join(resolutions, on="difference_id", how="anti", maintain_order="left"),
            all_carried.join(resolutions, on="difference_id", maintain_order="left"),
        )


@dataclass(frozen=True, slots=True)
class Carried:
    """What earlier reconciliations of other months and forms left open.

    Attributes:
        still_open: what nobody has resolved since.
        resolved: the rest, each with its resolution.
    """

    still_open: pl.DataFrame
    resolved: pl.DataFrame


_RESOLUTION: Final = pl.Schema(
    {name: pl.Date if name == "resolved_on" else pl.String for name in COLUMNS}
)
_CARRIED: Final = pl.Schema(
    {
        **dict.fromkeys(
            ("reconciliation", "form", "month_compared", "service_id", "key", "kind"), pl.String
        ),
        **dict.fromkeys(("ledger_points", "claim_points", "difference"), pl.Int64),
        "difference_id": pl.String,
    }
)


def open_history(folder: Path) -> ReconciliationSeries:
    """Opens a folder of reconciliations; makes what it does not have yet.

    Raises:
        InputError: it cannot be used, or what people wrote into it cannot be understood.
    """
    folder = local_path(folder)
    check_outside_books(folder)
    try:
        if not folder.is_dir():
            make_folder(folder)
        for name, text in ((POLICY, _POLICY_TEXT), (RESOLUTIONS_FILE, _RESOLUTIONS_TEXT)):
            if not (folder / name).exists():
                write_text(folder / name, text)
        policy = _policy(folder / POLICY)
        data = (folder / RESOLUTIONS_FILE).read_bytes()
        numbers = _numbers(folder)
        previous = None
        for number in numbers:
            summary = folder / f"{number:06}" / SUMMARY
            if _summary(summary)["kept"]["previous_sha256"] != previous:
                raise InputError(
                    f"{summary}: it does not follow the reconciliation before it",
                    hint="restore the folder from a copy: its reconciliations are never changed",
                )
            previous = sha256_of(summary)
            _check_files(summary)
    except OSError as error:
        raise InputError(
            f"{folder}: the folder of reconciliations cannot be used: {error.strerror or error}",
            hint="name a folder that can be written to",
        ) from error
    resolutions = parse_resolutions(
        data, folder / RESOLUTIONS_FILE, evidence_required=policy.evidence_required
    )
    number = numbers[-1] + 1 if numbers else 1
    return ReconciliationSeries(folder, policy, number, previous, resolutions, data)


def _numbers(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.iterdir() if _NUMBER.fullmatch(path.name))


def _scope(summary: Path) -> tuple[str, str | None]:
    value = _summary(summary)
    [_, form] = value["claim"]["form"]
    month = value["month"]
    return str(form), None if month is None else str(month)


def _summary(path: Path) -> dict[str, Any]:
    """An earlier reconciliation's summary, with what is needed of it."""
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if len(value["claim"]["form"]) == 2 and "month" in value:
            _ = (
                value["kept"]["previous_sha256"],
                value["chain_sha256"],
                value["files_sha256"].items(),
            )
            return value
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(path) from error
    raise _unreadable(path)


def _check_files(summary: Path) -> None:
    """Makes sure that a reconciliation's files are those that its summary names."""
    for name, sha256 in sorted(_summary(summary)["files_sha256"].items()):
        path = summary.parent / name
        if not path.is_file() or sha256_of(path) != sha256:
            raise InputError(
                f"{path}: this is not the file that {SUMMARY} names",
                hint="restore the folder from a copy: its reconciliations are never changed",
            )


def _unreadable(path: Path) -> InputError:
    return InputError(
        f"{path}: this earlier reconciliation cannot be read",
        hint="restore the folder from a copy: its reconciliations are never changed",
    )


def _policy(path: Path) -> Policy:
    try:
        value = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: this is not TOML: {str(error).splitlines()[0]}",
            hint="put it right, or remove it: a new one is made",
        ) from error
    kinds = {"evidence_required": bool, "layout": str, "set": dict}
    for name, given in value.items():
        if name not in kinds:
            raise InputError(f"{path}: there is no key {name}", hint=f"keys: {', '.join(kinds)}")
        if type(given) is not kinds[name]:
            raise InputError(
                f"{path}: {name} is of a wrong type", hint=f"it is a {kinds[name].__name__}"
            )
    parameters = value.get("set", {})
    for name, given in parameters.items():
        if not isinstance(given, str):
            raise InputError(f"{path}: set.{name} must be text", hint='write it as "…"')
    layout = value.get("layout")
    if layout is not None and layout.endswith(".toml"):
        # A layout's file stands beside the policy.
        layout = str(path.parent / layout)
    return Policy(value.get("evidence_required", True), layout, parameters)
