"""The command's body: count the book, say where its pages are, answer until it is ended."""

import os
import shutil
import socket
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.errors import InputError
from engine.extras import require_extra
from pipelines.desk.opened_book import open_book
from pipelines.shown.errors import output_may_fail
from pipelines.shown.texts import Lang, Texts

if TYPE_CHECKING:
    from uvicorn import Server

    from pipelines.browse.guard import Guard

LOOPBACK: Final = "127.0.0.1"
_MOST_PORT: Final = 65_535


def browse(book: Path, *, port: int, log: Path | None, show_ids: bool, lang: Lang) -> int:
    """Serves a book's pages on the loopback interface until the command is interrupted.

    Raises:
        InputError: a library is missing, the port is taken, or look-ups cannot be logged.
        BookError: there is no book, or a file of it is damaged.
    """
    require_extra("browse", "browse", "starlette", "uvicorn", "jinja2")
    from pipelines.browse.app import application
    from pipelines.browse.asked import Browsed
    from pipelines.browse.calculations import Calculations
    from pipelines.browse.counts import count
    from pipelines.browse.guard import Guard, new_token
    from pipelines.browse.lookups import LookupLog, default_log
    from pipelines.browse.places import find_places

    opened, texts = open_book(book), Texts("browse", lang)
    lookups = LookupLog(log or default_log(), opened.book.path)
    listening = listening_on(port)
    bound = int(listening.getsockname()[1])
    token = new_token()
    with tempfile.TemporaryDirectory(prefix="mynapoint-browse-") as scratch:
        calculations = Calculations(Path(scratch))
        find_places(opened)
        browsed = Browsed(count(opened), lookups, lang, show_ids, calculations=calculations)
        with output_may_fail():
            sys.stdout.write(f"http://{LOOPBACK}:{bound}/{token}/\n")
            sys.stdout.flush()
        sys.stderr.write(f"{texts('serving', log=lookups.path)}\n")
        with suppress(KeyboardInterrupt):
            server(Guard(application(browsed), token, bound)).run([listening])
        lookups.close()
        if calculations.at_work:
            # An interpreter that ends under a thread within a library crashes, and waiting may
            # take minutes.
            shutil.rmtree(scratch, ignore_errors=True)
            sys.stderr.flush()
            os._exit(0)
    return 0


def listening_on(port: int) -> socket.socket:
    """A port of the loopback interface.

    Raises:
        InputError: there is no such port, or another program has it.
    """
    if not 0 <= port <= _MOST_PORT:
        raise InputError(
            f"--port: must be between 0 and {_MOST_PORT}, is {port}",
            hint="0 takes a free one",
        )
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((LOOPBACK, port))
        # Whoever asks before the server is ready waits.
        listening.listen()
    except OSError as error:
        listening.close()
        raise InputError(
            f"--port: {port} cannot be used: {error.strerror}",
            hint="name another port, or leave it out to take a free one",
        ) from error
    return listening


def server(app: "Guard") -> "Server":
    """A server that says nothing of its own accord, and nothing of itself."""
    from uvicorn import Config, Server

    return Server(
        Config(
            app,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
    )
