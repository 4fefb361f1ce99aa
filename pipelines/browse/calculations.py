"""Figures that take a look at the whole book: calculated beside the pages, once, and kept."""

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any, Final, TypeVar

_T = TypeVar("_T")
PATIENCE_S: Final = 0.6
"""How long a page waits for its figures before it says that they are being calculated."""
_MOST_KEPT: Final = 20


class StillCalculatingError(Exception):
    """A page's figures are being calculated; they can be asked for again."""


class Calculations:
    """Calculates one figure at a time: each may take all the memory that a command may take.

    Attributes:
        scratch: a folder for what memory does not hold; None for the system's.
    """

    def __init__(self, scratch: Path | None = None) -> None:
        self.scratch = scratch
        self._futures: dict[Hashable, Future[Any]] = {}
        self._lock, self._turn = threading.Lock(), threading.Lock()

    def result(self, key: Hashable, calculate: Callable[[], _T]) -> _T:
        """What was calculated under a key. What fails is calculated anew when it is asked for.

        Raises:
            StillCalculatingError: it is not there yet.
        """
        with self._lock:
            future = self._futures.get(key)
            if future is None:
                future = self._futures[key] = Future()
                thread = threading.Thread(
                    target=self._calculate, args=(future, calculate), daemon=True
                )
                thread.start()
        if wait([future], PATIENCE_S).not_done:
            raise StillCalculatingError
        with self._lock:
            if self._futures.get(key) is future:
                del self._futures[key]
            if future.exception() is None:
                # The one that was asked for last is forgotten last.
                self._futures[key] = future
                self._forget()
        return future.result()  # type: ignore[no-any-return]

    @property
    def at_work(self) -> bool:
        """Whether something is being calculated."""
        with self._lock:
            return not all(future.done() for future in self._futures.values())

    def _calculate(self, future: "Future[Any]", calculate: Callable[[], Any]) -> None:
        with self._turn:
            try:
                future.set_result(calculate())
            except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
                future.set_exception(error)

    def _forget(self) -> None:
        done = [key for key, future in self._futures.items() if future.done()]
        for key in done[:-_MOST_KEPT]:
            del self._futures[key]
