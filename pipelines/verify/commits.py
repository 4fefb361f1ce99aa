"""The ledger's log: one commit a run, and nothing in it but what the run's record says."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from deltalake import Schema

from engine.io.book.folder import run_id
from engine.io.book.format import LEDGER_ENTRY, LEDGER_FOLDER
from engine.io.book.ledger import APPLICATION, CONFIGURATION, DESCRIPTION, NAME
from engine.io.book.run_record import Output, RunRecord
from engine.io.durable import sha256_of
from engine.records import Record, arrow_schema
from pipelines.verify.findings import NEVER_TWICE, NO_CHANGED_BYTE, WHOLE_RUNS, Finding
from pipelines.verify.shape import COUNT, TEXT, Matches, Optionally, differences

_NAME: Final = re.compile(r"[0-9]{20}\.json")
_PROTOCOL: Final = {
    "minReaderVersion": 3,
    "minWriterVersion": 7,
    "readerFeatures": ["timestampNtz"],
    "writerFeatures": ["appendOnly", "timestampNtz"],
}
_LONGEST_RUN_MS: Final = 7 * 24 * 3600 * 1000

Action = tuple[str, Any]


class Commits:
    """The commits of a book, by its runs' numbers."""

    def __init__(self, log: Path) -> None:
        self.log = log
        found = log.iterdir() if log.is_dir() else ()
        self.names = sorted(file.name for file in found if _NAME.fullmatch(file.name))
        self.last = int(self.names[-1][:20]) + 1 if self.names else 0

    def check(
        self,
        number: int,
        record: RunRecord | None = None,
        record_sha256: str | None = None,
        people: Mapping[str, tuple[str, str]] = MappingProxyType({}),
    ) -> Iterator[Finding]:
        """What is wrong with a run's commit.

        Args:
            number: the run's.
            record: the run's, if it can be read.
            record_sha256: of the record's file, if there is one.
            people: by ledger file, the first and the last person in it.
        """
        path = self.log / f"{number - 1:020}.json"
        where = f"ledger/_delta_log/{path.name}"
        if path.name not in self.names:
            what = f"the commit of run {run_id(number)} is missing from the log"
            yield Finding("missing", WHOLE_RUNS, where, what)
            return
        if self._successor_differs(number):
            after = f"{number:020}.json"
            what = f"the next commit, {after}, was made after another commit than this one"
            yield Finding("changed", NO_CHANGED_BYTE, where, what)
        try:
            text = path.read_text(encoding="utf-8")
            actions = _actions(text)
        except (OSError, ValueError):
            yield Finding("changed", NO_CHANGED_BYTE, where, "the commit cannot be read")
            return
        if "\n".join(_written(dict([action])) for action in actions) != text:
            what = "the commit is not written as a commit of a run is"
            yield Finding("changed", NO_CHANGED_BYTE, where, what)
        for name, _ in actions:
            if name == "remove":
                what = "the commit removes a file of the append-only ledger"
                yield Finding("removed", NEVER_TWICE, where, what)
        info = dict(actions).get("commitInfo")
        if not isinstance(info, dict) or info.get("record_sha256") != record_sha256:
            what = f"the commit is of another record than runs/{run_id(number)}/record.json"
            yield Finding("record", NO_CHANGED_BYTE, f"runs/{run_id(number)}/record.json", what)
        if record is not None:
            for what in self._differences(number, record, actions, people):
                yield Finding("changed", NO_CHANGED_BYTE, where, what)

    def _differences(
        self,
        number: int,
        record: RunRecord,
        actions: list[Action],
        people: Mapping[str, tuple[str, str]],
    ) -> Iterator[str]:
        outputs = record.ledger_files
        names = ["commitInfo", *(["protocol", "metaData"] if number == 1 else [])]
        names += ["add"] * len(outputs) + ["txn"]
        if [name for name, _ in actions] != names:
            yield "the commit's actions are not those of a run with this record's ledger files"
            return
        values = dict(actions)
        info = values["commitInfo"]
        yield from differences(self._info(number, record, values), info, "commitInfo")
        yield from differences({"appId": APPLICATION, "version": number}, values["txn"], "txn")
        if number == 1:
            yield from differences(_PROTOCOL, _in_order(values["protocol"]), "protocol")
            yield from _metadata_differences(values, LEDGER_ENTRY[record.format])
        now = info.get("timestamp") if isinstance(info, dict) else None
        adds = [value for name, value in actions if name == "add"]
        for output, add in zip(outputs, adds, strict=True):
            yield from differences(_add(output, people), add, f"add of {output.name}")
            if not _about(now, add.get("modificationTime") if isinstance(add, dict) else None):
                yield f"add of {output.name}.modificationTime is not about the commit's time"

    def _info(self, number: int, record: RunRecord, values: Mapping[str, Any]) -> dict[str, Any]:
        version = record.engine.get("deltalake")
        info: dict[str, Any] = {
            "timestamp": COUNT,
            "engineInfo": f"delta-rs:py-{version}",
            "clientVersion": f"delta-rs.py-{version}",
            "run_id": run_id(number),
            "record_sha256": Optionally(TEXT),
        }
        if number == 1:
            parameters = {
                "mode": "ErrorIfExists",
                # A book may be moved: where it was made is not to be known.
                "location": TEXT,
                "protocol": Matches(lambda text: _says(text, values["protocol"])),
                "metadata": Matches(lambda text: _says(text, values["metaData"])),
            }
            return info | {"operation": "CREATE TABLE", "operationParameters": parameters}
        return info | {
            "operation": "WRITE",
            "operationParameters": {"mode": "Append", "partitionBy": "[]"},
            "previous_commit_sha256": TEXT,
        }

    def _successor_differs(self, number: int) -> bool:
        """Whether the next commit was made after another commit than this one."""
        path, after = (self.log / f"{version:020}.json" for version in (number - 1, number))
        try:
            info = dict(_actions(after.read_text(encoding="utf-8")))["commitInfo"]
            return bool(info["previous_commit_sha256"] != sha256_of(path))
        except (OSError, ValueError, LookupError, TypeError):
            # There is none, or its own check says so.
            return False


