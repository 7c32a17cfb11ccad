"""The one row of 80 bytes that all kinds of records share, so that a run is one numpy array: appended cheaply, filtered by
column, saved as it is.

    time  kind vcpu outcome detail number  retired  pc   esr  far  ipa  value argument │ host
    u64   u8   u8   u8      u8     u32     u64      u64  u64  u64  u64  u64   u64      │ u64
    └──────────────────── the digest covers this ─────────────────────────────────────┘ └ never this

Times are virtual, in nanoseconds; `retired` counts instructions. `host` is what the host spent, in ns: it differs from
run to run, so no digest and no decision may depend on it.
"""

from __future__ import annotations

from struct import Struct
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["COLUMNS", "DIGEST_BYTES", "DTYPE", "NOBODY", "ROW", "Rows"]

DTYPE = np.dtype(
    [
        ("time", "<u8"), ("kind", "u1"), ("vcpu", "u1"), ("outcome", "u1"), ("detail", "u1"), ("number", "<u4"),
        ("retired", "<u8"), ("pc", "<u8"), ("esr", "<u8"), ("far", "<u8"), ("ipa", "<u8"), ("value", "<u8"),
        ("argument", "<u8"), ("host", "<u8"),
    ]
)  # fmt: skip
COLUMNS: tuple[str, ...] = DTYPE.names or ()
ROW = Struct("<QBBBBI8Q")
"""The same row for `struct`: packing one is several times faster than assigning to a numpy record."""
DIGEST_BYTES = 72
"""The digest covers the first 72 bytes of a row: all but `host`."""

Rows: TypeAlias = npt.NDArray[np.void]
"""A structured array of DTYPE."""

NOBODY = 255
"""The `vcpu` of a record that belongs to no vCPU."""
