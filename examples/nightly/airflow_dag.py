"""An Airflow DAG: each night is a run, and its record is the task's XCom.

The command runs in its own environment, as Airflow's and the engine's libraries need not agree.
What cannot be booked fails at once; where the book is in use, Airflow tries again.
"""

import datetime as dt
import json
import subprocess
from typing import Any

from airflow.exceptions import AirflowException, AirflowFailException
from airflow.sdk import dag, task

MYNAPOINT = "/opt/mynapoint/bin/mynapoint"
BOOK = "/var/lib/mynapoint/book"
CONFIG = "/etc/mynapoint/mynapoint.toml"
BOOK_IN_USE_OR_DAMAGED = 3


@task(retries=4, retry_delay=dt.timedelta(minutes=15))
def book_the_night(ds: str = "") -> dict[str, Any]:
    """Books a night; gives its record."""
    command = [MYNAPOINT, "night", BOOK, "--booked-on", ds, "--config", CONFIG, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stderr)
    said: dict[str, Any] = json.loads(done.stdout)
    if done.returncode == BOOK_IN_USE_OR_DAMAGED:
        raise AirflowException(said["error"]["message"])
    if done.returncode:
        raise AirflowFailException(said["error"]["message"])
    return said


@dag(
    schedule="30 2 * * *",
    start_date=dt.datetime(2020, 9, 2, tzinfo=dt.timezone(dt.timedelta(hours=9))),
    catchup=False,
    max_active_runs=1,
)
def mynapoint_nights() -> None:
    """One run a night, one after the other."""
    book_the_night()


mynapoint_nights()
