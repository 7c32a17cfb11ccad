"""Translation table descriptors of VMSAv8-64 with the 4 KiB granule, both stages.

    bits [1:0]   level 0        levels 1, 2          level 3
      x0         invalid        invalid              invalid
      01         reserved       block (1 GiB, 2 MiB) reserved
      11         table          table                page (4 KiB)

    63      59 58 55 54 53 52 51 50    48 47                 n n-1  12 11 10 9  8 7  6 5 4   2 1  0
    ┌─────────┬─────┬──┬──┬──┬──┬────────┬──────────────────┬────────┬──┬──┬────┬────┬──┬─────┬────┐
    │  PBHA   │ sw  │UX│PX│Co│DB│  RES0  │ output address   │  RES0  │nG│AF│ SH │ AP │NS│Attr │type│   stage 1
    └─────────┴─────┴──┴──┴──┴──┴────────┴──────────────────┴────────┴──┴──┴────┴────┴──┴─────┴────┘
                      XN[1:0]                                             SH  S2AP   MemAttr           stage 2

Levels differ only in how many bits the output address has: n is 39, 30, 21 or 12 for levels 0 to 3. A level indexes its
table with nine bits of the input address, so that a table of 512 descriptors fills one granule.

Source: DDI 0487, D8.3 "Translation table descriptor formats".
"""

from __future__ import annotations

from minivisor.arch.bits import Address, Bit, Bits, Register

__all__ = [
    "BLOCK_LEVELS",
    "GRANULE",
    "MEMATTR",
    "S1_BLOCK_L1",
    "S1_BLOCK_L2",
    "S1_PAGE",
    "S1_TABLE",
    "S2AP",
    "S2_BLOCK_L1",
    "S2_BLOCK_L2",
    "S2_PAGE",
    "S2_TABLE",
    "describe",
    "descriptor_class",
    "index",
    "span",
]

GRANULE = 4096
"""Bytes in a page, and in a table: 512 descriptors of 8 bytes."""
BLOCK_LEVELS = (1, 2)
"""Levels where a descriptor may map memory without a further table."""

_TYPE = {0: "invalid", 1: "block", 2: "invalid", 3: "table or page"}
_SH = {0: "non-shareable", 1: "reserved", 2: "outer shareable", 3: "inner shareable"}
_AP = {
    0: "EL1 read and write",
    1: "EL1 and EL0 read and write",
    2: "EL1 read only",
    3: "EL1 and EL0 read only",
}
S2AP = {0: "no access", 1: "read only", 2: "write only", 3: "read and write"}
MEMATTR = {
    0b0000: "Device-nGnRnE",
    0b0001: "Device-nGnRE",
    0b0010: "Device-nGRE",
    0b0011: "Device-GRE",
    0b0101: "Normal, non-cacheable",
    0b1010: "Normal, write-through",
    0b1111: "Normal, write-back",
}


def span(level: int) -> int:
    """Bytes one descriptor of `level` covers: 512 GiB, 1 GiB, 2 MiB, 4 KiB for levels 0 to 3."""
    if not 0 <= level <= 3:
        raise ValueError(f"level {level}, expected 0 to 3")
    return 1 << (39 - 9 * level)


def index(address: int, level: int) -> int:
    """Which of the 512 descriptors of a level's table translates `address`."""
    return address // span(level) % 512


# ── stage 1 ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class S1_TABLE(Register, width=64, source="DDI 0487, D8.3.1 table descriptor, stage 1"):
    """Points to the next level's table. The upper bits restrict everything below, whatever the leaves say."""

    NSTable = Bit(63, "below is Non-secure")
    APTable = Bits(62, 61, "limits below", {1: "no EL0 access", 2: "read only", 3: "read only, no EL0 access"})
    UXNTable = Bit(60, "below is execute-never at EL0")
    PXNTable = Bit(59, "below is execute-never at EL1")
    Table = Address(47, 12, "next-level table")
    Type = Bits(1, 0, "type", _TYPE)


class _Stage1Leaf(Register, width=64, source="DDI 0487, D8.3.2 block and page descriptors, stage 1"):
    PBHA = Bits(62, 59, "page-based hardware attributes")
    Software = Bits(58, 55, "for software")
    UXN = Bit(54, "execute-never at EL0")
    PXN = Bit(53, "execute-never at EL1")
    Contiguous = Bit(52, "one of a run of 16 that one TLB entry may hold")
    DBM = Bit(51, "dirty bit modifier")
    GP = Bit(50, "guarded page")
    nG = Bit(11, "not global: for one ASID")
    AF = Bit(10, "access flag")
    SH = Bits(9, 8, "shareability", _SH)
    AP = Bits(7, 6, "access", _AP)
    NS = Bit(5, "Non-secure")
    AttrIndx = Bits(4, 2, "attributes: index into MAIR_EL1")
    Type = Bits(1, 0, "type", _TYPE)


