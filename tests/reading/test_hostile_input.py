"""Whatever is delivered: a clear error or a quarantined row, bounded memory, nothing by halves.

`MYNAPOINT_FIRST_SEED` moves the mutations to other seeds, for long runs.
"""

import datetime as dt
import gzip
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deliveries import ROOT

import mynapoint

FIRST_SEED = int(os.environ.get("MYNAPOINT_FIRST_SEED", "0"))
MUTATIONS_A_TEST = 24
SERVICES = '[[services]]\nservice_id = "coin"\nname = "coin"\nbasis = "purchase"\n'
ENROLLMENT = (
    "person_id,service_id,account_id,applied_at,card_applied_on\n"
    "P1,coin,A1,2020-09-01 09:00:00,2020-06-01\n"
)
HEADER = "transaction_id,service_id,account_id,occurred_at,kind,amount,original_transaction_id\n"
ROWS = 200
MOST_MEMORY_KB = 1_500_000


def transactions_csv() -> bytes:
    lines = [f"T{n},coin,A1,2020-09-05 10:00:00,purchase,{n + 1},\n" for n in range(ROWS - 2)]
    lines += [
        '"T""q",coin,"A1",2020-09-06 10:00:00,purchase,9,\n',
        "R,coin,A1,2020-09-07 10:00:00,refund,1,T3\n",
    ]
    return (HEADER + "".join(lines)).encode()


def transactions_gzip() -> bytes:
    return gzip.compress(transactions_csv(), mtime=0)


def transactions_zstd() -> bytes:
    packed: bytes = pa.Codec("zstd").compress(transactions_csv(), asbytes=True)
    return packed


def transactions_parquet() -> bytes:
    file = io.BytesIO()
    frame = pl.read_csv(transactions_csv(), infer_schema=False)
    pq.write_table(frame.to_arrow(), file, row_group_size=50)
    return file.getvalue()


FORMS: dict[str, Callable[[], bytes]] = {
    "csv": transactions_csv,
    "csv.gz": transactions_gzip,
    "csv.zst": transactions_zstd,
    "parquet": transactions_parquet,
}
NASTY = [
    b"\x00",
    b'"',
    b'""',
    b"\n",
    b"\r",
    b",",
    b"\xff",
    b"\xe3\x80",
    b"\xef\xbb\xbf",
    b"\x1f\x8b",
    b"NULL",
]


def mutated(data: bytes, random: Random) -> bytes:
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(data) + 1)
        match random.randrange(6):
            case 0:
                data = data[:at]
            case 1:
                data = data[:at] + random.choice(NASTY) + data[at:]
            case 2:
                data = data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]
            case 3:
                data = data[:at] + random.randbytes(random.randint(1, 300)) + data[at:]
            case 4:
                data = data[:at] + data[at + random.randint(1, 50) :]
            case _:
                data = data[at:] + data[:at]
    return data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("hostile")
    (made / "enrollments.csv").write_text(ENROLLMENT)
    (made / "services.toml").write_text(SERVICES)
    return made


def book_it(folder: Path, book: Path, file: Path) -> dict[str, int] | None:
    """Book a file; give the counts, or None when it was refused with one line and a hint."""
    try:
        result = mynapoint.run(
            book,
            booked_on=dt.date(2020, 10, 1),
            transactions=[file],
            enrollments=[folder / "enrollments.csv"],
            services=folder / "services.toml",
            max_quarantined=1,
        )
    except mynapoint.InputError as error:
        refused = error
    else:
        counts: dict[str, int] = result.record.to_json()["counts"]
        declined = sum(result.record.counts.declined.values())
        assert counts["booked"] == pl.read_delta(str(book / "ledger")).height
        assert counts["read"] == counts["booked"] + counts["quarantined"] + declined
        return counts
    assert "\n" not in refused.message + refused.hint
    assert refused.hint
    assert not list(book.rglob("*.parquet"))
    assert not (book / "staging").exists()
    return None


