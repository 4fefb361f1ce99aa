"""The benchmarks measure what they say, and tell a wrong result from a right one."""

import json
import subprocess
import sys
import time
from argparse import Namespace
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

import compare
import contestants
import generate
import nights
import numpy as np
import pytest
import soak
import waiting
from compare import Entrant, Size
from contestants import ENGINE, FLOOR, Contestant, Delivery, Found
from measuring import Run, Spread, last_line, measure
from presenting import Point, draw_nights, draw_sizes, table

from engine.io import durable

HERE = Path(__file__).parent
PEER = Contestant("polars", "plain Polars", "much")
FOUND = Found(10, 7, 1, 480, {"duplicate": 2})
PRINTED = json.dumps(
    {
        "rows": 10,
        "booked": 7,
        "conflicts": 1,
        "declined": {"duplicate": 2},
        "points_net": 480,
    }
)
A_RUN = Run(4.0, 5.0, 1.0, 2_000_000_000, 0, PRINTED, "")


def python(code: str, folder: Path, **limits: float) -> Run:
    cap = limits.pop("cap_bytes", None)
    return measure(
        [sys.executable, "-c", code], folder, cap_bytes=None if cap is None else int(cap), **limits
    )


# -- measuring


def measured_by_a_small_process(code: str, folder: Path) -> tuple[int, float, float]:
    """Peak memory, time and processor time: this process's own memory would count into the peak."""
    measuring = (
        "import json, sys; from pathlib import Path; from measuring import measure;"
        "run = measure([sys.executable, '-c', sys.argv[1]], Path(sys.argv[2]));"
        "print(json.dumps([run.peak_bytes, run.wall_s, run.cpu_s]))"
    )
    command = [sys.executable, "-c", measuring, code, str(folder)]
    done = subprocess.run(command, cwd=HERE, capture_output=True, check=True)
    peak_bytes, wall_s, cpu_s = json.loads(done.stdout)
    return peak_bytes, wall_s, cpu_s


def test_memory_and_time_are_those_of_the_process(tmp_path: Path) -> None:
    peak_bytes, _, _ = measured_by_a_small_process("held = b'x' * 400_000_000", tmp_path)
    _, wall_s, cpu_s = measured_by_a_small_process("import time; time.sleep(1)", tmp_path)
    assert 400_000_000 < peak_bytes < 600_000_000
    assert wall_s > 1
    assert cpu_s < wall_s


def test_what_measures_holds_little_for_its_memory_counts_into_what_it_measures(
    tmp_path: Path,
) -> None:
    code = "import sys, measuring, compare, nights, startup, waiting; from pathlib import Path;"
    code += "print(measuring.measure(['true'], Path(sys.argv[1])).peak_bytes)"
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=HERE, capture_output=True, check=True)
    assert int(done.stdout) < 50_000_000


def test_what_a_process_prints_and_how_it_ends_is_kept(tmp_path: Path) -> None:
    run = python("import sys; print('out'); sys.exit('a reason')", tmp_path)
    assert (run.stdout, run.exit_code) == ("out\n", 1)
    assert last_line(run.stderr + "\n\n") == "a reason"


@pytest.mark.parametrize("own", ["", ", process_group=0", ", start_new_session=True"])
def test_processes_that_outlive_their_parent_are_waited_for_and_counted(
    tmp_path: Path, own: str
) -> None:
    # As Spark's workers do: the parent ends first, they belong to a group of their own.
    busy = "import time\nwhile time.process_time() < 0.5: pass"
    starts = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {busy!r}])"
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {starts!r}]{own})"
    assert python(code, tmp_path).cpu_s > 0.5


