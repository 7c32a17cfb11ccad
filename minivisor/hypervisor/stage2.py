"""Building stage-2 tables: which intermediate physical address is which piece of the phone's memory.

The hardware walks these tables on a TLB miss (see the machine's walk); this module writes them. The geometry is fixed:
4 KiB granule, 39-bit IPA space, so that one page of 512 level-1 entries is the root and VTTBR_EL2 points straight at
it.

    IPA  38       30 29       21 20       12 11         0
        +-----------+-----------+-----------+------------+
        |  level 1  |  level 2  |  level 3  |   offset   |
        +-----------+-----------+-----------+------------+
          1 GiB each  2 MiB each  4 KiB each

    descriptor 63 55 54 53      47         12 11 10 9  8 7    6 5      2 1  0
              +-----+--+--+----+-------------+--+--+----+------+--------+-----+
              |     |XN|  |    | output addr |  |AF| SH | S2AP |MemAttr | type|
              +-----+--+--+----+-------------+--+--+----+------+--------+-----+

Everything is done by small visitors over one walker, `visit`, which yields each entry that is not a table. A visitor
may replace the entry it was given by a table; the walker then descends into it. That is how blocks are split.

A live descriptor never changes in one step. It is broken (written invalid), its cached translations are invalidated,
and only then is the new one made: the architecture allows nothing else when a size, an output address or a memory type
changes (DDI 0487, "Using break-before-make when updating translation table entries").

Source: DDI 0487, "VMSAv8-64 translation table format descriptors", stage 2; VTCR_EL2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from minivisor.errors import MinivisorError
from minivisor.stages import Tables

__all__ = ["IPA_BITS", "PAGE", "VTCR", "Entry", "Stage2", "Stage2Error", "descriptor", "map_page", "unmap", "visit"]

IPA_BITS = 39
PAGE = 4096
START_LEVEL = 1
LAST_LEVEL = 3
BLOCK_SIZES = {1: 1 << 30, 2: 1 << 21, 3: PAGE}

# DDI 0487, VTCR_EL2: bit 31 RES1, PS = 0b010 (40 bits), TG0 = 0 (4 KiB), SH0 = 0b11 (inner shareable), ORGN0 = IRGN0 =
# 0b01 (write-back), SL0 = 0b01 (start at level 1), T0SZ = 64 - 39.
VTCR = 1 << 31 | 0b010 << 16 | 0b11 << 12 | 0b01 << 10 | 0b01 << 8 | 0b01 << 6 | 64 - IPA_BITS

VALID = 1 << 0
TABLE_OR_PAGE = 1 << 1
AF = 1 << 10
SH_INNER = 0b11 << 8
S2AP_READ, S2AP_WRITE = 1 << 6, 1 << 7
XN = 1 << 54
MEMATTR_NORMAL = 0b1111 << 2  # inner and outer write-back cacheable
MEMATTR_DEVICE = 0b0001 << 2  # Device-nGnRE
OUTPUT_ADDRESS = 0x0000_FFFF_FFFF_F000
DEVICE = "device-"


class Stage2Error(MinivisorError):
    """A mapping that cannot be written: not page aligned, outside the IPA space, or of an unknown protection."""


def descriptor(pa: int, level: int, prot: str) -> int:
    """The descriptor of a block (level 1, 2) or page (level 3).

    pa: output address in bytes, aligned to the entry's size. prot: letters of "rwx", for device memory after "device-".
    Returns 64 bits, AF set, XN unless "x".
    """
    letters = prot.removeprefix(DEVICE)
    if level not in BLOCK_SIZES or pa & BLOCK_SIZES[level] - 1 or not set(letters) <= set("rwx"):
        raise Stage2Error(f"stage-2 descriptor: got pa 0x{pa:x}, level {level}, prot {prot!r}, expected an aligned pa")
    return (
        pa
        | AF
        | (MEMATTR_DEVICE if prot.startswith(DEVICE) else MEMATTR_NORMAL | SH_INNER)
        | (S2AP_READ if "r" in letters else 0)
        | (S2AP_WRITE if "w" in letters else 0)
        | (0 if "x" in letters else XN)
        | (TABLE_OR_PAGE if level == LAST_LEVEL else 0)
        | VALID
    )


def protection(entry: int) -> str:
    """The prot string a block or page descriptor was made from."""
    device = DEVICE if entry & MEMATTR_NORMAL == MEMATTR_DEVICE else ""
    letters = (("r", entry & S2AP_READ), ("w", entry & S2AP_WRITE), ("x", not entry & XN))
    return device + "".join(letter for letter, allowed in letters if allowed)


# ── the walker ───────────────────────────────────────────────────────────────────────────────────────────────────────


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
        return bool(self.descriptor & VALID)

    @property
    def whole(self) -> bool:
        """The visited range covers all of the entry."""
        return self.end - self.start == BLOCK_SIZES[self.level]

    @property
    def output(self) -> int:
        """The physical address of `base`."""
        return self.descriptor & OUTPUT_ADDRESS


def visit(tables: Tables, start: int, end: int) -> Iterator[Entry]:
    """Every entry that is not a table, in order of address, for the IPAs from `start` up to `end`."""
    yield from _visit(tables, tables.root, START_LEVEL, start, end)


def _visit(tables: Tables, table: int, level: int, start: int, end: int) -> Iterator[Entry]:
    size = BLOCK_SIZES[level]
    while start < end:
        base = start & -size
        limit = min(base + size, end)
        slot = table + base // size % 512 * 8
        if not _is_table(tables.read(slot), level):
            yield Entry(slot, level, base, start, limit, tables.read(slot))
        found = tables.read(slot)  # again: the visitor may have put a table here
        if _is_table(found, level):
            yield from _visit(tables, found & OUTPUT_ADDRESS, level + 1, start, limit)
        start = limit


def _is_table(entry: int, level: int) -> bool:
    return level < LAST_LEVEL and entry & (TABLE_OR_PAGE | VALID) == TABLE_OR_PAGE | VALID


# ── visitors ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def map_page(tables: Tables, ipa: int, pa: int, prot: str) -> None:
    """Map one 4 KiB page, allocating and splitting what is in the way. Addresses in bytes, page aligned."""
    _map(tables, ipa, pa, PAGE, prot)


def unmap(tables: Tables, ipa: int) -> None:
    """Remove the mapping of one 4 KiB page, if there is one."""
    _unmap(tables, ipa, PAGE)


def _map(tables: Tables, ipa: int, pa: int, size: int, prot: str) -> None:
    for entry in visit(tables, ipa, ipa + size):
        output = pa + entry.start - ipa
        if entry.whole and not output & BLOCK_SIZES[entry.level] - 1:
            _replace(tables, entry, descriptor(output, entry.level, prot))
        else:
            _descend(tables, entry)


def _unmap(tables: Tables, ipa: int, size: int) -> None:
    for entry in visit(tables, ipa, ipa + size):
        if entry.valid and entry.whole:
            _break(tables, entry)
        elif entry.valid:
            _descend(tables, entry)


def _protect(tables: Tables, ipa: int, size: int, prot: str) -> None:
    for entry in visit(tables, ipa, ipa + size):
        if entry.valid and entry.whole:
            _replace(tables, entry, descriptor(entry.output, entry.level, prot))
        elif entry.valid:
            _descend(tables, entry)


def _descend(tables: Tables, entry: Entry) -> None:
    """Put a table in place of an entry; for a block, one that maps the same, complete before the block breaks."""
    table = tables.alloc()
    if entry.valid:
        size = BLOCK_SIZES[entry.level + 1]
        prot = protection(entry.descriptor)
        for n in range(512):
            tables.write(table + 8 * n, descriptor(entry.output + n * size, entry.level + 1, prot))
    _replace(tables, entry, table | TABLE_OR_PAGE | VALID)


def _replace(tables: Tables, entry: Entry, new: int) -> None:
    if entry.descriptor == new:
        return
    if entry.valid:
        _break(tables, entry)
    tables.write(entry.slot, new)


def _break(tables: Tables, entry: Entry) -> None:
    tables.write(entry.slot, 0)
    tables.tlbi(entry.base)


# ── the builder ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Stage2:
    """The stage-2 address space of one persona.

    tables: where it is written. check: called with (pa, size, prot) before anything is; raises to refuse.
    """

    def __init__(self, tables: Tables, check: Callable[[int, int, str], None] = lambda _pa, _size, _prot: None) -> None:
        self.tables = tables
        self._check = check

    def map(self, ipa: int, pa: int, size: int, prot: str) -> None:
        """Map `size` bytes with the largest blocks that alignment allows. All three are multiples of 4 KiB."""
        _require_pages(ipa, size, pa)
        self._check(pa, size, prot)
        _map(self.tables, ipa, pa, size, prot)

    def unmap(self, ipa: int, size: int) -> None:
        """Remove whatever is mapped in the range."""
        _require_pages(ipa, size)
        _unmap(self.tables, ipa, size)

    def protect(self, ipa: int, size: int, prot: str) -> None:
        """Change the protection of whatever is mapped in the range; holes stay holes."""
        _require_pages(ipa, size)
        _protect(self.tables, ipa, size, prot)

    def translate(self, ipa: int) -> tuple[int, str] | None:
        """(PA, prot) of one IPA, None when it is not mapped."""
        _require_pages(ipa & -PAGE, PAGE)
        (entry,) = visit(self.tables, ipa, ipa + 1)
        return (entry.output + ipa - entry.base, protection(entry.descriptor)) if entry.valid else None

    def mappings(self) -> Iterator[tuple[int, int, int, str]]:
        """Every block and page as (IPA, PA, size, prot), in order of address."""
        for entry in visit(self.tables, 0, 1 << IPA_BITS):
            if entry.valid:
                yield entry.base, entry.output, BLOCK_SIZES[entry.level], protection(entry.descriptor)


def _require_pages(ipa: int, size: int, pa: int = 0) -> None:
    if (ipa | size | pa) & PAGE - 1 or not 0 <= ipa <= ipa + size <= 1 << IPA_BITS or pa < 0 or size == 0:
        raise Stage2Error(
            f"stage-2 mapping: got IPA 0x{ipa:x}, PA 0x{pa:x}, size 0x{size:x}, expected multiples of 4 KiB inside a "
            f"{IPA_BITS}-bit IPA space"
        )
