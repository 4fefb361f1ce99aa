"""The runs that a book keeps, as all later checks see them: by their records and sound files."""

from dataclasses import dataclass, field

from engine.io.book.folder import run_id
from engine.io.book.format import RunTable
from engine.io.book.run_record import RunRecord


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A committed run whose record can be read.

    Attributes:
        sound: the names of its outputs whose bytes are the record's.
    """

    number: int
    record: RunRecord
    sound: frozenset[str]

    @property
    def id(self) -> str:
        return run_id(self.number)

    @property
    def where(self) -> str:
        """The record, as a finding names it."""
        return f"runs/{self.id}/record.json"

    @property
    def ledger_files(self) -> list[str]:
        return [output.name for output in self.record.ledger_files]

    @property
    def entries(self) -> int:
        return sum(output.rows or 0 for output in self.record.ledger_files)

    @property
    def tables(self) -> list[RunTable]:
        """The tables that the run left."""
        names = {output.name for output in self.record.outputs}
        return [table for table in RunTable if self.file(table.file_name) in names]

    def file(self, name: str) -> str:
        """One of the run's other files."""
        return f"runs/{self.id}/{name}"

    @property
    def whole(self) -> bool:
        """Whether every file that the record names is as it was."""
        return len(self.sound) == len(self.record.outputs)


@dataclass(slots=True)
class KeptRuns:
    """What the book keeps: its committed runs by number less one, None where one is unreadable.

    Attributes:
        damaged: the names of files that are not as their records say.
    """

    runs: list[KeptRun | None] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    def whole_runs(self) -> list[KeptRun] | None:
        """All runs, when every file that later work relies on is as it was."""
        runs = [run for run in self.runs if run is not None and run.whole]
        return runs if len(runs) == len(self.runs) else None
