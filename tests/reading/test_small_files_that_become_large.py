"""Every reader is bounded: a small file takes no more memory than SECURITY.md says."""

import gzip
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from deliveries import TRANSACTION_COLUMNS, Desk

from engine.errors import InputError
from engine.layouts.catalogue import load_layout
from engine.terms.services import load_services

HEADER = ",".join(TRANSACTION_COLUMNS) + "\n"
LIMIT_BYTES = 3 << 30


def run_within(desk: Desk, path: Path, *options: str, limit: int = LIMIT_BYTES) -> Any:
    """Runs the command with so much data; what it needs beyond it is refused by the system."""

    def bound() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    return subprocess.run(
        [
            *(sys.executable, "-m", "mynapoint", "run", str(desk.book), "--quiet"),
            *("--booked-on", "2020-10-01", "--services", str(desk.services)),
            *("--transactions", str(path), "--max-quarantined", "1", "--threads", "2", *options),
        ],
        preexec_fn=bound,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | {"POLARS_MAX_THREADS": "2"},
    )


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_lines_of_nothing_but_a_quote_are_bounded_in_memory(desk: Desk) -> None:
    path = desk.write("t.csv", HEADER + '"\n' * 8_000_000)
    done = run_within(desk, path)
    assert done.returncode == 0, done.stderr
    assert desk.record()["counts"]["quarantined"] == 4_000_000


def test_long_records_past_a_stray_quote_are_bounded_in_memory(desk: Desk) -> None:
    filler = os.urandom(3_000_000).hex()
    with gzip.open(desk.folder / "t.csv.gz", "wt", compresslevel=1) as file:
        file.write(
            HEADER.replace("method", "note")
            + 'T0,coin,A1,2020-09-05 10:00:00,purchase,1,,a "stray" quote\n'
        )
        for number in range(300):
            row = f"S{number},coin,A1,2020-09-05 10:00:00,purchase,1,,\U0001f600"
            own = filler[number * 20_000 : (number + 1) * 20_000]
            file.write(row + own + "x" * 980_000 + "\n")
    done = run_within(desk, desk.folder / "t.csv.gz")
    assert done.returncode == 0, done.stderr
    assert desk.record()["counts"]["read"] == 301


LAYOUT = """
layout_id = "x"
name = "x"
follows = "x"
role = "transactions"

[file]
encoding = "utf-8"
header = [{names}]

[columns]
transaction_id = {{ from = "c0" }}
service_id = {{ from = "c1" }}
account_id = {{ from = "c2" }}
occurred_at = {{ from = "c3", forms = ["YYYY/MM/DD"] }}
kind = {{ constant = "purchase" }}
amount = {{ from = "c4" }}
"""


def test_a_layout_of_very_many_names_is_loaded_in_a_moment(desk: Desk) -> None:
    names = ", ".join(f'"c{number}"' for number in range(40_000))
    path = desk.write("layout.toml", LAYOUT.format(names=names))
    before = time.process_time()
    load_layout(path)
    assert time.process_time() - before < 5


def test_a_registry_of_very_many_methods_is_loaded_in_a_moment(desk: Desk) -> None:
    methods = ", ".join(f'"m{number}"' for number in range(40_000))
    desk.services.write_text(
        '[[services]]\nservice_id = "coin"\nname = "c"\nbasis = "purchase"\n'
        f"excluded_methods = [{methods}]\n"
    )
    before = time.process_time()
    load_services(desk.services)
    assert time.process_time() - before < 5


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a" + ".a" * 20_000 + " = 1\n", "more than 50 dots"),
        (("a" + ".a" * 50 + " = 1\n") * 9_000, "not valid TOML"),
    ],
)
def test_a_toml_file_of_many_dotted_keys_is_refused_before_it_is_parsed(
    desk: Desk, text: str, why: str
) -> None:
    desk.services.write_text(text)
    with pytest.raises(InputError, match=why):
        load_services(desk.services)
