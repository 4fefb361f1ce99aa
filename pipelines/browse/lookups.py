"""The log of look-ups: whose data was looked at, when and by which user of this machine."""

import datetime as dt
import json
import os
from pathlib import Path
from typing import Final

from engine.errors import InputError
from engine.io.users import user_name
from engine.paths import local_path
from pipelines.shown.result_files import check_outside_books

_OWNERS_FILE: Final = 0o600
_OWNERS_FOLDER: Final = 0o700


def default_log() -> Path:
    """Where look-ups are logged unless the command says otherwise."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state, "mynapoint", "lookups.jsonl").expanduser()


class LookupLog:
    """A file of JSON lines that only grows; a look-up is on the disk before its page is shown."""

    def __init__(self, path: Path, book: Path) -> None:
        """Opens the log.

        Raises:
            InputError: it is within a book, or cannot be written.
        """
        self.path = local_path(path)
        self._book = str(book.resolve())
        check_outside_books(self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=_OWNERS_FOLDER)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self.path, flags, _OWNERS_FILE)
        except OSError as error:
            raise InputError(
                f"{self.path}: look-ups cannot be logged there: {error.strerror}",
                hint="name a file that can be written to: --log FILE",
            ) from error

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)

    def note(self, page: str, **asked: object) -> None:
        """Writes down one look-up.

        Raises:
            OSError: it is not on the disk, so nothing may be shown.
        """
        line = {
            "at": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
            "user": user_name(),
            "book": self._book,
            "page": page,
            **asked,
        }
        os.write(self._descriptor, f"{json.dumps(line, ensure_ascii=False)}\n".encode())
        os.fsync(self._descriptor)
