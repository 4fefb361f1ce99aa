"""Work on many items in parallel, with the results in the items' order."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from engine.errors import InputError

T = TypeVar("T")


def in_order(
    pool: ThreadPoolExecutor,
    ahead: int,
    items: Iterator[Any],
    work: Callable[[Any, int], T],
) -> Iterator[T]:
    """The results of work on each item, in order, with at most ``ahead`` items under way, the first
    of them at once.

    If an item cannot be had, that error is raised after the work on the items before it is done:
    their errors come first, however many are under way.
    """
    assert ahead > 0
    under_way: deque[Future[T]] = deque()
    failures: list[Exception] = []
    numbered = enumerate(items)

    def go_on() -> None:
        while len(under_way) < ahead and not failures:
            try:
                number, item = next(numbered)
            except StopIteration:
                return
            except (InputError, OSError) as error:
                failures.append(error)
                return
            under_way.append(pool.submit(work, item, number))

    def results() -> Iterator[T]:
        try:
            while under_way:
                yield under_way.popleft().result()
                go_on()
            for failure in failures:
                raise failure
        finally:
            for future in under_way:
                future.cancel()

    go_on()
    return results()
