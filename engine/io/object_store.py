"""Object stores: S3, Google Cloud Storage and Azure, through obstore, and through nothing else.

Where a store is and who may open it stands in the environment, in each provider's own words
(``AWS_…``, ``GOOGLE_…``, ``AZURE_…``). Reads and writes are tried again, with pauses, before they
fail: ``RETRIES``.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.errors import InputError
from engine.extras import require_extra

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore, RetryConfig, S3Store

# pathlib makes one slash of two.
_URL: Final = re.compile(r"(s3|gs|az):/+([^/]*)/*(.*)", re.DOTALL)
_QUERY: Final = re.compile(r"\?\S+")
_CODE: Final = re.compile(r"<Code>(\w+)</Code>")
_STATUS: Final = re.compile(r"Server returned non-2xx status code: |Generic \w+ error: ")
_CHANGED: Final = "precondition failure"
_NO_TLS: Final = "source: BadScheme"
READ_BYTES: Final = 1 << 24
# One request with its answer: so 16 MiB may come at 5 Mbit/s.
TIMEOUT: str = "30s"
RETRIES: RetryConfig = {"max_retries": 10, "retry_timeout": dt.timedelta(minutes=3)}
_TRIES: Final = 3


def is_store_url(text: str | Path) -> bool:
    """Whether a place is one in an object store."""
    return _URL.match(str(text)) is not None


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """A place in an object store; the key is taken letter by letter, without percent-encoding."""

    scheme: str
    bucket: str
    key: str

    @classmethod
    def of(cls, text: str | Path) -> StoreUrl:
        """The place that a URL names.

        Raises:
            InputError: it names no bucket, or is not UTF-8.
        """
        match = _URL.fullmatch(str(text))
        if match is None or not match[2]:
            raise InputError(
                f"{text}: the URL names no bucket",
                hint="write s3://BUCKET/KEY, gs://BUCKET/KEY or az://CONTAINER/KEY",
            )
        if not match[0].isascii() and match[0] != match[0].encode("utf-8", "replace").decode():
            raise InputError(f"{text}: the URL is not UTF-8", hint="write it in UTF-8")
        return cls(*match.groups())

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}"

    def at(self, key: str) -> StoreUrl:
        """Another place in the same bucket."""
        return replace(self, key=key)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as it was found.

    Attributes:
        e_tag: what the store calls these very bytes.
    """

    url: StoreUrl
    size_bytes: int
    e_tag: str | None


class AlreadyThereError(Exception):
    """The key is taken, by other bytes."""


class ObjectStore:
    """A bucket.

    Raises:
        InputError: obstore is not installed, or the environment lacks what it needs; each method,
            where the store does not do what it is asked.
    """

    def __init__(self, url: StoreUrl, *, what: str) -> None:
        require_extra(f"{what}: {url}", "store", "obstore")
        self._url = url
        with _one_line(url):
            self._store = _opened(url)

    def find(self, key: str) -> StoredObject | None:
        """The object of this key, if there is one."""
        import obstore

        url = self._url.at(key)
        with _one_line(url):
            try:
                meta = obstore.head(self._store, key)
            except FileNotFoundError:
                return None
            return StoredObject(url, meta["size"], meta["e_tag"])

    def below(self, folder: str) -> list[StoredObject]:
        """All objects whose keys begin with a folder's, ordered by key."""
        from obstore.exceptions import BaseError

        url = self._url.at(folder)
        with _one_line(url):
            for tries_left in range(_TRIES - 1, -1, -1):
                try:
                    found = list(self._listed(url))
                except BaseError:
                    # The library reads an answer on that broke off, but not that of a listing.
                    if tries_left == 0:
                        raise
                else:
                    return sorted(found, key=lambda stored: stored.url.key)
        raise AssertionError("unreachable")

    def _listed(self, folder: StoreUrl) -> Iterator[StoredObject]:
        import obstore

        for metas in obstore.list(self._store, folder.key.strip("/") or None):
            for meta in metas:
                yield StoredObject(folder.at(meta["path"]), meta["size"], meta["e_tag"])

    def read(self, stored: StoredObject) -> Iterator[memoryview]:
        """The bytes of an object as it was found, some ``READ_BYTES`` at once.

        Raises:
            InputError: also where it is another one by now.
        """
        import obstore

        key, size = stored.url.key, stored.size_bytes
        for start in range(0, size, READ_BYTES):
            with _one_line(stored.url, is_found=True):
                stop = min(start + READ_BYTES, size)
                options: obstore.GetOptions = {"if_match": stored.e_tag, "range": (start, stop)}
                data = memoryview(obstore.get(self._store, key, options=options).bytes())
            yield data

    def content(self, key: str) -> bytes | None:
        """All bytes of an object, if there is one."""
        stored = self.find(key)
        return None if stored is None else b"".join(self.read(stored))

    def create(self, key: str, data: bytes) -> None:
        """Makes an object, in one act, unless there is this very object already.

        Whether a write came through whose answer was lost is found out by a look at what is there.

        Raises:
            AlreadyThereError: something else is there.
        """
        import obstore
        from obstore.exceptions import BaseError

        url = self._url.at(key)
        with _one_line(url):
            for tries_left in range(_TRIES - 1, -1, -1):
                try:
                    obstore.put(self._store, key, data, mode="create", use_multipart=False)
                except (BaseError, OSError):
                    there = self.content(key)
                    if there == data:
                        return
                    if there is not None:
                        raise AlreadyThereError(str(url)) from None
                    if tries_left == 0:
                        raise
                else:
                    return


