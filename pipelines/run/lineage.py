"""An attempt as OpenLineage's events, sent where its own environment variables say.

``START``, then ``COMPLETE`` or ``FAIL``: which files went in, by name and sha256, and what the
ledger got. Nothing of people is in it, and nothing that goes wrong with it is an error of the run.
The first event is sent while the run is under way, and at its end no backend is waited for longer
than some seconds: a client tries an address where nobody answers again and again.
"""

import datetime as dt
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from engine.extras import require_extra
from engine.io.book.run_record import Input, RunRecord
from engine.io.object_store import StoreUrl, is_store_url
from engine.io.run.changes import JAPAN
from engine.io.run.one_run import RunResult
from engine.io.versions import version_of
from engine.layouts.parameters import DIGEST_PREFIX, digest_of

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import InputDataset, OutputDataset

_NAMES: Final = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG")
_PREFIX: Final = "OPENLINEAGE__"
_LONGEST_WAIT_SECONDS: Final = 10.0
_USER_IN_URL: Final = re.compile(r"//[^/@\s]*@")
_LONGEST_REASON: Final = 200


class Lineage:
    """Tells of one attempt to book a night, if anybody is to be told."""

    def __init__(self, book: Path, attempt: str, booked_on: dt.date, *, dry_run: bool) -> None:
        self._book, self._run_id, self._booked_on = book, str(UUID(attempt)), booked_on
        self._client: OpenLineageClient | None = None
        self._is_on = not dry_run and _is_configured()
        self._beginning: threading.Thread | None = None

    def begin(self) -> None:
        """Tells that the attempt begins, and does not wait for an answer."""
        if self._is_on:
            self._beginning = _started(self._tell_of_beginning)

    def end(self, result: RunResult | None, code: str | None) -> None:
        """Tells what the attempt booked; without a result, by which error code it failed.

        Waits for all answers, but not for longer than some seconds.
        """
        if not self._is_on:
            return
        failures: list[str] = []
        ending = _started(lambda: failures.extend(self._tell_of_end(result, code)))
        ending.join(_LONGEST_WAIT_SECONDS)
        if ending.is_alive():
            failures = [f"no answer within {_LONGEST_WAIT_SECONDS:g} seconds"]
        for failure in failures:
            with suppress(Exception):
                sys.stderr.write(f"warning: OpenLineage was not told: {failure}\n")

    def _tell_of_beginning(self) -> None:
        # The end is sent all the same; if it cannot be, one warning is enough.
        with suppress(Exception):
            self._emit("START", None, None)

    def _tell_of_end(self, result: RunResult | None, code: str | None) -> list[str]:
        """Why it could not be told, if so."""
        if self._beginning is not None:
            self._beginning.join()
        failures = []
        try:
            self._emit("FAIL" if result is None else "COMPLETE", result, code)
        except Exception as error:  # noqa: BLE001 - whatever a transport fails with
            why = _USER_IN_URL.sub("//", f"{type(error).__name__}: {error}".partition("\n")[0])
            failures.append(why[:_LONGEST_REASON])
        with suppress(Exception):
            if self._client is not None:
                self._client.close(_LONGEST_WAIT_SECONDS)
        return failures

    def _emit(self, state: str, result: RunResult | None, code: str | None) -> None:
        require_extra("OPENLINEAGE_…", "lineage", "openlineage")
        # Its own messages are for whoever configures logging.
        logging.getLogger("openlineage").addHandler(logging.NullHandler())
        from openlineage.client import OpenLineageClient
        from openlineage.client.event_v2 import Job, Run, RunEvent, RunState, set_producer
        from openlineage.client.facet_v2 import error_message_run, nominal_time_run

        producer = f"urn:python:mynapoint:{version_of('mynapoint')}"
        set_producer(producer)
        if self._client is None:
            self._client = OpenLineageClient()
        day = dt.datetime.combine(self._booked_on, dt.time(), JAPAN)
        facets: dict[str, Any] = {
            "nominalTime": nominal_time_run.NominalTimeRunFacet(day.isoformat())
        }
        if code is not None:
            # The code alone: an error's line names files, and a file's name may say whose it is.
            facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(code, "Python")
        self._client.emit(
            RunEvent(
                eventType=RunState[state],
                eventTime=dt.datetime.now(dt.UTC).isoformat(),
                run=Run(self._run_id, facets),
                job=Job("mynapoint", f"run {self._book}"),
                producer=producer,
                inputs=[] if result is None else _inputs(result.record),
                outputs=[_output(self._book, result)],
            )
        )


def _started(tell: Callable[[], None]) -> threading.Thread:
    """A thread that does not keep the process from ending."""
    thread = threading.Thread(target=tell, name="openlineage", daemon=True)
    thread.start()
    return thread


def _is_configured() -> bool:
    if os.environ.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return False
    return any(name in _NAMES or name.startswith(_PREFIX) for name in os.environ)


def _inputs(record: RunRecord) -> "list[InputDataset]":
    from openlineage.client.event_v2 import InputDataset
    from openlineage.client.facet_v2 import (
        dataset_version_dataset,
        input_statistics_input_dataset,
    )

    return [
        InputDataset(
            *_named(_without_ids(read)),
            facets={
                "version": dataset_version_dataset.DatasetVersionDatasetFacet(
                    f"sha256:{read.sha256}"
                )
            },
            inputFacets={
                "inputStatistics": input_statistics_input_dataset.InputStatisticsInputDatasetFacet(
                    rowCount=read.rows, size=read.bytes, fileCount=1
                )
            },
        )
        for read in record.inputs
    ]


def _output(book: Path, result: RunResult | None) -> "OutputDataset":
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import (
        dataset_version_dataset,
        output_statistics_output_dataset,
    )

    facets: dict[str, Any] = {}
    statistics: dict[str, Any] = {}
    if result is not None:
        version = str(result.record.ledger_version)
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(version)
    if result is not None and not result.already_booked:
        files = result.record.ledger_files
        statistics["outputStatistics"] = (
            output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                rowCount=sum(file.rows or 0 for file in files),
                size=sum(file.bytes for file in files),
                fileCount=len(files),
            )
        )
    return OutputDataset("file", str(book / "ledger"), facets=facets, outputFacets=statistics)


def _named(name: str) -> tuple[str, str]:
    """A file's namespace and name, as OpenLineage has them."""
    if is_store_url(name):
        url = StoreUrl.of(name)
        return f"{url.scheme}://{url.bucket}", url.key
    return "file", str(Path(name).absolute())


def _without_ids(read: Input) -> str:
    """A file's name without the IDs that were set for its layout; the record has their digests."""
    parameters = {} if read.layout is None else read.layout.parameters
    digests = {value for value in parameters.values() if value.startswith(DIGEST_PREFIX)}
    name = read.name
    for part in _parts(name) if digests else ():
        if digest_of(part) in digests:
            name = name.replace(part, "…")
    return name


def _parts(name: str) -> Sequence[str]:
    """All that stands in a name, the longest first."""
    lengths = range(len(name), 0, -1)
    return [name[at : at + length] for length in lengths for at in range(len(name) - length + 1)]