@pytest.mark.parametrize("form", FORMS)
def test_the_file_that_is_mutated_is_whole_to_begin_with(
    form: str, folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / f"t.{form}"
    file.write_bytes(FORMS[form]())
    counts = book_it(folder, tmp_path / "book", file)
    assert counts is not None
    assert counts["booked"] == ROWS


# What is packed is mostly refused as a whole: a chunk of it is enough for every day.
CHUNKS = [
    pytest.param(
        form,
        chunk,
        marks=() if chunk < (1 if form in ("csv.gz", "csv.zst") else 2) else pytest.mark.slow,
    )
    for form in FORMS
    for chunk in range(5)
]


@pytest.mark.parametrize(("form", "chunk"), CHUNKS)
def test_a_mutated_file_is_refused_or_its_rows_are_all_accounted_for(
    form: str, chunk: int, folder: Path, tmp_path: Path
) -> None:
    whole = FORMS[form]()
    first = FIRST_SEED + chunk * MUTATIONS_A_TEST
    for seed in range(first, first + MUTATIONS_A_TEST):
        file = tmp_path / f"{seed}.{form}"
        file.write_bytes(mutated(whole, Random(f"{form} {seed}")))
        try:
            book_it(folder, tmp_path / f"book-{seed}", file)
        except Exception as error:
            error.add_note(f"seed {seed}: {file}")
            raise


def columns_by_the_million() -> bytes:
    return b",".join(b"c%d" % n for n in range(1_000_000)) + b"\n" + b",".join([b"1"] * 1_000_000)


def rows_of_a_million_fields() -> bytes:
    return HEADER.encode() + (b"," * 900_000 + b"\n") * 20


def line_of_100_mb() -> bytes:
    return HEADER.encode() + b"T" * 100_000_000


def quote_never_closed_before_100_mb() -> bytes:
    return HEADER.encode() + b'"T1,coin' + b"A1,2020-09-05 10:00:00,purchase,1000,\n" * 2_500_000


def bomb() -> bytes:
    return gzip.compress(HEADER.encode() + bytes(300_000_000), mtime=0, compresslevel=1)


def nothing_but_line_ends() -> bytes:
    return HEADER.encode() + b"\n" * 50_000_000


def nothing_but_quotes() -> bytes:
    return HEADER.encode() + b'"' * 50_000_001


def nothing_but_ragged_rows() -> bytes:
    return HEADER.encode() + b"x\n" * 500_000


@pytest.mark.parametrize(
    "make",
    [
        columns_by_the_million,
        rows_of_a_million_fields,
        line_of_100_mb,
        quote_never_closed_before_100_mb,
        bomb,
        nothing_but_line_ends,
        nothing_but_quotes,
        nothing_but_ragged_rows,
    ],
)
def test_a_monster_is_dealt_with_in_bounded_memory(
    make: Callable[[], bytes], tmp_path: Path
) -> None:
    file = tmp_path / "monster.csv"
    file.write_bytes(make())
    program = (
        "import resource, sys\n"
        "from pipelines.cli import call\n"
        "from pipelines.shown.errors import one_line_errors\n"
        "code = 0\n"
        "try:\n"
        "    with one_line_errors():\n"
        "        call(sys.argv[1:])\n"
        "except SystemExit as leave:\n"
        "    code = leave.code\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        "sys.exit(code)\n"
    )
    command = [sys.executable, "-c", program, "run", str(tmp_path / "book"), "--quiet"]
    command += ["--booked-on", "2020-10-01", "--transactions", str(file), "--max-quarantined", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode in {0, 2}, done.stderr
    assert "Traceback" not in done.stderr
    assert "internal fault" not in done.stderr
    if done.returncode == 2:
        assert done.stderr.count("\n") == 2, done.stderr
    assert int(done.stdout) < MOST_MEMORY_KB


def test_names_with_newlines_and_links_are_only_names(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "a\nb\x1b[31m.csv"
    file.write_bytes(transactions_csv())
    link = tmp_path / "link.csv"
    link.symlink_to(file)
    assert book_it(folder, tmp_path / "book", file) is not None
    assert book_it(folder, tmp_path / "book2", link) is not None
    (tmp_path / "dangling.csv").symlink_to(tmp_path / "nowhere")
    assert book_it(folder, tmp_path / "book3", tmp_path / "dangling.csv") is None


def test_a_time_that_does_not_say_its_zone_is_refused(folder: Path, tmp_path: Path) -> None:
    frame = pl.read_csv(transactions_csv(), infer_schema=False)
    table = frame.with_columns(pl.col("occurred_at").str.to_datetime()).to_arrow()
    file = tmp_path / "int96.parquet"
    pq.write_table(table, file, use_deprecated_int96_timestamps=True)
    assert book_it(folder, tmp_path / "book", file) is None
