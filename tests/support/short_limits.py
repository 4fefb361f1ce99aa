"""Small limits of the readers of text, so that small files reach them."""

from typing import Final

import pytest

from engine.io.delivered import byte_stream, csv_framing, csv_header, irregular_csv, laid_out_file

_CUT_INTO_BLOCKS: Final = (csv_framing, irregular_csv)
_KEEP_RECORDS_SHORT: Final = (byte_stream, csv_framing, csv_header, irregular_csv, laid_out_file)


def cut_into_blocks(patch: pytest.MonkeyPatch, block_bytes: int) -> None:
    for module in _CUT_INTO_BLOCKS:
        patch.setattr(module, "BLOCK_BYTES", block_bytes)


def keep_records_short(patch: pytest.MonkeyPatch, record_bytes: int) -> None:
    """Also makes the readers of headers look no further than this."""
    for module in _KEEP_RECORDS_SHORT:
        patch.setattr(module, "MAX_RECORD_BYTES", record_bytes)