def test_what_else_this_process_started_is_neither_counted_nor_stopped(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        run = python("import time; time.sleep(60)", tmp_path, timeout_s=0.5)
        assert run.stopped
        assert other.poll() is None
        other.kill()


def test_memory_is_that_of_all_processes_together(tmp_path: Path) -> None:
    holds = "import time; held = b'x' * 100_000_000; time.sleep(1)"
    code = "import subprocess, sys\n"
    code += (
        f"started = [subprocess.Popen([sys.executable, '-c', {holds!r}], start_new_session=True)"
    )
    code += " for _ in range(2)]\nfor one in started: one.wait()"
    peak_bytes, _, _ = measured_by_a_small_process(code, tmp_path)
    assert 200_000_000 < peak_bytes < 400_000_000


def test_who_holds_more_than_the_cap_is_stopped_before_it_ends(tmp_path: Path) -> None:
    run = python("x = b'x' * 300_000_000; import time; time.sleep(60)", tmp_path, cap_bytes=1e8)
    assert run.stopped == "held more than the cap of 0.1 GB"
    assert run.exit_code < 0


def test_who_takes_too_long_is_stopped_with_all_its_processes(tmp_path: Path) -> None:
    sleeps = "import subprocess; subprocess.run(['sleep', '60'], start_new_session=True)"
    began = time.monotonic()
    run = python(sleeps, tmp_path, timeout_s=0.5)
    assert run.stopped == "took longer than 0 s"
    assert time.monotonic() - began < 30


def test_a_spread_tells_the_median_and_how_far_apart() -> None:
    assert Spread.of([3.0, 1.0, 2.0]).text() == "2.0 (1.0–3.0)"
    assert Spread.of([2.0]).text() == "2.0"


# -- agreement


def test_the_engines_record_and_a_peers_line_are_read_alike() -> None:
    record = {
        "counts": {"read": 10, "booked": 7, "quarantined": 1, "declined": {"duplicate": 2}},
        "points": {"awarded": 500, "reversed": 20},
    }
    assert contestants.found_by_engine(json.dumps(record)) == FOUND
    assert contestants.found_by_peer(f"a warning\n{PRINTED}") == FOUND


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({"points_net": 500}, "points net 500 instead of 480"),
        ({"booked": 8}, "booked 8 instead of 7"),
        ({"declined": {"not_enrolled": 2}}, "declined as duplicate 0 instead of 2"),
    ],
)
def test_a_peer_that_finds_otherwise_is_shown(changed: dict[str, int], shown: str) -> None:
    entrant = Entrant(PEER)
    entrant.take(replace(A_RUN, stdout=json.dumps(json.loads(PRINTED) | changed)), FOUND)
    assert f"found {shown}" in entrant.failed
    assert entrant.verdict.startswith("**no**: found")


def test_a_peer_that_finds_the_same_agrees() -> None:
    entrant = Entrant(PEER)
    entrant.take(A_RUN, FOUND)
    assert (entrant.failed, entrant.verdict) == ([], "yes")


def test_a_peer_that_fails_or_prints_nonsense_is_shown() -> None:
    failed, babbled = Entrant(PEER), Entrant(PEER)
    failed.take(replace(A_RUN, exit_code=1, stderr="one\nno room"), FOUND)
    babbled.take(replace(A_RUN, stdout="{}"), FOUND)
    assert failed.failed == ["exit 1: no room"]
    assert "KeyError('rows')" in babbled.verdict
    assert not failed.runs + babbled.runs


def test_a_peer_stopped_for_its_memory_did_not_fail() -> None:
    entrant = Entrant(PEER)
    entrant.take(replace(A_RUN, exit_code=-9, stopped="held more than the cap"), FOUND)
    assert (entrant.failed, entrant.verdict) == ([], "not run: held more than the cap")


def test_when_the_engine_fails_nobody_is_compared_with_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fails = replace(A_RUN, exit_code=3, stderr="error: the book is damaged")
    monkeypatch.setattr(compare, "measure", lambda *_, **__: fails)
    engine, peer = Entrant(Contestant(ENGINE, "mynapoint run", "")), Entrant(PEER)
    options = Namespace(runs=2, repeat_under=120, memory=1, timeout=1)
    compare.compared(Delivery(tmp_path, "csv"), [engine, peer], 10, tmp_path, options)
    assert engine.failed == ["exit 3: error: the book is damaged"]
    assert (peer.runs, peer.verdict) == ([], "not run: nothing to compare with")


# -- who is not run


def test_a_peer_that_is_not_there_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(contestants.KNOWN_PEERS, "polars", ("plain Polars", "no_such_library"))
    monkeypatch.setitem(contestants.KNOWN_PEERS, "no_such", ("No Such", "polars"))
    polars, no_such = contestants.line_up(["polars", "no_such"])[1:3]
    assert polars.absent == "no_such_library is not installed"
    assert no_such.absent == "there is no no_such_job.py"


