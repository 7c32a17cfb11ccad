"""Reading stage-2 tables: the one walker under everything that maps, unmaps, protects or lists.

The geometry is fixed: 4 KiB granule, 39-bit IPA space, so that one page of 512 level-1 entries is the root and
VTTBR_EL2 points straight at it.

    IPA  38       30 29       21 20       12 11         0
        ┌───────────┬───────────┬───────────┬────────────┐
        │  level 1  │  level 2  │  level 3  │   offset   │
        └───────────┴───────────┴───────────┴────────────┘
          1 GiB each  2 MiB each  4 KiB each

`visit` yields each entry that is not a table, mapped or not, and looks at it again afterwards: a visitor may have put a
table in its place, and the walker then descends into that. This is how blocks are split and missing tables are made.

Source: DDI 0487, D8.2 "Translation process"; D8.3 "Translation table descriptor formats".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from minivisor.arch.descriptors import GRANULE, S2_BLOCK_L1, S2_BLOCK_L2, S2_PAGE, S2_TABLE, index, span
from minivisor.stages import Tables

__all__ = ["BLOCK", "IPA_BITS", "LAST_LEVEL", "LEAVES", "PAGE", "START_LEVEL", "TABLE_OR_PAGE", "Entry", "visit"]

PAGE = GRANULE
IPA_BITS = 39
START_LEVEL, LAST_LEVEL = 1, 3
LEAVES = {1: S2_BLOCK_L1, 2: S2_BLOCK_L2, 3: S2_PAGE}
BLOCK, TABLE_OR_PAGE = 0b01, 0b11  # the descriptor's Type; bit 0 is "valid"


@dataclass(frozen=True, slots=True)
class Entry:
    """A descriptor that is not a table, as `visit` found it.

    slot: PA of the descriptor. base: first IPA it translates. start, end: the visited part of that, in bytes.
    """

    slot: int
    level: int
    base: int
    start: int
    end: int
    descriptor: int

    @property
    def valid(self) -> bool:
        return bool(self.descriptor & BLOCK)

    @property
    def whole(self) -> bool:
        """The visited range covers all of the entry."""
        return self.end - self.start == span(self.level)

    @property
    def output(self) -> int:
        """The physical address of `base`."""
        return S2_PAGE.OA.decode(self.descriptor) & -span(self.level)


def visit(tables: Tables, start: int, end: int) -> Iterator[Entry]:
    """Every entry that is not a table, in order of address, for the IPAs from `start` up to `end`."""
    yield from _visit(tables, tables.root, START_LEVEL, start, end)


def _visit(tables: Tables, table: int, level: int, start: int, end: int) -> Iterator[Entry]:
    while start < end:
        base = start // span(level) * span(level)
        limit = min(base + span(level), end)
        slot = table + 8 * index(base, level)
        if not _is_table(tables.read(slot), level):
            yield Entry(slot, level, base, start, limit, tables.read(slot))
        found = tables.read(slot)  # again: the visitor may have put a table here
        if _is_table(found, level):
            yield from _visit(tables, S2_TABLE.Table.decode(found), level + 1, start, limit)
        start = limit


def _is_table(entry: int, level: int) -> bool:
    return level < LAST_LEVEL and S2_TABLE.Type.decode(entry) == TABLE_OR_PAGE
