"""The input log: whatever came from outside, at the moment it came. With the images and the seed it is the run.

Inputs are records like all others, in the order of the run. A frame has more bytes than a row has columns; the rest of it
follows in DATA records:

    INPUT frame, 74 bytes, 2 pieces │ DATA 48 bytes │ DATA 26 bytes

When the ring forgets a chunk, its inputs are kept aside (`Trace.log`), up to a bound of their own, so that a long run can
still be repeated from its trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct

import numpy as np

from minivisor.trace.kinds import LOGGED
from minivisor.trace.records import DataRecord, ForegroundRecord, InputRecord, Record
from minivisor.trace.row import Rows

__all__ = ["PIECE", "chosen", "events", "spread"]

WORDS = Struct("<6Q")
PIECE = WORDS.size
"""Bytes of one DATA record."""


def spread(data: bytes) -> list[tuple[int, tuple[int, ...]]]:
    """(bytes, six words) of each DATA record that `data` takes."""
    pieces = [data[at : at + PIECE] for at in range(0, len(data), PIECE)]
    return [(len(piece), WORDS.unpack(piece.ljust(PIECE, b"\0"))) for piece in pieces]


def chosen(rows: Rows) -> Rows:
    """Those rows that belong to the log, a copy."""
    found: Rows = rows[np.isin(rows["kind"], LOGGED)]
    return found


def events(records: Iterable[Record]) -> Iterator[tuple[InputRecord | ForegroundRecord, bytes]]:
    """Inputs and switches of a run in order, each with the bytes that follow it. ValueError when some of those are missing."""
    found = iter(records)
    for record in found:
        if isinstance(record, ForegroundRecord):
            yield record, b""
        elif isinstance(record, InputRecord):
            yield record, b"".join(_piece(next(found, None)) for _ in range(record.pieces))


def _piece(record: Record | None) -> bytes:
    if not isinstance(record, DataRecord) or record.size > PIECE:
        raise ValueError("an input without its bytes")
    return WORDS.pack(*record.words)[: record.size]