def test_a_peer_that_would_not_fit_is_not_started() -> None:
    earlier = Entrant(PEER, runs=[A_RUN])
    before = Size(1_000, 10, 1, [earlier])
    assert compare.entered(PEER, 4_000, 10**10, before).not_run is None
    reason = compare.entered(PEER, 10_000, 10**10, before).not_run
    assert reason == "would take about 20 GB of 10 GB (2.0 GB at 1,000 rows)"
    bounded = Contestant("duckdb", "DuckDB SQL", "")
    spills = Size(1_000, 10, 1, [Entrant(bounded, runs=[A_RUN])])
    assert compare.entered(bounded, 10_000, 10**10, spills).not_run is None


def test_every_peer_says_what_it_leaves_out() -> None:
    programs = sorted(contestants.PEERS.glob("*_job.py"))
    names = [program.name.removesuffix("_job.py") for program in programs]
    assert set(names) <= contestants.KNOWN_PEERS.keys()
    for peer in contestants.line_up(names)[1:-1]:
        assert "Delta" in peer.leaves_out, peer.name
        assert "\n" not in peer.leaves_out


# -- what is written


def test_a_table_shows_everybody_with_runs_or_the_reason() -> None:
    engine = Entrant(Contestant(ENGINE, "mynapoint run", ""), runs=[A_RUN])
    floor = Entrant(Contestant(FLOOR, "the floor", ""), runs=[replace(A_RUN, wall_s=2.0)])
    absent = Entrant(PEER, not_run="it | is not here")
    size = Size(10, 2, 1_000_000, [engine, absent, floor])
    lines = size.as_markdown("csv").splitlines()
    assert lines[0] == "## 10 rows of 2 people, csv, 1 MB"
    assert lines[4] == "| mynapoint run | 4.0 | 6.0 | 2.00 | 2.00 × |  | 1 |  |"
    assert lines[5] == "| plain Polars |  |  |  |  |  | 0 | not run: it \\| is not here |"
    assert lines[6] == "| the floor | 2.0 | 6.0 | 2.00 |  | 0.50 × | 1 | decides nothing |"


def test_a_cell_cannot_end_a_table() -> None:
    assert table(["a"], [["b|c\nd"]]) == "| a |\n| --- |\n| b\\|c d |\n"


