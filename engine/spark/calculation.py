"""The calculation of a run whose slices of people are folded by a cluster."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import uuid4

from engine.io.book.entries import entries_at
from engine.io.book.folder import Book, part_name
from engine.io.book.writing import WORK_OF_TASKS
from engine.io.durable import make_folder, rename
from engine.io.parallel import in_order
from engine.io.run.calculation import Calculation
from engine.io.run.one_run import Run
from engine.io.run.slices import FoldedSlice, Slice, SliceWork
from engine.spark.cluster import SparkCluster


class CalculationOnSpark(Calculation):
    """As on one machine, but for the slices: tasks read their rows and write their entries."""

    folds_here = False

    def __init__(self, cluster: SparkCluster, run: Run, staged: Path) -> None:
        super().__init__(run, staged)
        self._cluster = cluster

    def fold_slices(
        self,
        pool: ThreadPoolExecutor,  # noqa: ARG002 - as many threads as this machine has cores
        work: SliceWork,
        slices: Iterator[Slice],
    ) -> Iterator[FoldedSlice]:
        # Tasks that outlive this run find no folder of this name later, and make none.
        folder = self.book.staging.absolute() / f"{WORK_OF_TASKS}{uuid4().hex}"
        make_folder(folder)
        cores = self._cluster.cores
        with (
            ThreadPoolExecutor(cores) as waiting,
            self._cluster.sending(self._for_tasks(work), folder) as fold,
        ):
            for number, folded, part in in_order(
                waiting, 2 * cores, slices, lambda people, _: (people.number, *fold(people))
            ):
                if part is None:
                    yield FoldedSlice(folded, None)
                    continue
                name = part_name(self.number, number)
                rename(folder / part.name, self.book.staging / "ledger" / name)
                yield FoldedSlice(folded, replace(part, name=name))

    def _for_tasks(self, work: SliceWork) -> SliceWork:
        """The same, without what tasks do not ask for, and with paths that are good everywhere."""
        entries = partial(entries_at, Book(self.book.path.absolute()))
        return replace(
            work,
            night=replace(work.night, entries_at=entries),
            settled=replace(work.settled, faulty=work.settled.faulty.clear()),
        )
