"""The two-stage walk: how the MMU turns a virtual address into a physical one (DDI 0487, D8 "The AArch64 VMSA").

Hardware walks tables; EL2 and the guest kernel build them. This is the walk that runs under every guest here, compiled:

    VA ─ stage 1 (guest's TTBR0/TTBR1) ─► IPA ─ stage 2 (EL2's VTTBR) ─► PA
             │ each descriptor it reads sits at an IPA,
             └► and goes through stage 2 as well: a fault there is S1PTW

4 KiB granule, one descriptor (D8.3 "Translation table descriptor formats"):

    63      59 58 55 54  53  52  51 50 48 47                12 11 10 9  8 7  6 5 4    2 1 0
    +---------+-----+---+---+---+--+-----+--------------------+--+--+----+----+---+----+-+-+
    |hier. att|     |UXN|PXN|con|  |     | output address     |nG|AF| SH | AP |NS |Attr|T|V|   stage 1
    |         |     |  XN   |con|  |     | output address     | 0|AF| SH |S2AP| MemAttr|T|V|   stage 2
    +---------+-----+---+---+---+--+-----+--------------------+--+--+----+----+---+----+-+-+

RAM is where its words are in the host, and how many: an array would be counted at each turn of the walk, a third of
its time. A table outside it is an external abort on the walk.

A walk may be asked to leave notes, of every descriptor it reads (`steps.py` shows them). The hooks pass None, for which the
compiler leaves no trace of the notes; whoever wants them passes an array and gets the very same source compiled with them.
The same goes for a walk cache (`walk_cache.py`), which is for many walks while nobody writes a table.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minivisor.machine.hot import hot_inline, load64
from minivisor.machine.walk_cache import STAGE1_SLOTS, keep, recall

__all__ = [
    "ACCESS_FLAG",
    "ADDRESS_SIZE",
    "EL0_SHIFT",
    "EXTERNAL_ON_WALK",
    "FETCH",
    "NOTE_WORDS",
    "PERMISSION",
    "READ",
    "S2_SHIFT",
    "TRANSLATION",
    "WRITE",
    "Ram",
    "Regime",
    "first_stage",
    "stage1",
    "stage1_permissions",
    "stage2",
    "stage2_permissions",
    "translate",
    "untagged",
]

# Fault status codes without their level (DDI 0487, ESR_ELx.ISS.DFSC); a status of 0 with a level of 0 would be an address
# size fault, so functions here return the status plus one bit that says "fault".
FAULT = np.uint64(0x100)
ADDRESS_SIZE, TRANSLATION = np.uint64(0x100), np.uint64(0x104)
ACCESS_FLAG, PERMISSION = np.uint64(0x108), np.uint64(0x10C)
EXTERNAL_ON_WALK = np.uint64(0x114)

# Permission bits of one leaf: three for EL1, three for EL0, three for stage 2.
READ, WRITE, FETCH = np.uint64(1), np.uint64(2), np.uint64(4)
EL0_SHIFT, S2_SHIFT = np.uint64(3), np.uint64(6)

ZERO, ONE, TWO, THREE = (np.uint64(n) for n in range(4))
NINE, TWELVE, SIXTEEN = (np.uint64(n) for n in (9, 12, 16))
MOST_INDEX_BITS = np.uint64(13)  # sixteen concatenated tables of 512 entries
# Notes are uint64[NOTE_WORDS * (1 + 24)]: how many, then from NOTE_WORDS on for each (stage, level, table, index, address of
# the descriptor as PA, the address translated, whether memory answered, the descriptor). `table` is an IPA at stage 1.
NOTE_WORDS = np.uint64(8)
ALL_ONES = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
ADDRESS_MASK = np.uint64(0x0000_FFFF_FFFF_F000)  # bits 47:12
ACCESS_FLAG_BIT = np.uint64(1 << 10)
NOT_GLOBAL = np.uint64(1 << 11)
PXN, UXN = np.uint64(1 << 53), np.uint64(1 << 54)
TCR_TBI0, TCR_TBI1 = np.uint64(37), np.uint64(38)
TAG = np.uint64(0xFF << 56)
WXN = np.uint64(1 << 19)  # SCTLR_EL1.WXN


class Ram(NamedTuple):
    """at: where its words are in the host. words: how many. base: its physical address. All uint64."""

    at: Any
    words: Any
    base: Any


class Regime(NamedTuple):
    """What steers a translation at EL1 and EL0: SCTLR_EL1 to VTCR_EL2, and HCR_EL2.VM as 0 or 1. All uint64."""

    sctlr: Any
    tcr: Any
    ttbr0: Any
    ttbr1: Any
    vttbr: Any
    vtcr: Any
    two_stages: Any


@hot_inline
def _output_bits(ps):  # type: ignore[no-untyped-def]
    """Output address size in bits for a PS/IPS field (DDI 0487, ID_AA64MMFR0_EL1.PARange), at most our core's 44."""
    if ps == ZERO:
        return np.uint64(32)
    if ps == ONE:
        return np.uint64(36)
    if ps == TWO:
        return np.uint64(40)
    if ps == THREE:
        return np.uint64(42)
    return np.uint64(44)


