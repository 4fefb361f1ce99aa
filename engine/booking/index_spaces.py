"""Index spaces: what the integers that point at rows and entries count in, as types.

All are 64-bit integers when the program runs. mypy carries them through indexing, sorting and
copying of arrays, and refuses an array of one space where another is expected; where numbers of one
space are made of plain ones or of another's, a cast says so.
"""

from typing import NewType

import numpy as np
import numpy.typing as npt

Source = NewType("Source", np.int64)
"""A charge or purchase that is in the book or in the slice: its ``BookPosition``, or -1 less its
``SliceRow``; once what is booked is known, -1 less its ``BookedPlace``.
"""

BookPosition = NewType("BookPosition", Source)
"""An entry of the book: the number of its run times 2^32, plus its place in the run."""

RowRef = NewType("RowRef", np.int64)
"""A row of a run: the number of its part times 2^32, plus its place in the part; below 0 for a row
that waited in the book.
"""

SliceRow = NewType("SliceRow", np.int64)
"""A row of a slice, booked or not."""

BookedPlace = NewType("BookedPlace", np.int64)
"""A booked row of a slice: its place among the booked ones, in the order of the slice's rows."""

OrderPlace = NewType("OrderPlace", np.int64)
"""A booked row of a slice: its place in booking order."""

BookPositions = npt.NDArray[BookPosition]
RowRefs = npt.NDArray[RowRef]
SliceRows = npt.NDArray[SliceRow]
BookedPlaces = npt.NDArray[BookedPlace]
OrderPlaces = npt.NDArray[OrderPlace]
Sources = npt.NDArray[Source]
