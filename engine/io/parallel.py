"""Work on many items in parallel, with the results in the items' order."""

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
    """The results of work on each item, in order, with at most ``ahead`` items under way.

    If an item cannot be had, that error is raised after the work on the items before it is done:
    their errors come first, however many are under way.
    """
    under_way: list[Future[T]] = []
    failure: Exception | None = None
    numbered = enumerate(items)
    try:
        while True:
            try:
                number, item = next(numbered)
            except StopIteration:
                break
            except (InputError, OSError) as error:
                failure = error
                break
            under_way.append(pool.submit(work, item, number))
            if len(under_way) >= ahead:
                yield under_way.pop(0).result()
        while under_way:
            yield under_way.pop(0).result()
        if failure is not None:
            raise failure
    finally:
        for future in under_way:
            future.cancel()
