"""What is calculated by an index, once more from its start where the index turns out damaged."""

import logging
from collections.abc import Callable
from typing import Final, TypeVar

from engine.errors import BookError
from engine.io.book.checked import DamagedIndex

_LOG: Final = logging.getLogger(__name__)
_Result = TypeVar("_Result")


def with_a_sound_index(attempt: Callable[[], _Result], begin_anew: Callable[[], None]) -> _Result:
    """What an attempt gives; only one that has published nothing meets a damaged index.

    Args:
        attempt: reads the index, and may meet ``DamagedIndex``.
        begin_anew: throws away the index and what the attempt has left.

    Raises:
        BookError: the index that was made anew is damaged, too.
    """
    try:
        return attempt()
    except DamagedIndex as error:
        _LOG.warning("%s; the index is made anew from the ledger", error)
    begin_anew()
    try:
        return attempt()
    except DamagedIndex as error:
        raise BookError(
            f"{error}, though it was only just made",
            hint="check the disk; nothing was booked",
        ) from error
