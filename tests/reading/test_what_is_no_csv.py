"""What is delivered in the place of a CSV file is named for what it is."""

import datetime as dt
import errno
import io
import os
import zipfile
from pathlib import Path

import pytest
from command_line import in_this_process
from test_ends_of_files import LAID_OUT, LAYOUT

import mynapoint
from engine.errors import InputError

TEXT = LAID_OUT


def packed(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, TEXT)
    return file.getvalue()


KINDS = {
    "zip": (packed("october.csv", "november.csv"), "this is a ZIP archive with 2 files"),
    "no workbook": (
        packed("[Content_Types].xml", "xl/workbook.xml"),
        "the Excel workbook cannot be read",
    ),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), "this is an old Excel workbook"),
    "pdf": (b"%PDF-1.7\n", "this is a PDF"),
    "page": (b"\n<!DOCTYPE html><html>sign in</html>", "this is a web page"),
    "json": (b'{"rows": []}', "this is JSON"),
    "utf-16 without a mark": (TEXT.encode("utf-16-le"), "this is UTF-16 text"),
    "utf-16 the other way": (TEXT.encode("utf-16-be"), "this is UTF-16 text"),
}


def refused(arguments: list[str], why: str) -> None:
    done = in_this_process(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    error, hint = done.stderr.splitlines()
    assert why in error
    assert hint.startswith("hint: ")
    assert not error.endswith((" ", ":"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_kind_is_named_whoever_opens_it(kind: str, tmp_path: Path) -> None:
    content, why = KINDS[kind]
    path, layout = tmp_path / "delivered.csv", tmp_path / "own.toml"
    path.write_bytes(content)
    layout.write_text(LAYOUT)
    for arguments in (
        ["preview", str(path)],
        ["preview", str(path), "--layout", str(layout)],
        ["layout", "new", str(path)],
    ):
        refused(arguments, f"{path}: {why}")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "the file is empty"),
        ("\r\n\r\n", "the file is empty"),
        (TEXT.replace(",", "\t"), "the columns are separated by tabs"),
        (TEXT.replace(",", ";"), "the columns are separated by semicolons"),
        ('"ご利用明細\r\n' + TEXT, "a quotation mark ahead of it is not closed"),
        (TEXT.replace("金額", "ご請求"), "the nearest lacks 金額"),
    ],
)
def test_a_text_that_a_layout_cannot_read_is_refused_with_the_cause(
    content: str, why: str, tmp_path: Path
) -> None:
    path, layout = tmp_path / "delivered.csv", tmp_path / "own.toml"
    path.write_bytes(content.encode("cp932"))
    layout.write_text(LAYOUT)
    refused(["preview", str(path), "--layout", str(layout)], f"{path}: ")
    refused(["preview", str(path), "--layout", str(layout)], why)


def test_a_file_that_the_disk_does_not_give_back_is_not_called_badly_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "transactions.csv"
    file.write_text("transaction_id\n")

    def failing(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "preadv", failing)
    with pytest.raises(InputError, match=r"transactions.csv: the file cannot be read") as caught:
        mynapoint.run(tmp_path / "book", booked_on=dt.date(2021, 10, 1), transactions=[file])
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("check the disk")
