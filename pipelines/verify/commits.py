"""The ledger's log: one commit a run, and nothing in it but what the run's record says."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from engine.io.book.format import LEDGER_ENTRY, LEDGER_FOLDER
from engine.io.book.ledger import (
    CONFIGURATION,
    DESCRIPTION,
    NAME,
    PROTOCOL,
    delta_schema,
    mended_metadata,
)
from engine.io.book.log import APPLICATION, foreign_maker, run_id
from engine.io.book.run_record import Output, RunRecord
from engine.io.durable import sha256_of
from pipelines.verify.findings import NEVER_TWICE, NO_CHANGED_BYTE, REMARK, WHOLE_RUNS, Finding
from pipelines.verify.shape import COUNT, TEXT, Matches, Optionally, differences

_NAME: Final = re.compile(r"[0-9]{20}\.json")
# A commit follows its record at once, unless a clock is set in between.
_DAY_SECONDS: Final = 86_400
Action = tuple[str, Any]


class Commits:
    """The commits of a book, by its runs' numbers."""

    def __init__(self, log: Path) -> None:
        self.log = log
        found = log.iterdir() if log.is_dir() else ()
        self.names = sorted(file.name for file in found if _NAME.fullmatch(file.name))
        self.last = int(self.names[-1][:20]) + 1 if self.names else 0
        self.foreign: list[Finding] = []
        while self.last and (finding := self._foreign(self.last)):
            self.foreign.append(finding)
            self.last -= 1

    def _foreign(self, number: int) -> Finding | None:
        path = self.log / f"{number - 1:020}.json"
        try:
            maker = foreign_maker([dict([action]) for action in _actions(path.read_text("utf-8"))])
        except (OSError, ValueError):
            return None
        if maker is None:
            return None
        where = f"ledger/_delta_log/{path.name}"
        return Finding("foreign", NO_CHANGED_BYTE, where, of_another_program(maker))

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
            if not _is_of_its_time(record, info):
                what = "the commit's time is not that of its run: more than a day lies between"
                yield Finding("time", NO_CHANGED_BYTE, where, what, severity=REMARK)

    def _differences(
        self,
        number: int,
        record: RunRecord,
        actions: list[Action],
        people: Mapping[str, tuple[str, str]],
    ) -> Iterator[str]:
        outputs = record.ledger_files
        values = dict(actions)
        mends = number > 1 and "metaData" in values
        names = ["commitInfo", *(["protocol", "metaData"] if number == 1 else [])]
        names += [*(["metaData"] if mends else []), *["add"] * len(outputs), "txn"]
        if [name for name, _ in actions] != names:
            yield "the commit's actions are not those of a run with this record's ledger files"
            return
        info = values["commitInfo"]
        by_delta_rs = isinstance(info, dict) and str(info.get("engineInfo")).startswith("delta-rs:")
        expected = _by_delta_rs(number, record, values) if by_delta_rs else _info(number, record)
        yield from differences(expected, info, "commitInfo")
        yield from differences({"appId": APPLICATION, "version": number}, values["txn"], "txn")
        if number == 1:
            yield from differences(PROTOCOL, _in_order(values["protocol"]), "protocol")
            yield from _metadata_differences(values)
        if mends:
            mended = mended_metadata(self._metadata_before(number))
            if mended is None or values["metaData"] != mended:
                yield "the commit changes the table's metadata"
        now = info.get("timestamp") if isinstance(info, dict) else None
        adds = [value for name, value in actions if name == "add"]
        for output, add in zip(outputs, adds, strict=True):
            made = COUNT if by_delta_rs else now
            yield from differences(
                _add(output, people, made, by_delta_rs=by_delta_rs), add, f"add of {output.name}"
            )

    def _metadata_before(self, number: int) -> object:
        for version in range(number - 2, -1, -1):
            try:
                actions = dict(_actions((self.log / f"{version:020}.json").read_text("utf-8")))
            except (OSError, ValueError):
                return None
            if "metaData" in actions:
                return actions["metaData"]
        return None

    def _successor_differs(self, number: int) -> bool:
        """Whether the next commit was made after another commit than this one."""
        path, after = (self.log / f"{version:020}.json" for version in (number - 1, number))
        try:
            info = dict(_actions(after.read_text(encoding="utf-8")))["commitInfo"]
            return bool(info["previous_commit_sha256"] != sha256_of(path))
        except (OSError, ValueError, LookupError, TypeError):
            # There is none, or its own check says so.
            return False


def of_another_program(maker: str) -> str:
    """What is said of a commit that no run has made."""
    return (
        f"this commit was made by {maker}, not by a run; docs/reliability.md, 'Other "
        "programs', says how to undo it"
    )


def _is_of_its_time(record: RunRecord, info: object) -> bool:
    """Whether a run was committed when it was made; formats without such times do not say."""
    made = info.get("timestamp") if isinstance(info, dict) else None
    if record.ran is None or type(made) is not int:
        return True
    seconds = made / 1000 - record.ran.finished_at.timestamp()
    return abs(seconds) < _DAY_SECONDS


def _info(number: int, record: RunRecord) -> dict[str, Any]:
    is_first = number == 1
    info: dict[str, Any] = {
        "timestamp": COUNT,
        "operation": "CREATE TABLE" if is_first else "WRITE",
        "operationParameters": {"mode": "ErrorIfExists" if is_first else "Append"},
        "isBlindAppend": True,
        "engineInfo": f"{APPLICATION}/{record.engine.get(APPLICATION)}",
        "run_id": run_id(number),
        "record_sha256": Optionally(TEXT),
    }
    return info if is_first else info | {"previous_commit_sha256": TEXT}


def _by_delta_rs(number: int, record: RunRecord, values: Mapping[str, Any]) -> dict[str, Any]:
    """What earlier versions had delta-rs say of a commit."""
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


def _actions(text: str) -> list[Action]:
    """The actions of a commit, in order.

    Raises:
        ValueError: the text is not a commit.
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
        name: sorted(item)
        if isinstance(item, list) and all(isinstance(w, str) for w in item)
        else item
        for name, item in value.items()
    }


def _is_schema(text: object) -> bool:
    """Whether this is the schema of a format; earlier versions said NOT NULL there, too."""
    return any(
        text == delta_schema(entry, nullable=nullable)
        for entry in LEDGER_ENTRY.values()
        for nullable in (True, False)
    )


def _metadata_differences(values: Mapping[str, Any]) -> Iterator[str]:
    expected = {
        "id": TEXT,
        "name": NAME,
        "description": DESCRIPTION,
        "format": {"provider": "parquet", "options": {}},
        "schemaString": Matches(_is_schema),
        "partitionColumns": [],
        "createdTime": COUNT,
        "configuration": CONFIGURATION,
    }
    yield from differences(expected, values["metaData"], "metaData")


def _add(
    output: Output,
    people: Mapping[str, tuple[str, str]],
    made: object,
    *,
    by_delta_rs: bool,
) -> dict[str, Any]:
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
    add = {
        "path": name,
        "partitionValues": {},
        "size": output.bytes,
        "modificationTime": made,
        "dataChange": True,
        "stats": stats,
    }
    unset = ("tags", "baseRowId", "defaultRowCommitVersion", "clusteringProvider")
    return add | dict.fromkeys(unset if by_delta_rs else ())
