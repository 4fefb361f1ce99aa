"""Numbers in ascending order: Polars sorts them faster than numpy.

Always in one thread: in parallel it takes twice the processor time, and on two processors as long.
"""

from typing import TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

_Number = TypeVar("_Number", np.int64, np.uint64)


def sorted_numbers(numbers: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
    """The numbers, sorted."""
    return pl.Series(numbers).sort(multithreaded=False).to_numpy()


def ascending_order(numbers: npt.NDArray[_Number]) -> npt.NDArray[np.uint32]:
    """The places of the numbers, sorted by number; equal ones stay in their order."""
    frame = pl.DataFrame({"number": numbers})
    order = pl.arg_sort_by("number", multithreaded=False, maintain_order=True)
    return frame.select(order).to_series().to_numpy()