class S1_BLOCK_L1(_Stage1Leaf, source="DDI 0487, D8.3.2 block descriptor, stage 1 level 1"):
    OA = Address(47, 30, "output address")
    nT = Bit(16, "block translation entry: do not cache")


class S1_BLOCK_L2(_Stage1Leaf, source="DDI 0487, D8.3.2 block descriptor, stage 1 level 2"):
    OA = Address(47, 21, "output address")
    nT = Bit(16, "block translation entry: do not cache")


class S1_PAGE(_Stage1Leaf, source="DDI 0487, D8.3.2 page descriptor, stage 1 level 3"):
    OA = Address(47, 12, "output address")


# ── stage 2 ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class S2_TABLE(Register, width=64, source="DDI 0487, D8.3.1 table descriptor, stage 2"):
    """Points to the next level's table. Stage 2 has no hierarchical attributes."""

    Table = Address(47, 12, "next-level table")
    Type = Bits(1, 0, "type", _TYPE)


class _Stage2Leaf(Register, width=64, source="DDI 0487, D8.3.2 block and page descriptors, stage 2"):
    PBHA = Bits(62, 59, "page-based hardware attributes")
    Software = Bits(58, 55, "for software")
    XN = Bits(
        54,
        53,
        "execute (bit 53 is RES0 before FEAT_XNX)",
        {0: "EL1 and EL0 execute", 1: "EL0 executes", 2: "execute-never", 3: "EL1 executes"},
    )
    Contiguous = Bit(52, "one of a run of 16 that one TLB entry may hold")
    DBM = Bit(51, "dirty bit modifier")
    FnXS = Bit(11, "XS attribute is 0")
    AF = Bit(10, "access flag")
    SH = Bits(9, 8, "shareability", _SH)
    S2AP = Bits(7, 6, "access", S2AP)
    MemAttr = Bits(5, 2, "memory attributes", MEMATTR)
    Type = Bits(1, 0, "type", _TYPE)


class S2_BLOCK_L1(_Stage2Leaf, source="DDI 0487, D8.3.2 block descriptor, stage 2 level 1"):
    OA = Address(47, 30, "output address")
    nT = Bit(16, "block translation entry: do not cache")


class S2_BLOCK_L2(_Stage2Leaf, source="DDI 0487, D8.3.2 block descriptor, stage 2 level 2"):
    OA = Address(47, 21, "output address")
    nT = Bit(16, "block translation entry: do not cache")


class S2_PAGE(_Stage2Leaf, source="DDI 0487, D8.3.2 page descriptor, stage 2 level 3"):
    OA = Address(47, 12, "output address")


_CLASSES: dict[tuple[int, int, int], type[Register]] = {
    **{(1, level, 3): S1_TABLE for level in (0, 1, 2)},
    **{(2, level, 3): S2_TABLE for level in (0, 1, 2)},
    (1, 1, 1): S1_BLOCK_L1,
    (1, 2, 1): S1_BLOCK_L2,
    (1, 3, 3): S1_PAGE,
    (2, 1, 1): S2_BLOCK_L1,
    (2, 2, 1): S2_BLOCK_L2,
    (2, 3, 3): S2_PAGE,
}


def descriptor_class(descriptor: int, level: int, stage: int) -> type[Register] | None:
    """The class a descriptor has where it stands, or None when it is invalid or reserved: a translation fault."""
    return _CLASSES.get((stage, level, descriptor & 3))


def describe(descriptor: int, level: int, stage: int) -> str:
    """One line: what a descriptor does at its place in the tables."""
    cls = descriptor_class(descriptor, level, stage)
    if cls is None:
        reserved = descriptor & 1
        return f"level {level}: {'reserved' if reserved else 'invalid'}, a translation fault"
    decoded = cls(descriptor)
    if cls in (S1_TABLE, S2_TABLE):
        return f"level {level}: table at {decoded.fields()['Table']:#x}"
    access, memory = ("AP", "AttrIndx") if stage == 1 else ("S2AP", "MemAttr")
    attributes = f"attributes {decoded.fields()[memory]}" if stage == 1 else decoded.meaning(memory)
    flag = "" if decoded.fields()["AF"] else ", access flag clear"
    size = {1: "1 GiB block", 2: "2 MiB block", 3: "page"}[level]
    return f"level {level}: {size} at {decoded.fields()['OA']:#x}, {decoded.meaning(access)}, {attributes}{flag}"
