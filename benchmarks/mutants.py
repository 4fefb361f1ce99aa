"""Changes the core one place at a time, in memory, and lets random books find each change.

    python benchmarks/mutants.py booking build/mutants [--seed N] [--each N] [--more-of MODULE]...
    python benchmarks/mutants.py payouts build/mutants

Worlds are booked once, night by night, each book kept as it was before the night, with the lines of
the core that the night passed, and what the night asked of the core and was given. Then a random
sample of changes, all modules in turn, is tried: a change is found where one of these calls that
pass its line gives something else; where none does, some nights are booked once more, and then some
with all nights after them. For payouts, histories stand in place of nights. Nothing is written to
the core. What was done stays below the folder: a run that was ended is carried on.
"""

import argparse
import gc
import importlib
import json
import os
import shutil
import signal
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import _lru_cache_wrapper
from pathlib import Path
from random import Random
from types import CodeType, FrameType, FunctionType
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / folder) for folder in ("tests/support", "tests/agreement", ".")]
os.environ["POLARS_MAX_THREADS"] = "1"

import polars as pl  # noqa: E402
import worlds  # noqa: E402
from against_the_oracle import DeliveredAs, differences_of_night, run_engine  # noqa: E402
from changes import Change, Module  # noqa: E402
from test_payouts_agree_with_the_oracle import (  # noqa: E402
    test_a_random_history_is_paid_as_the_oracle_says as paid_as_the_oracle_says,
)
from test_payouts_agree_with_the_oracle import (  # noqa: E402
    test_once_all_is_due_and_answered_what_is_granted_is_what_is_awarded as granted_as_awarded,
)

from engine.booking import enrollment, events, fold, voiding  # noqa: E402
from engine.booking.enrollment import EnrollmentOutcome  # noqa: E402
from engine.booking.events import TakenEvents  # noqa: E402
from engine.booking.fold import SliceOutcome  # noqa: E402
from engine.booking.recounted import Voids  # noqa: E402
from engine.io.run import calculation, correcting, slices  # noqa: E402

ROWS_PER_SLICE: Final = (None, 5, None)
CPU_SECONDS_AT_MOST: Final = 10
CALLS_A_NIGHT: Final = 15
TRIALS_BETWEEN_CHECKS: Final = 25

Lines = dict[str, set[int]]


class Trial(NamedTuple):
    """What passes lines of the core and may find a change of them.

    Attributes:
        call: of a night: what was asked of the core, and what it gave.
        nights_after: how many nights the world has after this one.
    """

    name: str
    lines: Lines
    call: tuple[Callable[..., Any], tuple[Any, ...], Any] | None = None
    nights_after: int = 0


def shown(result: object) -> object:
    """Of what the core gives to a run, what stands in the book's tables, as the oracle has it."""
    if isinstance(result, SliceOutcome):
        tables = result.entries, result.declined, result.pending.sort(pl.all())
        return (*tables, result.reconsidered, result.reconsidered_yen)
    if isinstance(result, EnrollmentOutcome):
        return result.accepted, result.rejected, result.unchanged, result.reconsidered
    if isinstance(result, TakenEvents):
        return result.accepted, sorted(result.refused, key=lambda refused: refused.event.event_id)
    assert isinstance(result, Voids)
    return result.entries, result.positions.tolist(), result.of.tolist()


