"""OpenLineage events of a run: what went in and what came out, of nobody, and never in the way."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from deliveries import Desk, sha256, transaction

import mynapoint
from pipelines.cli import call
from pipelines.run import lineage

LAYOUT = """
layout_id = "passbook"
name = "passbook"
role = "transactions"
follows = "assumed: a test's"
[file]
encoding = "utf-8"
header = ["number", "at", "yen"]
[parameters.account_id]
asks = "whose passbook it is"
form = "id"
[columns]
service_id = { constant = "coin" }
account_id = { from = "account_id" }
transaction_id = { from = "number" }
occurred_at = { from = "at", forms = ["YYYY-MM-DD HH:mm:ss"] }
kind = { constant = "purchase" }
amount = { from = "yen" }
"""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def event_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that OpenLineage's own variables name."""
    transport = {"TYPE": "file", "LOG_FILE_PATH": str(tmp_path / "told.json"), "APPEND": "true"}
    for name, value in transport.items():
        monkeypatch.setenv(f"OPENLINEAGE__TRANSPORT__{name}", value)
    return tmp_path / "told.json"


def events(event_file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in event_file.read_text(encoding="utf-8").splitlines()]


def run(desk: Desk, *words: str | Path) -> int:
    enrollments = ("--enrollments", str(desk.enrollments), "--services", str(desk.services))
    night = ("run", str(desk.book), "--booked-on", "2020-09-30", *enrollments)
    try:
        return call([*night, *map(str, words), "--quiet"])
    except mynapoint.MynapointError as error:
        return error.exit_code


def test_a_run_says_what_went_in_and_what_the_ledger_got(desk: Desk, event_file: Path) -> None:
    delivery = desk.transactions([transaction(1), transaction(2)])
    assert run(desk, "--transactions", delivery) == 0
    start, complete = events(event_file)
    assert [start["eventType"], complete["eventType"]] == ["START", "COMPLETE"]
    assert start["run"]["runId"] == complete["run"]["runId"]
    assert complete["job"] == start["job"]
    assert complete["run"]["facets"]["nominalTime"]["nominalStartTime"].startswith("2020-09-30")
    read = {data["name"]: data for data in complete["inputs"]}[str(delivery)]
    assert read["namespace"] == "file"
    assert read["facets"]["version"]["datasetVersion"] == f"sha256:{sha256(delivery.read_bytes())}"
    statistics = read["inputFacets"]["inputStatistics"]
    assert (statistics["rowCount"], statistics["size"]) == (2, delivery.stat().st_size)
    [ledger] = complete["outputs"]
    assert ledger["name"] == str(desk.book / "ledger")
    written = ledger["outputFacets"]["outputStatistics"]
    [file] = (desk.book / "ledger").glob("*.parquet")
    assert (written["rowCount"], written["size"], written["fileCount"]) == (
        *(2, file.stat().st_size, 1),
    )


def test_a_run_that_was_booked_before_writes_nothing_and_a_dry_run_says_nothing(
    desk: Desk, event_file: Path
) -> None:
    delivery = desk.transactions([transaction(1)])
    assert run(desk, "--transactions", delivery) == 0
    assert run(desk, "--transactions", delivery) == 0
    again = events(event_file)[-1]
    assert again["eventType"] == "COMPLETE"
    assert again["outputs"][0]["outputFacets"] == {}
    assert run(desk, "--transactions", delivery, "--dry-run") == 0
    assert len(events(event_file)) == 4


def test_a_run_that_fails_says_by_which_error_code(desk: Desk, event_file: Path) -> None:
    assert run(desk, "--transactions", desk.folder / "none.csv") == 2
    _, fail = events(event_file)
    assert fail["eventType"] == "FAIL"
    assert fail["run"]["facets"]["errorMessage"]["message"] == "unusable_input"
    assert "none.csv" not in event_file.read_text()


def test_nothing_of_people_is_said_not_even_by_the_name_of_a_file(
    desk: Desk, event_file: Path
) -> None:
    layout = desk.write("passbook.toml", LAYOUT)
    statement = desk.write(
        "statement-A1-202009.csv", "number,at,yen\nN-77,2020-09-20 10:00:00,400\n"
    )
    options = ("--layout", layout, "--set", "account_id=A1", "--transactions", statement)
    assert run(desk, *options) == 0
    text = event_file.read_text(encoding="utf-8")
    assert "/statement-…-202009.csv" in json.loads(text.splitlines()[1])["inputs"][1]["name"]
    for of_people in ("A1", "P1", "N-77"):
        assert of_people not in text.replace(str(desk.folder), "")


class Backend(HTTPServer):
    """Takes events, or does not."""

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = status
        self.events: list[dict[str, Any]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Backend

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.events.append(json.loads(body))
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()


@pytest.fixture(params=[201, 403])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    with Backend(request.param) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        url = f"http://user:secret@127.0.0.1:{server.server_port}"
        monkeypatch.setenv("OPENLINEAGE__TRANSPORT", json.dumps({"type": "http", "url": url}))
        yield server
        server.shutdown()


def test_events_go_to_a_backend_and_one_that_refuses_changes_nothing(
    desk: Desk, backend: Backend, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(desk, "--transactions", desk.transactions([transaction(1)])) == 0
    assert [event["eventType"] for event in backend.events] == ["START", "COMPLETE"]
    said = [line for line in capsys.readouterr().err.splitlines() if "OpenLineage" in line]
    assert len(said) == (backend.status == 403)
    assert not any("secret" in line for line in said)


def test_a_backend_that_does_not_answer_holds_no_night_up(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lineage, "_LONGEST_WAIT_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        transport = {"type": "http", "url": url, "timeout": 600, "retry": {"total": 0}}
        monkeypatch.setenv("OPENLINEAGE__TRANSPORT", json.dumps(transport))
        assert run(desk, "--transactions", desk.transactions([transaction(1)])) == 0
    for thread in threading.enumerate():
        if thread.name == "openlineage":
            thread.join()
    [line] = [line for line in capsys.readouterr().err.splitlines() if "OpenLineage" in line]
    assert line == "warning: OpenLineage was not told: no answer within 0.05 seconds"
    assert desk.booked() == ["T1"]


@pytest.mark.parametrize("what", ["without the library", "a wrong configuration"])
def test_what_is_wrong_with_it_is_one_line_and_the_run_is_booked(
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    what: str,
) -> None:
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "pigeon")
    if what == "without the library":
        monkeypatch.setattr("engine.extras._can_be_imported", lambda _module: False)
    assert run(desk, "--transactions", desk.transactions([transaction(1)])) == 0
    [line] = [line for line in capsys.readouterr().err.splitlines() if "OpenLineage" in line]
    assert line.startswith("warning: OpenLineage was not told: ")
    assert ("extra: lineage" in line) == (what == "without the library")
    assert desk.booked() == ["T1"]
