"""The rows for which a run was refused, kept for inspection."""

import shutil
from pathlib import Path

import polars as pl

from engine.io.durable import write_json
from engine.io.parquet import scan_parquet
from engine.io.result_folders import whole_folder
from engine.io.run.refusal import RefusedRunError
from engine.io.spreadsheet_csv import spreadsheet_csv


def keep_rejects(quarantine: Path, refusal: RefusedRunError, folder: Path) -> None:
    """Keeps a refused run's quarantine: ``rejects.parquet``, ``rejects.csv``, ``rejects.json``.

    Args:
        quarantine: the table, ``Quarantined``.
        refusal: its counts go to ``rejects.json``.
        folder: a new or empty one.

    Raises:
        InputError: the folder cannot be written.
    """
    with whole_folder(folder) as fresh:
        shutil.copyfile(quarantine, fresh / "rejects.parquet")
        rows = scan_parquet(quarantine).with_columns(pl.col("errors").list.join(" "))
        spreadsheet_csv(rows, fresh / "rejects.csv")
        write_json(fresh / "rejects.json", dict(refusal.details))