def stored_text(text: str | Path) -> str:
    """The text of an object, which a URL names.

    Raises:
        InputError: there is no such object, or it is not UTF-8.
    """
    url = StoreUrl.of(text)
    content = ObjectStore(url, what="--manifest").content(url.key)
    if content is None:
        raise InputError(f"{url}: there is no such object", hint="check the URL")
    try:
        return content.decode()
    except ValueError as error:
        raise InputError(f"{url}: the text is not UTF-8", hint="save it as UTF-8") from error


def _opened(url: StoreUrl) -> S3Store | GCSStore | AzureStore:
    from obstore.store import AzureStore, GCSStore, S3Store

    # In the configuration, not as the client's options: those leave the environment's out.
    config: Any = {"timeout": TIMEOUT}
    if url.scheme == "s3":
        return S3Store(url.bucket, config=config, retry_config=RETRIES)
    if url.scheme == "gs":
        return GCSStore(url.bucket, config=config, retry_config=RETRIES)
    return AzureStore(url.bucket, config=config, retry_config=RETRIES)


@contextmanager
def _one_line(url: StoreUrl, *, is_found: bool = False) -> Iterator[None]:
    """Says on one line what a store answered; ``is_found``: the object was there a moment ago."""
    from obstore.exceptions import (
        BaseError,
        PermissionDeniedError,
        PreconditionError,
        UnauthenticatedError,
    )

    try:
        yield
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise InputError(
            f"{url}: the store does not let us do this",
            hint="check the credentials in the environment (AWS_…, GOOGLE_…, AZURE_…), and what "
            "they allow there",
            code="store_failed",
        ) from error
    except (BaseError, OSError, ValueError) as error:
        is_other = isinstance(error, FileNotFoundError | PreconditionError)
        if is_found and (is_other or _CHANGED in str(error)):
            raise InputError(
                f"{url}: the object changed while it was read",
                hint="wait until the delivery is complete, then run again; nothing was booked",
            ) from error
        raise InputError(
            f"{url}: the store failed: {_why(error)}", hint=_hint(error), code="store_failed"
        ) from error


def _why(error: Exception) -> str:
    """What failed, without addresses, which may hold a key, and without what a server wrote."""
    line = str(error).partition("\n")[0].rpartition(" - ")[2].partition("<")[0]
    words = _STATUS.sub("", _QUERY.sub("", line)).strip(" :")
    code = _CODE.search(str(error))
    return f"{words}: {code[1]}" if code else words


def _hint(error: Exception) -> str:
    text = str(error)
    if "NoSuchBucket" in text:
        return "check the bucket's name"
    if _NO_TLS in text:
        return "an address that begins with http:// needs AWS_ALLOW_HTTP=true"
    return "check the network, and the address and credentials in the environment; then run again"