def _actions(text: str) -> list[Action]:
    """The actions of a commit, in order.

    Raises:
        ValueError: the text is no commit.
    """
    actions: list[Action] = []
    for line in text.split("\n"):
        action = json.loads(line)
        if not isinstance(action, dict) or len(action) != 1:
            raise ValueError(line)
        actions += action.items()
    return actions


def _written(value: Any) -> str:  # noqa: ANN401 - JSON
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _says(text: object, value: object) -> bool:
    """Whether a JSON text within the JSON says the same again."""
    try:
        return isinstance(text, str) and bool(_in_order(json.loads(text)) == _in_order(value))
    except ValueError:
        return False


def _in_order(value: Any) -> Any:  # noqa: ANN401 - JSON
    """An object with its lists of words sorted: delta-rs writes features in any order."""
    if not isinstance(value, dict):
        return value
    return {
        name: sorted(one) if isinstance(one, list) and all(isinstance(w, str) for w in one) else one
        for name, one in value.items()
    }


def _metadata_differences(values: Mapping[str, Any], entry: Record) -> Iterator[str]:
    expected = {
        "id": TEXT,
        "name": NAME,
        "description": DESCRIPTION,
        "format": {"provider": "parquet", "options": {}},
        "schemaString": Schema.from_arrow(arrow_schema(entry)).to_json(),
        "partitionColumns": [],
        "createdTime": COUNT,
        "configuration": CONFIGURATION,
    }
    yield from differences(expected, values["metaData"], "metaData")


def _add(output: Output, people: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    name = output.name.removeprefix(LEDGER_FOLDER)
    stats: Any = TEXT
    if output.name in people:
        first, last = people[output.name]
        stats = json.dumps(
            {
                "numRecords": output.rows,
                "minValues": {"run_id": name[:-14], "person_id": first},
                "maxValues": {"run_id": name[:-14], "person_id": last},
                "nullCount": {"run_id": 0, "person_id": 0},
            },
            ensure_ascii=False,
        )
    return {
        "path": name,
        "partitionValues": {},
        "size": output.bytes,
        "modificationTime": COUNT,
        "dataChange": True,
        "stats": stats,
        "tags": None,
        "baseRowId": None,
        "defaultRowCommitVersion": None,
        "clusteringProvider": None,
    }


def _about(one: object, other: object) -> bool:
    if not isinstance(one, int) or not isinstance(other, int):
        return False
    return abs(one - other) <= _LONGEST_RUN_MS