@hot_inline
def _shift(level):  # type: ignore[no-untyped-def]
    """Lowest address bit that a level's index covers: 39, 30, 21, 12."""
    return np.uint64(39) - NINE * level


@hot_inline
def _root(ttbr, input_bits, top):  # type: ignore[no-untyped-def]
    """BADDR of a TTBR or VTTBR, aligned to the size of its first table or tables (D8.2.4); bit 0 is CnP."""
    return ttbr & np.uint64(0x0000_FFFF_FFFF_FFFE) & ~((ONE << (input_bits - top + THREE)) - ONE)


@hot_inline
def _note(notes, stage, level, table, index, address, wanted):  # type: ignore[no-untyped-def]
    """A descriptor is about to be read at PA `address`, entry `index` of `table`, to translate `wanted`. See NOTE_WORDS."""
    if notes is None:
        return
    row = NOTE_WORDS * (notes[0] + ONE)
    notes[row] = stage
    notes[row + ONE] = level
    notes[row + TWO] = table
    notes[row + THREE] = index
    notes[row + np.uint64(4)] = address
    notes[row + np.uint64(5)] = wanted
    notes[row + np.uint64(6)] = ZERO
    notes[0] += ONE


@hot_inline
def _note_descriptor(notes, descriptor):  # type: ignore[no-untyped-def]
    """What was read there."""
    if notes is None:
        return
    row = NOTE_WORDS * notes[0]
    notes[row + np.uint64(6)] = ONE
    notes[row + np.uint64(7)] = descriptor


@hot_inline
def _decode(descriptor, level, output_bits):  # type: ignore[no-untyped-def]
    """What a descriptor of either stage is: (leaf, status); status 0 when the walk may use it (DDI 0487, D8.3)."""
    leaf = level == THREE or descriptor & TWO == ZERO
    if descriptor & ONE == ZERO or (descriptor & TWO == ZERO and (level == ZERO or level == THREE)):
        return leaf, TRANSLATION + level
    if (descriptor & ADDRESS_MASK) >> output_bits != ZERO:
        return leaf, ADDRESS_SIZE + level
    if leaf and descriptor & ACCESS_FLAG_BIT == ZERO:
        return leaf, ACCESS_FLAG + level
    return leaf, ZERO


@hot_inline
def _read(ram, address, level, output_bits, notes):  # type: ignore[no-untyped-def]
    """The descriptor at PA `address` and what it is: (descriptor, leaf, status); an external abort where there is no RAM."""
    word = (address - ram.base) >> THREE
    if address < ram.base or word >= ram.words:
        return ZERO, False, EXTERNAL_ON_WALK + level
    descriptor = load64(ram.at + (word << THREE))
    _note_descriptor(notes, descriptor)
    leaf, status = _decode(descriptor, level, output_bits)
    return descriptor, leaf, status


@hot_inline
def _output(descriptor, level, address):  # type: ignore[no-untyped-def]
    """Where a leaf puts this address; output address bits below a block's size are not looked at."""
    offset = (ONE << _shift(level)) - ONE
    return (descriptor & ADDRESS_MASK & ~offset) | (address & offset)


@hot_inline
def _stage2_start(regime, ipa, output_bits):  # type: ignore[no-untyped-def]
    """Where stage 2 begins: (table, index, level, status). Start level and concatenation: D8.2.5."""
    input_bits, start = np.uint64(64) - (regime.vtcr & np.uint64(0x3F)), (regime.vtcr >> np.uint64(6)) & THREE
    if start == THREE:
        return ZERO, ZERO, ZERO, TRANSLATION
    level = TWO - start
    top = _shift(level)
    if input_bits <= top or input_bits > top + MOST_INDEX_BITS or ipa >> input_bits != ZERO:
        return ZERO, ZERO, ZERO, TRANSLATION
    table = _root(regime.vttbr, input_bits, top)
    status = ADDRESS_SIZE if table >> output_bits != ZERO else ZERO
    return table, ipa >> top, level, status  # every bit above: concatenated tables are one longer table


