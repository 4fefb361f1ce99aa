"""A book's pages, served to the tests from a thread of their own."""

import http.client
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from pipelines.browse.app import application
from pipelines.browse.asked import Browsed
from pipelines.browse.command import listening_on, server
from pipelines.browse.counts import count
from pipelines.browse.guard import Guard, new_token
from pipelines.browse.lookups import LookupLog
from pipelines.browse.places import find_places
from pipelines.desk.opened_book import open_book
from pipelines.shown.texts import Lang

CALCULATING = 503


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str


@dataclass(frozen=True)
class Pages:
    """Pages that are being served."""

    port: int
    token: str
    log: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/{self.token}/"

    def get(self, page: str = "") -> Answer:
        """A page; one that says that it is still being calculated is asked for again."""
        while (answer := self.ask("GET", f"/{self.token}/{page}")).status == CALCULATING:
            time.sleep(0.02)
        return answer

    def search(self, text: str, **more: str) -> Answer:
        return self.ask("POST", f"/{self.token}/search", urlencode({"text": text, **more}))

    def ask(
        self, method: str, path: str, body: str = "", headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            own = {"Host": f"127.0.0.1:{self.port}"} if "Host" not in (headers or {}) else {}
            connection.request(method, path, body.encode(), {**own, **(headers or {})})
            answer = connection.getresponse()
            text = answer.read().decode()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, named, text)
        finally:
            connection.close()


@contextmanager
def served(book: Path, log: Path, *, lang: Lang = "en", show_ids: bool = False) -> Iterator[Pages]:
    """Serves a book's pages until the block ends."""
    opened, listening, token = open_book(book), listening_on(0), new_token()
    port = int(listening.getsockname()[1])
    lookups = LookupLog(log, opened.book.path)
    find_places(opened)
    browsed = Browsed(count(opened), lookups, lang, show_ids)
    serving = server(Guard(application(browsed), token, port))
    thread = threading.Thread(target=serving.run, args=([listening],))
    thread.start()
    try:
        yield Pages(port, token, log)
    finally:
        serving.should_exit = True
        thread.join()
        listening.close()
        lookups.close()


def links(text: str, page: str) -> list[str]:
    """The addresses of a kind of page that a page leads to."""
    return [
        link.replace("&amp;", "&") for link in re.findall(rf'href="({page}(?:\?[^"]*)?)"', text)
    ]


def found(pages: Pages, text: str, kind: str) -> str:
    """The address of what a search finds, of a kind."""
    [address] = links(pages.search(text).text, kind)
    return address


def table(pages: Pages, page: str, name: str) -> list[dict[str, Any]]:
    """A table of a page's JSON."""
    rows: list[dict[str, Any]] = json.loads(pages.get(page).text)["tables"][name]
    return rows


def looked_up(pages: Pages) -> list[dict[str, Any]]:
    """The lines of the log."""
    return [json.loads(line) for line in pages.log.read_text("utf-8").splitlines()]
