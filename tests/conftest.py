"""What several test modules look at."""

import datetime as dt
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import this_machine  # noqa: F401 - before all that imports Polars
from against_the_oracle import BookedWorld
from hypothesis import settings
from skips import Skips

import mynapoint

# How long an example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

SAMPLE = Path(__file__).parent.parent / "sample_data"
_NIGHT = re.compile(r"^\| `(night-\d+)` \| (\S+) \|", re.MULTILINE)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="fail where a test is skipped")
    parser.addoption(
        "--may-skip", action="append", default=[], metavar="REASON", help="but for this reason"
    )


def pytest_configure(config: pytest.Config) -> None:
    # Under xdist only the process that starts the others hears of all reports.
    if config.getoption("--no-skips") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Skips(config.getoption("--may-skip")))


@pytest.fixture(scope="session")
def booked_world(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], BookedWorld]:
    """Random worlds by their seeds, each booked once; only to read."""
    return cache(lambda seed: BookedWorld.of(seed, tmp_path_factory.mktemp(f"world-{seed}")))


@pytest.fixture(scope="session")
def six_nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The book of the sample's nights, each booked on the day that its README says; only to read.

    Small slices, so that a run has several ledger files; and an index of all but the last run.
    """
    book = tmp_path_factory.mktemp("six-nights") / "book"
    for name, day in _NIGHT.findall((SAMPLE / "README.md").read_text(encoding="utf-8")):
        mynapoint.run(
            book,
            booked_on=dt.date.fromisoformat(day),
            transactions=[str(SAMPLE / name / "transactions-*")],
            enrollments=[SAMPLE / name / "enrollments.csv"],
            events=sorted((SAMPLE / name).glob("events.csv")),
            threads=1,
            rows_per_slice=150,
        )
    return book