@hot_inline
def stage2(ram, regime, ipa, notes, walk_cache):  # type: ignore[no-untyped-def]
    """Walk stage 2 for one IPA.

    ipa: bytes. notes: None, or see NOTE_WORDS. walk_cache: None, or where in the host one of this regime is.
    Returns (pa, descriptor, level, status): the output address, the leaf descriptor, its level; status 0 when translated,
    otherwise FAULT | FSC including the level. Permissions are the caller's to check (`stage2_permissions`).
    Source: DDI 0487, D8.2.3 "stage 2 translation process".
    """
    output_bits = _output_bits((regime.vtcr >> SIXTEEN) & np.uint64(7))
    known, table, _attributes = recall(walk_cache, ipa)
    if known:
        index, level = (ipa >> TWELVE) & np.uint64(0x1FF), THREE
    else:
        table, index, level, status = _stage2_start(regime, ipa, output_bits)
        if status != ZERO:
            return ZERO, ZERO, ZERO, status
    while True:
        address = table + (index << THREE)
        _note(notes, TWO, level, table, index, address, ipa)
        descriptor, leaf, status = _read(ram, address, level, output_bits, notes)
        if status != ZERO:
            return ZERO, descriptor, level, status
        if leaf:
            return _output(descriptor, level, ipa), descriptor, level, ZERO
        table = descriptor & ADDRESS_MASK
        level += ONE
        keep(walk_cache, ipa, level, table, ZERO)
        index = (ipa >> _shift(level)) & np.uint64(0x1FF)


@hot_inline
def stage2_permissions(descriptor):  # type: ignore[no-untyped-def]
    """READ, WRITE, FETCH of a stage-2 leaf: S2AP bits 7:6, XN bit 54 (D8.4.2); a page must be readable to be executed."""
    permissions = (descriptor >> np.uint64(6)) & THREE
    if permissions & READ != ZERO and descriptor & UXN == ZERO:
        permissions |= FETCH
    return permissions


@hot_inline
def stage1_permissions(descriptor, table_attributes, wxn):  # type: ignore[no-untyped-def]
    """READ, WRITE, FETCH for EL1, and for EL0 shifted by EL0_SHIFT, of a stage-1 leaf.

    table_attributes: bits 62:59 of every table descriptor on the way, or-ed (D8.4.1 "hierarchical permissions").
    """
    writable = descriptor & np.uint64(1 << 7) == ZERO and table_attributes & np.uint64(1 << 62) == ZERO
    user = descriptor & np.uint64(1 << 6) != ZERO and table_attributes & np.uint64(1 << 61) == ZERO
    pxn = (descriptor & PXN) | (table_attributes & np.uint64(1 << 59)) != ZERO
    uxn = (descriptor & UXN) | (table_attributes & np.uint64(1 << 60)) != ZERO
    el1, el0 = READ, ZERO
    if writable:
        el1 |= WRITE
    if user:
        el0 |= READ
        if writable:
            el0 |= WRITE
    if not pxn and el0 & WRITE == ZERO and not (wxn and writable):
        el1 |= FETCH  # code that EL0 can write is never executable at EL1
    if not uxn and not (wxn and el0 & WRITE != ZERO):
        el0 |= FETCH
    return el1 | (el0 << EL0_SHIFT)


@hot_inline
def untagged(va, tcr):  # type: ignore[no-untyped-def]
    """The address that is translated: with TCR_EL1.TBI0 or TBI1 the top byte is a tag, and repeats bit 55 (D8.8)."""
    upper = va >> np.uint64(55) & ONE != ZERO
    if (tcr >> (TCR_TBI1 if upper else TCR_TBI0)) & ONE == ZERO:
        return va
    return va | TAG if upper else va & ~TAG


@hot_inline
def _stage1_start(regime, va, output_bits):  # type: ignore[no-untyped-def]
    """Where stage 1 begins: (table, index, level, status). D8.2.2; a TTBR's half, T0SZ and EPD in TCR_EL1."""
    upper = va >> np.uint64(55) & ONE != ZERO
    half, ttbr = (regime.tcr >> SIXTEEN, regime.ttbr1) if upper else (regime.tcr, regime.ttbr0)
    size, disabled = half & np.uint64(0x3F), half & np.uint64(1 << 7)
    size = min(max(size, np.uint64(16)), np.uint64(39))  # outside, the architecture lets us clamp
    input_bits = np.uint64(64) - size
    above = untagged(va, regime.tcr) >> input_bits
    if above != (ALL_ONES >> input_bits if upper else ZERO) or disabled != ZERO:
        return ZERO, ZERO, ZERO, TRANSLATION
    level = np.uint64(4) - (input_bits - np.uint64(4)) // NINE
    top = _shift(level)
    table = _root(ttbr, input_bits, top)
    status = ADDRESS_SIZE if table >> output_bits != ZERO else ZERO
    return table, (va & ((ONE << input_bits) - ONE)) >> top, level, status


@hot_inline
def _through_stage2(ram, regime, ipa, notes, walk_cache):  # type: ignore[no-untyped-def]
    """The PA of a stage-1 descriptor, which is read and so must be readable: (pa, level, status)."""
    if regime.two_stages == ZERO:
        return ipa, ZERO, ZERO
    pa, leaf, level, status = stage2(ram, regime, ipa, notes, walk_cache)
    if status == ZERO and stage2_permissions(leaf) & READ == ZERO:
        status = PERMISSION + level
    return pa, level, status


