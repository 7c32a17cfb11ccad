"""The architectural TLB: what a core is allowed to remember, and only TLBI makes it forget (DDI 0487, D8.16).

Unicorn has a TLB of its own, sized by host time, so what it still holds differs from run to run. A guest that forgets a
TLBI, or a hypervisor that reuses a VMID, must see the stale translation *every* time. So this TLB stands in front of the
walk: an entry enters when it is first used and leaves by TLBI, or by one declared flush when a set is full. Unicorn's is
then a subset that may be dropped at will, and need not be dropped where nothing of ours goes: whoever evicts says how far
that reaches. A kernel invalidates fifty thousand pages while it boots, nearly all of which no TLB has ever held.

    NOTHING  no entry of ours went      PAGES  only entries of 4 KiB, each one page of Unicorn's too      BEYOND  more than that

A stage-1 block over smaller stage-2 pages is an entry for each of those, and a TLBI of any address in the block is of them all;
`pieces` says that there are any, and then the whole TLB is searched for them.

Unicorn's keeps a page under each tagged address that it was reached by, which ours does not tell apart: once there is one,
`tagged` is set, and an eviction drops all of Unicorn's.

    set = hash of the page (not of ASID or VMID, so that TLBI VAA and IPA find theirs in one set)
    tlb_page[i]     VA page number at the entry's size, without a tag (walk.untagged): 0x0100… is not the page of 0x0000…
    tlb_context[i]  VMID 7:0 · ASID 23:8 · shift 29:24 · global 30 · stage-1 off 31 · valid 32      (0: empty)
    tlb_leaf[i]     permissions, levels (see walk.translate)       tlb_ipa[i]  IPA, for TLBI by IPA; PA is in tlb_pa
"""

from __future__ import annotations

import numpy as np

from minivisor.machine.hot import entry, hot
from minivisor.machine.state import TLB_SETS, TLB_WAYS, core_at

__all__ = [
    "BEYOND",
    "MISS",
    "NOTHING",
    "PAGES",
    "evict_all",
    "evict_asid",
    "evict_ipa",
    "evict_va",
    "forget_all",
    "forget_ipa",
    "forget_vmid",
    "insert",
    "lookup",
]

ZERO, ONE = np.uint64(0), np.uint64(1)
NOTHING, PAGES, BEYOND = np.uint64(0), np.uint64(1), np.uint64(2)
WAYS, SETS = np.uint64(TLB_WAYS), np.uint64(TLB_SETS)
MISS = np.uint64(TLB_SETS * TLB_WAYS)
ENTRIES = TLB_SETS * TLB_WAYS
GLOBAL, OFF, VALID = np.uint64(1 << 30), np.uint64(1 << 31), np.uint64(1 << 32)
VMID_MASK, ASID_MASK = np.uint64(0xFF), np.uint64(0xFFFF << 8)
PAGE_SHIFT, BLOCK_SHIFT, GIGA_SHIFT = np.uint64(12), np.uint64(21), np.uint64(30)
TOP_BYTE = np.uint64(0xFF << 56)
GOLDEN = np.uint64(0x9E37_79B9_7F4A_7C15)


@hot
def _set_of(page, shift):  # type: ignore[no-untyped-def]
    """First slot of the set where a page of this size lives."""
    return (((page + shift) * GOLDEN) >> np.uint64(53)) % SETS * WAYS


@hot
def _find(core, va, shift, context):  # type: ignore[no-untyped-def]
    page = va >> shift
    first = _set_of(page, shift)
    wanted = context | (shift << np.uint64(24)) | VALID
    for way in range(TLB_WAYS):
        slot = first + np.uint64(way)
        if core.tlb_page[slot] == page and core.tlb_context[slot] == wanted:
            return slot
    return MISS


@hot
def lookup(core, va, asid, stage1_off):  # type: ignore[no-untyped-def]
    """The slot that translates va for the loaded VMID and this ASID, or MISS. Entries of three sizes, global or not."""
    shared = core.vmid | GLOBAL | (OFF if stage1_off != ZERO else ZERO)
    own = core.vmid | (asid << np.uint64(8))
    for step in range(3):
        shift = PAGE_SHIFT + np.uint64(9 * step)
        slot = _find(core, va, shift, shared)
        if slot == MISS and stage1_off == ZERO:
            slot = _find(core, va, shift, own)
        if slot != MISS:
            return slot
    return MISS


@hot
def _stage1_shift(leaf):  # type: ignore[no-untyped-def]
    """The size of what the stage-1 descriptor maps, as a shift."""
    return np.uint64(39) - np.uint64(9) * ((leaf >> np.uint64(24)) & np.uint64(3))


