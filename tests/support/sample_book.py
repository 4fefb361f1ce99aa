"""Books for those who read them: the sample's nights, and one whose names are hostile."""

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

from deliveries import SAMPLE, TRANSACTION_COLUMNS, Desk, as_csv, enrollment, transaction

import mynapoint

HOSTILE = (
    '=HYPERLINK("http://example.jp";"x")',
    "+1+1",
    "-1+1",
    "@SUM(1+1)",
    "<script>document.title='taken'</script>",
    "<img src=x onerror=\"document.title='taken'\">",
    "{{ 7 * 7 }} {% raw %}",
)


def sample_nights() -> list[tuple[Path, dt.date]]:
    """The sample's folders, each with the day that it was booked on."""
    rows = re.findall(
        r"^\| `(night-\d+)` \| ([0-9-]+) ", (SAMPLE / "README.md").read_text("utf-8"), re.MULTILINE
    )
    return [(SAMPLE / folder, dt.date.fromisoformat(day)) for folder, day in rows]


def booked_sample(book: Path, nights: int | None = None, **options: Any) -> Path:
    """Books the sample's nights, or the first of them, one run each."""
    for folder, day in sample_nights()[:nights]:
        mynapoint.run(
            book,
            booked_on=day,
            transactions=[str(folder / "transactions-*")],
            enrollments=[folder / "enrollments.csv"],
            events=sorted(folder.glob("events.csv")),
            **options,
        )
    return book


def hostile_book(folder: Path) -> Path:
    """A book whose services and files have names that want to be more than names."""
    desk = Desk(folder)
    services = "".join(
        f'[[services]]\nservice_id = "s{n}"\nname = {json.dumps(name)}\nbasis = "purchase"\n'
        for n, name in enumerate(HOSTILE)
    )
    desk.write("services.toml", services)
    people = [enrollment(n, service_id=f"s{n}") for n in range(len(HOSTILE))]
    desk.write("enrollments.csv", as_csv(people))
    files = []
    for n, name in enumerate(HOSTILE):
        account = {"service_id": f"s{n}", "account_id": f"A{n}"}
        rows = [transaction(n, **account), transaction(n + 100, **account, amount="x")]
        # A slash makes a folder of what stands before it.
        path = desk.write(f"{name.replace('/', '／')}.csv", as_csv(rows, TRANSACTION_COLUMNS))
        files.append(path)
    desk.run(*files)
    return desk.book