@hot_inline
def stage1(ram, regime, va, notes, walk_cache):  # type: ignore[no-untyped-def]
    """Walk stage 1 for one VA; each descriptor is read through stage 2 when the regime has two stages.

    Returns (ipa, permissions, level, not_global, status, stage2_ipa): `status` as in `stage2`; when the fault is stage 2's,
    on the walk itself, `stage2_ipa` is the descriptor's IPA with bit 0 set, otherwise 0.
    Source: DDI 0487, D8.2.2 "stage 1 translation process".
    """
    output_bits = _output_bits((regime.tcr >> np.uint64(32)) & np.uint64(7))
    mine = None if walk_cache is None else walk_cache + STAGE1_SLOTS
    known, table, hierarchical = recall(mine, va)
    if known:
        index, level = (va >> TWELVE) & np.uint64(0x1FF), THREE
    else:
        table, index, level, status = _stage1_start(regime, va, output_bits)
        if status != ZERO:
            return ZERO, ZERO, ZERO, ZERO, status, ZERO
        hierarchical = ZERO
    while True:
        where = table + (index << THREE)
        address, s2_level, status = _through_stage2(ram, regime, where, notes, walk_cache)
        if status != ZERO:
            return ZERO, ZERO, s2_level, ZERO, status, where | ONE
        _note(notes, ONE, level, table, index, address, va)
        descriptor, leaf, status = _read(ram, address, level, output_bits, notes)
        if status != ZERO:
            return ZERO, ZERO, level, ZERO, status, ZERO
        if leaf:
            permissions = stage1_permissions(descriptor, hierarchical, regime.sctlr & WXN != ZERO)
            return _output(descriptor, level, va), permissions, level, descriptor & NOT_GLOBAL, ZERO, ZERO
        hierarchical |= descriptor
        table = descriptor & ADDRESS_MASK
        level += ONE
        keep(mine, va, level, table, hierarchical)
        index = (va >> _shift(level)) & np.uint64(0x1FF)


@hot_inline
def first_stage(ram, regime, va, kind, el0, notes, walk_cache):  # type: ignore[no-untyped-def]
    """Stage 1 of one access, on or off, with its permissions: arguments as for `translate`, results as for `stage1`."""
    if regime.sctlr & ONE == ZERO:
        ipa = untagged(va, regime.tcr)
        return ipa, np.uint64(0x3F), ZERO, ZERO, ADDRESS_SIZE if ipa >> np.uint64(44) != ZERO else ZERO, ZERO
    ipa, permissions, level, ng, status, walked = stage1(ram, regime, va, notes, walk_cache)
    if status == ZERO and (permissions >> (EL0_SHIFT if el0 != ZERO else ZERO)) & kind == ZERO:
        status = PERMISSION + level
    return ipa, permissions, level, ng, status, walked


@hot_inline
def translate(ram, regime, va, kind, el0, notes, walk_cache):  # type: ignore[no-untyped-def]
    """Both stages for one access, with permissions, in the order the architecture gives faults (D8.15.3).

    kind: READ, WRITE or FETCH. el0: nonzero when checked as EL0. notes: None, or see NOTE_WORDS. walk_cache: None, or where in
    the host one of this regime is.
    Returns (pa, leaf, ipa, status, stage, s1ptw). `leaf` packs what a TLB entry needs: permission bits 8:0, the smaller
    of both page shifts in bits 21:16, not-global bit 11, stage-1 level 25:24, stage-2 level 27:26.
    """
    ipa, permissions, level1, ng, status, walked = first_stage(ram, regime, va, kind, el0, notes, walk_cache)
    if walked != ZERO:
        return ZERO, ZERO, walked & ~ONE, status, TWO, ONE
    if status != ZERO:
        return ZERO, ZERO, ZERO, status, ONE, ZERO
    shift = _shift(level1)  # with stage 1 off, level 0: no limit
    pa, level2, s2 = ipa, ZERO, np.uint64(7)
    if regime.two_stages != ZERO:
        pa, descriptor, level2, status = stage2(ram, regime, ipa, notes, walk_cache)
        s2 = stage2_permissions(descriptor)
        if status == ZERO and s2 & kind == ZERO:
            status = PERMISSION + level2
        if status != ZERO:
            return ZERO, ZERO, ipa, status, TWO, ZERO
        shift = min(shift, _shift(level2))
    leaf = permissions | (s2 << S2_SHIFT) | ng | (shift << np.uint64(16))
    leaf |= (level1 << np.uint64(24)) | (level2 << np.uint64(26))
    return pa, leaf, ipa, ZERO, ZERO, ZERO
