"""Blocks of checked arrays, held in memory as long as there is room for them."""

import threading
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from engine.columns.hashing import Positions

if TYPE_CHECKING:
    from engine.io.book.checked import CheckedArray

BLOCK_BYTES: Final = 4096


class BlockCache:
    """Blocks that were read and checked, held until newer ones need their room."""

    def __init__(self, held_bytes: int) -> None:
        self._slots = max(8, held_bytes // BLOCK_BYTES)
        # What is wanted at once must not push itself out, even when all of it is read twice.
        self.at_once = self._slots // 8
        self.lock = threading.RLock()
        self._numbers = count()
        self._arrays: WeakValueDictionary[int, CheckedArray] = WeakValueDictionary()
        self._owners = np.full(self._slots, -1, np.int64)
        self._blocks = np.empty(self._slots, np.int64)
        self._next = 0

    @cached_property
    def data(self) -> npt.NDArray[np.uint8]:
        """The blocks, one a slot."""
        return np.empty((self._slots, BLOCK_BYTES), np.uint8)

    def join(self, array: "CheckedArray") -> int:
        """A number for an array whose blocks are to be held."""
        number = next(self._numbers)
        self._arrays[number] = array
        return number

    def hold(self, array: "CheckedArray", blocks: Positions) -> None:
        """Makes all of these blocks held, no more than ``at_once``; needs the lock.

        Raises:
            DamagedIndex: one of them cannot be read, or is not what was written.
        """
        # A second round takes back what the first pushed out.
        while (missing := blocks[array.slots[blocks] < 0]).size:
            start = self._room(missing.size)
            stop = start + missing.size
            array.read(missing, self.data[start:stop].data.cast("B"))
            array.slots[missing] = np.arange(start, stop)
            self._owners[start:stop] = array.number
            self._blocks[start:stop] = missing

    def _room(self, slots: int) -> int:
        start = self._next if self._next + slots <= self._slots else 0
        self._next = start + slots
        given_up = slice(start, self._next)
        owners = self._owners[given_up]
        for number in np.unique(owners[owners >= 0]).tolist():
            array = self._arrays.get(number)
            if array is not None:
                array.slots[self._blocks[given_up][owners == number]] = -1
        owners[:] = -1
        return start