def equal(first: Any, second: Any) -> bool:
    """Whether two results that are shown are the same."""
    if isinstance(first, tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    if isinstance(first, pl.DataFrame):
        return first.equals(second)
    return bool(first == second)


class Nights:
    """Nights of random worlds, booked as the oracle books them; and what they ask of the core."""

    CALLS: Final = (
        (events, "take_events", correcting),
        (enrollment, "enroll", calculation),
        (voiding, "voids_of", calculation),
        (fold, "fold", slices),
    )

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder / "worlds"
        shutil.rmtree(self._folder, ignore_errors=True)
        self.names = [f"{'plain' if n % 6 == 5 else 'corrected'}-{n}" for n in range(count)]
        self._made: dict[str, tuple[worlds.World, list[Any]]] = {}

    def prepared(self, name: str, files: set[str]) -> list[Trial]:
        trials, nights = [], len(self._world(name)[0].nights)
        for number in range(nights):
            title = f"{name}:{number}"
            calls: list[Trial] = []
            for module, function, caller in self.CALLS:
                original = getattr(module, function)
                kept = self._kept(original, title, files, calls)
                setattr(caller, function, kept)
            with passed_lines(files) as lines:
                self._book(name, number, self._copy(name, number, self._folder / name))
            for module, function, caller in self.CALLS:
                setattr(caller, function, getattr(module, function))
            # A call that does not give the same again says nothing.
            trials += [call for call in calls if self.gives_the_same(call)]
            trials.append(Trial(title, lines, None, nights - number - 1))
        return trials

    @staticmethod
    def _kept(
        function: Callable[..., Any], night: str, files: set[str], calls: list[Trial]
    ) -> Callable[..., Any]:
        def keeping(*asked: Any) -> Any:
            lines: Lines = {file: set() for file in files}
            before = sys.gettrace()
            sys.settrace(tracer(lines))
            try:
                result = function(*asked)
            finally:
                sys.settrace(before)
            call = function, asked, shown(result)
            calls.append(Trial(f"{night}:{function.__name__}", lines, call))
            return result

        return keeping

    @staticmethod
    def gives_the_same(trial: Trial) -> bool:
        assert trial.call is not None
        function, asked, result = trial.call
        return equal(shown(function(*asked)), result)

    def run(self, trial: Trial, *, to_the_end: bool) -> None:
        if trial.call is not None:
            assert self.gives_the_same(trial), "the call gives something else"
            return
        name, _, number = trial.name.partition(":")
        first = int(number)
        book = self._copy(name, first, self._folder)
        for night in range(first, first + 1 + (trial.nights_after if to_the_end else 0)):
            self._book(name, night, book)

    def _copy(self, name: str, number: int, folder: Path) -> Path:
        """The book as it was before a night."""
        book = folder / f"book-{number}" if folder.name == name else folder / "book"
        shutil.rmtree(book, ignore_errors=True)
        if number:
            shutil.copytree(self._folder / name / f"book-{number - 1}", book)
        return book

    def _world(self, name: str) -> tuple[worlds.World, list[Any]]:
        if name not in self._made:
            kind, _, seed = name.partition("-")
            world = worlds.make(int(seed), corrected=kind == "corrected")
            self._made[name] = world, list(worlds.booked_by_the_oracle(world))
        return self._made[name]

    def _book(self, name: str, number: int, book: Path) -> None:
        world, expected = self._world(name)
        delivery = DeliveredAs(world, number, self._folder / name)
        rows_per_slice = ROWS_PER_SLICE[self.names.index(name) % len(ROWS_PER_SLICE)]
        run_engine(book, delivery, threads=1, rows_per_slice=rows_per_slice)
        differences = differences_of_night(book, delivery, expected[number])
        assert not differences, str(differences[0])


class Histories:
    """Random histories of bookings, payouts and answers, paid as the oracle says."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder / "history"
        self.names = [f"{'awarded' if n % 6 == 5 else 'paid'}-{n}" for n in range(count)]

    def prepared(self, name: str, files: set[str]) -> list[Trial]:
        with passed_lines(files) as lines:
            self.run(Trial(name, {}), to_the_end=False)
        return [Trial(name, lines)]

    def run(self, trial: Trial, *, to_the_end: bool) -> None:  # noqa: ARG002 - histories end
        kind, _, seed = trial.name.partition("-")
        if kind == "awarded":
            granted_as_awarded(int(seed))
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        paid_as_the_oracle_says(int(seed), self._folder)


def tracer(lines: Lines) -> Callable[..., Any]:
    """Marks the lines that are passed, in the files that ``lines`` names."""

    def passed(frame: FrameType, _event: str, _value: object) -> Callable[..., Any]:
        lines[frame.f_code.co_filename].add(frame.f_lineno)
        return passed

    def called(frame: FrameType, event: str, value: object) -> Callable[..., Any] | None:
        return passed(frame, event, value) if frame.f_code.co_filename in lines else None

    return called


@contextmanager
def passed_lines(files: set[str]) -> Iterator[Lines]:
    """The lines of some files that are passed meanwhile, in any thread."""
    lines: Lines = {file: set() for file in files}
    called = tracer(lines)
    threading.settrace(called)
    sys.settrace(called)
    try:
        yield lines
    finally:
        sys.settrace(None)
        threading.settrace(None)


class _TooLongError(BaseException):
    pass


class Bench:
    """Tries changes, and writes down what became of each."""

    def __init__(self, asked: argparse.Namespace) -> None:
        part, folder = ROOT / "engine" / asked.part, asked.folder / asked.part
        folder.mkdir(parents=True, exist_ok=True)
        self._results, self._tries = folder / "results.jsonl", asked.tries
        self.modules = {path.stem: Module(path) for path in sorted(part.glob("*.py"))}
        for path in sorted(part.glob("*.py")):
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        files = {str(module.path) for module in self.modules.values()}
        kind = Nights if asked.part == "booking" else Histories
        self._kind = kind(folder, asked.worlds)
        self._trials: list[Trial] = []
        for name in self._kind.names:
            self._trials += self._kind.prepared(name, files)
            print(name, len(self._trials), file=sys.stderr, flush=True)
        self._functions: dict[tuple[str, str, int], list[FunctionType]] = {}
        for thing in gc.get_objects():
            if type(thing) is FunctionType and thing.__code__.co_filename in files:
                self._functions.setdefault(_place(thing.__code__), []).append(thing)
        self.done: set[str] = set()
        self._found_by: Counter[tuple[str, str]] = Counter()
        if self._results.exists():
            for line in self._results.read_text(encoding="utf-8").splitlines():
                result = json.loads(line)
                self.done.add(result["change"])
                self._found_by[result["module"], result.get("trial", "")] += 1

    def try_change(self, name: str, change: Change) -> None:
        module, title = self.modules[name], f"{name}:{change.line}:{change.column} {change.what}"
        if title in self.done:
            return
        known: dict[str, Any] = {"change": title, "module": name}
        swapped = [
            (function, function.__code__, code)
            for code in module.changed(change).values()
            for function in self._functions.get(_place(code), [])
        ]
        first, last = change.lines
        passing = [
            trial
            for trial in self._trials
            if any(first <= line <= last for line in trial.lines[str(module.path)])
        ]
        # Calls first; of both those that found changes of the module before, then those that pass
        # most of it.
        passing.sort(
            key=lambda trial: (
                -self._found_by[name, trial.name],
                -len(trial.lines[str(module.path)]),
            )
        )
        nights = [trial for trial in passing if trial.call is None]
        calls = [trial for trial in passing if trial.call is not None]
        plan = [(trial, False) for trial in calls[: CALLS_A_NIGHT * self._tries]]
        plan += [(trial, False) for trial in nights[: self._tries]]
        plan += [(trial, True) for trial in nights[: self._tries // 4] if trial.nights_after]
        found: dict[str, Any] = {"result": "survived" if passing else "not passed"}
        started = time.process_time()
        self._swap([(function, code) for function, _, code in swapped])
        for trial, to_the_end in plan:
            why = self._why_found(trial, to_the_end=to_the_end)
            if why is not None:
                found = {"result": "found", "trial": trial.name, "why": why}
                self._found_by[name, trial.name] += 1
                break
        self._swap([(function, code) for function, code, _ in swapped])
        known |= found | {"cpu_seconds": round(time.process_time() - started, 2)}
        with self._results.open("a", encoding="utf-8") as results:
            results.write(json.dumps(known) + "\n")
        self.done.add(title)
        if known["result"] != "found":
            print(known, flush=True)
        elif known["why"].startswith(_TooLongError.__name__) and trial.call is None:
            # One is at work on the change for ever.
            os.execv(sys.executable, [sys.executable, *sys.argv])
        if len(self.done) % TRIALS_BETWEEN_CHECKS == 0 and plan:
            why = self._why_found(plan[0][0], to_the_end=False)
            assert why is None, f"the core as it is: {why}"

    def _why_found(self, trial: Trial, *, to_the_end: bool) -> str | None:
        try:
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS_AT_MOST)
            self._kind.run(trial, to_the_end=to_the_end)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, it was found
            return f"{type(error).__name__}: {str(error)[:200]}"
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        return None

    @staticmethod
    def _swap(codes: list[tuple[FunctionType, CodeType]]) -> None:
        for function, code in codes:
            function.__code__ = code
        for thing in gc.get_objects():
            if type(thing) is _lru_cache_wrapper and thing.__module__.startswith("engine"):
                thing.cache_clear()


def _place(code: CodeType) -> tuple[str, str, int]:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def _too_long(*_: object) -> None:
    raise _TooLongError


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("part", choices=["booking", "payouts"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=2020)
    parser.add_argument("--each", type=int, default=30, help="changes of a module")
    parser.add_argument("--more-of", action="append", default=[], metavar="MODULE", help="twice")
    parser.add_argument("--leave-out", action="append", default=[], metavar="MODULE")
    parser.add_argument("--worlds", type=int, default=12, help="how many are made")
    parser.add_argument("--tries", type=int, default=12, help="nights or histories for a change")
    asked = parser.parse_args()
    warnings.simplefilter("error")
    signal.signal(signal.SIGPROF, _too_long)
    bench = Bench(asked)
    sample = []
    for name, module in bench.modules.items():
        if name in asked.leave_out:
            continue
        changes = list(module.changes)
        Random(f"{asked.seed} {name}").shuffle(changes)
        count = asked.each * (2 if name in asked.more_of else 1)
        sample += [(n / count, name, change) for n, change in enumerate(changes[:count])]
    for _, name, change in sorted(sample, key=lambda item: item[:2]):
        bench.try_change(name, change)


if __name__ == "__main__":
    main()