def test_pictures_are_drawn_of_one_size_and_of_many(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    first, second = Spread(2.0, 1.0, 3.0), Spread(20.0, 10.0, 30.0)
    curve = [Point(10, first, first), Point(100, second, second)]
    assert draw_sizes(tmp_path / "many.svg", {"engine": curve, "nobody": []})
    assert draw_sizes(tmp_path / "one.svg", {"engine": curve[:1]})
    assert draw_nights(tmp_path / "nights.svg", [2, 3], {"time, s": [1.0, 2.0]})
    for name in ("many", "one", "nights"):
        assert "</svg>" in (tmp_path / f"{name}.svg").read_text(encoding="utf-8")


def test_sizes_come_in_order_with_their_people() -> None:
    assert compare.parsed(["--rows", "2e6", "1000", "--people", "7", "5"]).sizes == [
        (1_000, 5),
        (2_000_000, 7),
    ]
    assert compare.parsed(["--rows", "10", "20", "--people", "7"]).sizes == [(10, 7), (20, 7)]
    for wrong in (
        ["--rows", "1", "2", "3", "--people", "1", "2"],
        ["--rows", "0", "--people", "1"],
    ):
        with pytest.raises(SystemExit):
            compare.parsed(wrong)


# -- the data


def test_nights_refund_repeat_and_contradict_earlier_nights() -> None:
    rows, in_a_night = 2_000_000, 20_000
    world = generate.World(rows, 50_000, 1, 0)
    number = np.arange(rows)
    role = world.role(number)
    again = np.flatnonzero((role >= generate.REFUNDING) & (role <= generate.CONFLICTING))
    original = world.originals(again, role[again])
    again, original = again[original >= 0], original[original >= 0]
    nights_back = again // in_a_night - original // in_a_night
    for what, share, furthest in (
        (generate.REFUNDING, 0.6, 30),
        (generate.REPEATED, 0.15, 3),
        (generate.CONFLICTING, 0.1, 2),
    ):
        nights_of_kind = nights_back[role[again] == what]
        assert (nights_of_kind > 0).mean() > share
        assert nights_of_kind.max() >= furthest


@pytest.mark.parametrize("enroll", ["first", "nightly"])
def test_a_night_alone_is_the_same_as_among_all(tmp_path: Path, enroll: str) -> None:
    write = partial(generate.generate, rows=2_000, people=300, seed=1, nights=4, enroll=enroll)
    write(tmp_path / "all")
    for night in range(1, 5):
        _, *files = write(tmp_path / "one", night=night)
        assert {file.parent.name for file in files} == {f"night-{night:03}"}
    written = {
        place: {p.relative_to(tmp_path / place): p.read_bytes() for p in files if p.is_file()}
        for place in ("all", "one")
        for files in [sorted((tmp_path / place).rglob("*"))]
    }
    assert written["all"] == written["one"]
    assert len(written["all"]) > 5


# -- the whole


def test_the_engine_its_peers_and_the_floor_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--rows", "20000", "--people", "3000", "--runs", "1", "--peers", "duckdb,polars"]
    assert compare.main([*given, "--results", str(tmp_path)]) == 0
    content = json.loads((tmp_path / "compare-parquet.json").read_text(encoding="utf-8"))
    engine, duckdb, polars, floor = content["sizes"][0]["contestants"]
    assert engine["found"] == duckdb["found"] == polars["found"]
    assert engine["found"]["points_net"] > 0
    assert len(engine["runs"]) == len(floor["runs"]) == 1
    assert "| DuckDB SQL |" in (tmp_path / "compare-parquet.md").read_text(encoding="utf-8")
    assert "DuckDB SQL" in capsys.readouterr().out


def test_nights_go_on_where_they_were_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept" / "nights.json"
    given = ["--nights", "2", "--rows", "500", "--people", "300", "--enroll", "nightly"]
    given += ["--results", str(tmp_path), "--keep", str(kept.parent)]
    assert nights.main(given) == 0
    content = json.loads(kept.read_text(encoding="utf-8"))
    assert [night["counts"]["read"] for night in content["nights"]] == [500, 500]

    content["nights"].pop()
    kept.write_text(json.dumps(content), encoding="utf-8")
    assert nights.main(given) == 0
    resumed = json.loads((tmp_path / "nights-2-of-500.json").read_text(encoding="utf-8"))
    assert [night["wall_s"] is None for night in resumed["nights"]] == [False, True]
    assert nights.main([*given, "--seed", "2"]) == 1
    assert "a book of other nights" in capsys.readouterr().err


def test_what_waits_is_booked_by_the_night_that_lets_its_people_in(tmp_path: Path) -> None:
    given = ["--waiting", "4000", "--enrolled", "100", "--rows", "500", "--people", "300"]
    assert waiting.main([*given, "--nights", "1", "--results", str(tmp_path)]) == 0
    text = (tmp_path / "waiting-4000-enrolled-100.json").read_text(encoding="utf-8")
    found, without = json.loads(text)["counts"].values()
    assert found["enrollments"] == without["enrollments"]
    assert found["reconsidered"] >= found["booked"] - without["booked"] > 300
    assert without["reconsidered"] == 0


@pytest.mark.slow
def test_a_soak_of_a_few_nights_loses_nothing_and_says_what_a_night_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "NIGHTS_A_MONTH", 9)
    # What a soak puts in its place is taken out again.
    monkeypatch.setattr(durable, "before_operation", durable.before_operation)
    options = Namespace(nights=3, rows=60, people=40, seed=1)
    value = soak.soak(tmp_path, options, lambda _: None)
    assert soak.is_proven(value)
    assert [night["killed"] for night in value["nights"]] == [False, True, False]
    assert "| 1 | 3 |" in soak.page(value, options)
    assert not soak.is_proven(value | {"findings": {"lost": 1}})
    # A transaction that is in no table is found to be lost.
    world = soak.World(tmp_path / "other", 1, 1, Random(1))
    world.readable["coin", "C999"] = {}
    assert soak.findings(tmp_path / "book", world, tmp_path / "scratch")["lost"] == 1