@hot
def insert(core, va, asid, stage1_off, pa, leaf, ipa):  # type: ignore[no-untyped-def]
    """Remember one translation. A full set is the declared flush: everything goes, deterministically, and is counted.

    The slot; whoever calls it drops Unicorn's too when `tlb_flushes` has counted one.
    """
    shift = min((leaf >> np.uint64(16)) & np.uint64(0x3F), GIGA_SHIFT)
    page = va >> shift
    context = core.vmid | (shift << np.uint64(24)) | VALID
    if stage1_off != ZERO:
        context |= OFF | GLOBAL
    elif leaf & np.uint64(1 << 11) == ZERO:
        context |= GLOBAL
    else:
        context |= asid << np.uint64(8)
    if stage1_off == ZERO and shift < _stage1_shift(leaf):
        core.pieces = ONE
    first = _set_of(page, shift)
    slot = MISS
    for way in range(TLB_WAYS):
        if core.tlb_context[first + np.uint64(way)] == ZERO:
            slot = first + np.uint64(way)
            break
    if slot == MISS:
        evict_all(core)
        core.tlb_flushes += ONE
        slot = first
    offset = (ONE << shift) - ONE
    core.tlb_page[slot] = page
    core.tlb_context[slot] = context
    core.tlb_leaf[slot] = leaf
    core.tlb_pa[slot] = pa & ~offset
    core.tlb_ipa[slot] = ipa & ~offset
    return slot


@hot
def evict_all(core):  # type: ignore[no-untyped-def]
    """Drop everything (TLBI ALLE1)."""
    core.tlb_context[:] = ZERO
    core.pieces = ZERO


@hot
def evict_asid(core, asid, every_asid):  # type: ignore[no-untyped-def]
    """TLBI ASIDE1, or VMALLE1 when `every_asid`: entries of the loaded VMID; by ASID, global entries stay. Its reach."""
    mask, wanted = VMID_MASK | VALID, core.vmid | VALID
    if every_asid == ZERO:
        mask, wanted = mask | ASID_MASK | GLOBAL, wanted | asid << np.uint64(8)
    contexts, gone = core.tlb_context, ZERO
    for slot in range(ENTRIES):  # without a branch: several entries at once
        context = contexts[slot]
        mine = context & mask == wanted
        contexts[slot] = ZERO if mine else context
        gone += ONE if mine else ZERO
    return BEYOND if gone != ZERO else NOTHING


@hot
def _named(core, slot, asid, every_asid):  # type: ignore[no-untyped-def]
    """Is this an entry of the loaded VMID, and of that ASID, of any, or global?"""
    context = core.tlb_context[slot]
    if context == ZERO or context & VMID_MASK != core.vmid:
        return False
    return every_asid != ZERO or context & GLOBAL != ZERO or context & ASID_MASK == asid << np.uint64(8)


@hot
def _evict_pieces(core, va, asid, every_asid):  # type: ignore[no-untyped-def]
    """The pieces of the stage-1 block that holds va, wherever they are. Their reach."""
    reach = NOTHING
    for slot in range(ENTRIES):
        block = _stage1_shift(core.tlb_leaf[slot])
        shift = (core.tlb_context[slot] >> np.uint64(24)) & np.uint64(0x3F)
        if shift >= block or core.tlb_context[slot] & OFF != ZERO or not _named(core, slot, asid, every_asid):
            continue
        if core.tlb_page[slot] >> (block - shift) == va >> block:
            core.tlb_context[slot] = ZERO
            reach = BEYOND
    return reach


@hot
def evict_va(core, va, asid, every_asid):  # type: ignore[no-untyped-def]
    """TLBI VAE1, or VAAE1 when `every_asid`: all that came from the descriptors of va, for the loaded VMID. Its reach.

    va: bits 55:0.
    """
    va = va | TOP_BYTE if va >> np.uint64(55) & ONE != ZERO else va & ~TOP_BYTE
    reach = _evict_pieces(core, va, asid, every_asid) if core.pieces != ZERO else NOTHING
    for step in range(3):
        shift = PAGE_SHIFT + np.uint64(9 * step)
        page = va >> shift
        first = _set_of(page, shift)
        for way in range(TLB_WAYS):
            slot = first + np.uint64(way)
            if core.tlb_page[slot] != page or (core.tlb_context[slot] >> np.uint64(24)) & np.uint64(0x3F) != shift:
                continue
            if _named(core, slot, asid, every_asid):
                core.tlb_context[slot] = ZERO
                reach = max(reach, PAGES if step == 0 else BEYOND)
    return reach


@hot
def evict_ipa(core, ipa):  # type: ignore[no-untyped-def]
    """TLBI IPAS2E1 followed by VMALLE1, as EL2 must pair them: entries of the loaded VMID from the descriptor of this IPA."""
    for slot in range(ENTRIES):
        context = core.tlb_context[slot]
        if context == ZERO or context & VMID_MASK != core.vmid:
            continue
        block = np.uint64(39) - np.uint64(9) * ((core.tlb_leaf[slot] >> np.uint64(26)) & np.uint64(3))
        if core.tlb_ipa[slot] >> block == ipa >> block:
            core.tlb_context[slot] = ZERO


# ── for EL2's software, by the address of the core's record ──


@entry("void", "u64")
def forget_all(address):  # type: ignore[no-untyped-def]
    """`evict_all`."""
    evict_all(core_at(address))


@entry("void", "u64")
def forget_vmid(address):  # type: ignore[no-untyped-def]
    """TLBI VMALLS12E1 for the VMID that is loaded."""
    evict_asid(core_at(address), ZERO, ONE)


@entry("void", "u64", "u64")
def forget_ipa(address, ipa):  # type: ignore[no-untyped-def]
    """`evict_ipa`."""
    evict_ipa(core_at(address), ipa)
