"""Records on their way into a page: column by column, each in the form that takes least.

    {"all": "5a"}                              every row has this value (hexadecimal, as all 64-bit values here)
    {"of": ["0", "5a000000"], "index": …}         numbers of values, 1, 2 or 4 bytes each
    {"by": …, "from": 0, "width": 2}           differences to the row before, for times, which never go back
    {"raw": …}                                 8 bytes each

`index`, `by` and `raw` are little-endian in base64. `js/rows.js` reads them. What the host spent is not in a page.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import numpy as np

from minivisor.trace.records import COLUMNS, Rows

__all__ = ["pack"]

COLUMNS_SHOWN = tuple(name for name in COLUMNS if name != "host")
WIDTHS = {1: np.uint8, 2: np.uint16, 4: np.uint32}


def pack(rows: Rows, numbers: np.ndarray | None = None) -> dict[str, Any]:
    """Rows as plain data for JSON. numbers: which records of the run they are; from 0 unless given."""
    which = np.arange(len(rows)) if numbers is None else numbers
    columns = {name: _column(rows[name]) for name in COLUMNS_SHOWN}
    return {"count": len(rows), "columns": {**columns, "record": _column(which)}}


def _column(values: np.ndarray) -> dict[str, Any]:
    wide = np.ascontiguousarray(values, dtype="<u8")
    if not len(wide) or (wide == wide[0]).all():
        return {"all": f"{int(wide[0]) if len(wide) else 0:x}"}
    found, index = np.unique(wide, return_inverse=True)
    width = _width(len(found) - 1)
    if len(found) <= max(len(wide) // 4, 16):
        return {"of": [f"{value:x}" for value in found.tolist()], "index": _text(index, width), "width": width}
    return _differences(wide) or {"raw": _text(wide, 8)}


def _differences(wide: np.ndarray) -> dict[str, Any] | None:
    """Steps of a column that never goes back, when they fit 32 bits and the sums a double."""
    steps = np.diff(wide, prepend=wide[:1])
    if (wide[1:] < wide[:-1]).any() or int(steps.max()) >> 32 or int(wide[-1]) >> 53:
        return None
    width = _width(int(steps.max()))
    return {"by": _text(steps, width), "from": int(wide[0]), "width": width}


def _width(largest: int) -> int:
    return 1 if largest < 1 << 8 else 2 if largest < 1 << 16 else 4


def _text(values: np.ndarray, width: int) -> str:
    return b64encode(values.astype(WIDTHS.get(width, np.uint64)).tobytes()).decode()
