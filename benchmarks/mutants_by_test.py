"""Changes a module one place at a time, in memory, and tries the tests that should find it.

    python benchmarks/mutants_by_test.py engine/rules/award.py tests/unit/test_rules.py

`--of` names functions whose changes are tried alone. What survives is printed.
"""

import argparse
import contextlib
import gc
import importlib
import io
import os
import signal
import sys
from pathlib import Path
from types import FunctionType
from typing import Final

import pytest

os.environ["POLARS_MAX_THREADS"] = "1"
ROOT: Final = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from changes import Module  # noqa: E402

CPU_SECONDS_AT_MOST: Final = 10


class _TooLongError(BaseException):
    pass


def _too_long(*_: object) -> None:
    raise _TooLongError


def found_by(tests: list[str]) -> bool:
    """Whether one of the tests fails."""
    arguments = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *tests]
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS_AT_MOST)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return pytest.main(arguments) != pytest.ExitCode.OK
    except _TooLongError:
        return True
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("module", type=Path)
    parser.add_argument("tests", nargs="+")
    parser.add_argument("--of", action="append", default=[], metavar="FUNCTION")
    asked = parser.parse_args()
    signal.signal(signal.SIGPROF, _too_long)
    path = ROOT / asked.module
    importlib.import_module(".".join(asked.module.with_suffix("").parts))
    module = Module(path)
    functions: dict[tuple[str, int], list[FunctionType]] = {}
    for thing in gc.get_objects():
        if type(thing) is FunctionType and thing.__code__.co_filename == str(path):
            place = thing.__code__.co_qualname, thing.__code__.co_firstlineno
            functions.setdefault(place, []).append(thing)
    assert not found_by(asked.tests), "a test fails without any change"
    tried, lines = 0, path.read_text(encoding="utf-8").splitlines()
    survivors = 0
    for change in module.changes:
        codes = module.changed(change)
        if asked.of and not any(name.startswith(tuple(asked.of)) for name, _ in codes):
            continue
        swapped = [
            (function, function.__code__, code)
            for place, code in codes.items()
            for function in functions.get(place, [])
        ]
        for function, _, code in swapped:
            function.__code__ = code
        found = found_by(asked.tests)
        for function, code, _ in swapped:
            function.__code__ = code
        tried += 1
        if not found:
            survivors += 1
            print(f"{change.line}: {change.what}: {lines[change.line - 1].strip()}", flush=True)
    assert not found_by(asked.tests), "a test fails without any change"
    print(f"{tried} changes, {tried - survivors} found")


if __name__ == "__main__":
    main()
