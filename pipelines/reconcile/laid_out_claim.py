"""A claim in a provider's own form, read by a layout with the role ``claims``.

A layout says which columns there are, in which encoding, how points are written (``from = [{ amount
= "…" }]`` reads ``1,234`` and full-width digits) and which rows are left out on purpose, such as
totals.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from engine.errors import InputError
from engine.io.delivered.deliveries import DeliveredAs, find_delivered
from engine.io.delivered.role_files import Files, check_parameters
from engine.io.delivered.roles import CLAIMS
from engine.io.delivered.rows import PartRows
from pipelines.desk.database import Database
from pipelines.reconcile.claim_file import ALL, KEYS, SCOPE, ClaimFile, check_delivered


@dataclass(frozen=True, slots=True)
class LaidOutClaim:
    """A claim that a layout describes.

    Attributes:
        skipped: by the layout's reasons, the rows that are left out on purpose.
    """

    claim: ClaimFile
    rows: pl.DataFrame
    skipped: dict[str, int]


def laid_out(path: Path, layout: str, parameters: Mapping[str, str]) -> LaidOutClaim:
    """Reads a claim by a layout.

    Raises:
        InputError: the layout is none of claims, or a row cannot be read: nothing of a claim is
            ever left out unless the layout says so.
    """
    files = Files(CLAIMS, find_delivered([DeliveredAs(str(path), layout, parameters)], "claims"))
    check_parameters(files)
    good: list[pl.DataFrame] = []
    with ThreadPoolExecutor(1) as pool:
        for parts, _ in files.read(pool, 1, lambda rows: rows):
            for rows in parts:
                _refuse_faulty(files, path, rows)
                good.append(rows.good)
    described = files.described(0)
    assert described is not None
    keys = [key for key in KEYS if key in described.layout.columns]
    if len(keys) > 1:
        raise InputError(
            f"{path}: by layout {described.layout.layout_id} the claim may be by "
            f"{' or by '.join(keys)}",
            hint="describe one of these columns",
        )
    columns = tuple(described.layout.columns)
    claim = ClaimFile(path, ".csv", columns, keys[0] if keys else SCOPE, described)
    key = pl.col(keys[0]) if keys else pl.lit(ALL)
    frames = [frame.select("service_id", key.alias("key"), "points") for frame in good]
    schema = {"service_id": pl.String, "key": pl.String, "points": pl.String}
    rows_of_claim = pl.concat(frames) if frames else pl.DataFrame(schema=schema)
    skipped = {reason: times for reason, (times, _) in files.skipped.items()}
    return LaidOutClaim(claim, rows_of_claim.cast(pl.String), skipped)


def load_laid_out(laid: LaidOutClaim, database: Database) -> int:
    """Puts the claim into the table ``claim``, as ``claim_file.load`` does; gives its rows.

    Raises:
        InputError: a row cannot be used.
    """
    database.given("laid_out", laid.rows.to_arrow())
    database.rows("CREATE TABLE delivered AS SELECT service_id, key, points FROM laid_out")
    return check_delivered(laid.claim, database)


def _refuse_faulty(files: Files, path: Path, rows: PartRows) -> None:
    if rows.faulty.height:
        [first] = files.as_quarantined(rows.faulty.head(1)).iter_rows(named=True)
        raise InputError(
            f"{path}: row {first['row']} cannot be read: {', '.join(first['errors'])}",
            hint="have the row put right, or describe it in the layout; nothing of a claim is "
            "left out",
        )
