"""How much the TLBs hold: the one declared flush when a set of ours is full, and Unicorn's, which grows with the guest."""

from __future__ import annotations

import numpy as np

from minivisor.machine.state import TLB_SETS, TLB_WAYS
from minivisor.machine.tlb import MISS, _set_of, insert, lookup
from tests.machine import a64
from tests.machine.rig import S1_RW, TCR, XN, Rig
from tests.machine.test_tlb import BLOCK, NEW, OLD, TBI0, P, Q, load, marked


def thrash() -> tuple[int, int, int, int]:
    """A guest loads through more pages than the TLB has entries: (loads, walks, declared flushes, what a stale page is)."""
    rig = marked()
    lower, _ = rig.mmu_on()
    entry = rig.map(lower, P, OLD | S1_RW, 3)
    assert load(rig, P) == OLD
    rig.memory.write(entry, NEW | S1_RW | 3)
    pages = TLB_SETS * TLB_WAYS + 3000
    for va in range(BLOCK, BLOCK + 4096 * pages, 2 << 20):
        first = rig.map(lower, va, OLD | S1_RW, 3)
        rig.memory.span(first, 4096).view(np.uint64)[:] = OLD | S1_RW | XN | 3
    walks, flushes = int(rig.core.record.walks), int(rig.core.record.tlb_flushes)
    loop = [a64.LDR(0, 1), 0x91400421, a64.SUBS(2, 2, 1), a64.CBNZ(2, -12), a64.HVC(1)]  # add x1, x1, #1, lsl #12
    rig.start(loop, X1=BLOCK, X2=pages)
    assert rig.hvc() == 1
    return pages, int(rig.core.record.walks) - walks, int(rig.core.record.tlb_flushes) - flushes, load(rig, P)


def test_a_full_set_is_a_counted_flush_and_the_same_in_two_runs() -> None:
    """And it is of everything: half a flush would make what is stale depend on what else was there."""
    pages, walks, flushes, stale = first = thrash()
    assert flushes >= 1
    assert stale == NEW
    assert pages <= walks <= pages + 2 * flushes + 4  # the code page is walked again after each flush
    assert thrash() == first


def test_the_declared_flush_is_of_everything() -> None:
    """One entry too many for one set, and a bystander in another: only the newest is left."""
    record = Rig().core.record
    record.vmid = 1
    leaf, asid, off = np.uint64(12 << 16), np.uint64(0), np.uint64(0)
    pages = [np.uint64(page) for page in range(1 << 16) if _set_of(np.uint64(page), np.uint64(12)) == 160]
    other = next(np.uint64(page) for page in range(1 << 16) if _set_of(np.uint64(page), np.uint64(12)) == 320)
    for page in (other, *pages[: TLB_WAYS + 1]):
        va = page << np.uint64(12)
        insert(record, va, asid, off, va, leaf, va)
    assert int(record.tlb_flushes) == 1
    assert np.count_nonzero(record.tlb_context) == 1
    assert lookup(record, pages[TLB_WAYS] << np.uint64(12), asid, off) != MISS


def test_the_engines_tlb_grows_with_what_a_guest_touches() -> None:
    """Unicorn's has 256 entries at first, and a guest that sweeps over more without a TLBI would miss for ever."""
    rig = marked()
    lower, _ = rig.mmu_on()
    for va in range(BLOCK, BLOCK + (4 << 20), 2 << 20):
        first = rig.map(lower, va, OLD | S1_RW, 3)
        rig.memory.span(first, 4096).view(np.uint64)[:] = OLD | S1_RW | XN | 3
    sweep = [a64.LDR(0, 1), 0x91400421, a64.SUBS(2, 2, 1), a64.CBNZ(2, -12)]  # add x1, x1, #1, lsl #12
    words = [0xAA0303E1, 0xAA0403E2, *sweep, a64.SUBS(5, 5, 1), a64.CBNZ(5, -28), a64.HVC(1)]  # mov x1, x3; mov x2, x4
    rounds, pages = 600, 1024
    rig.start(words, X3=BLOCK, X4=pages, X5=rounds)
    fills, walks = int(rig.core.record.fills), int(rig.core.record.walks)
    assert rig.hvc() == 1
    assert pages <= int(rig.core.record.walks) - walks <= pages + 8
    assert pages < int(rig.core.record.fills) - fills < rounds * pages * 2 // 3


def test_the_declared_flush_empties_the_engines_tlb_too() -> None:
    """What is stale must not be seen through what Unicorn still has; while it takes an entry, which it then looks up."""
    rig = marked()
    lower, _ = rig.mmu_on()
    entry = rig.map(lower, P, OLD | S1_RW, 3)
    rig.map(lower, Q, NEW | S1_RW, 3)
    rig.start(a64.LDR(10, 1), a64.HVC(1), a64.LDR(11, 2), a64.LDR(12, 1), a64.HVC(2), X1=P, X2=Q)
    assert rig.hvc() == 1
    rig.memory.write(entry, NEW | S1_RW | 3)
    first = int(_set_of(np.uint64(Q >> 12), np.uint64(12)))
    rig.core.record.tlb_context[first : first + TLB_WAYS] = 0xFF  # of some other VMID: this set is full
    assert rig.hvc() == 2
    assert int(rig.core.record.tlb_flushes) == 1
    assert rig.read("X10", "X11", "X12") == (OLD, NEW, NEW)


def test_the_declared_flush_by_a_tagged_address_does_not_forget_the_tag() -> None:
    """The entry that it makes room for is one that a TLBI of the page must find under its tag."""
    rig = marked()
    lower, _ = rig.mmu_on()
    rig.core.write("TCR_EL1", TCR | TBI0)
    entry = rig.map(lower, Q, OLD | S1_RW, 3)
    words = [a64.LDR(11, 2), a64.HVC(1), a64.sys("TLBI VAE1", 4), a64.DSB, a64.ISB, a64.LDR(12, 2), a64.HVC(2)]
    rig.start(*words, X2=Q | 0x5A << 56, X4=Q >> 12)
    first = int(_set_of(np.uint64(Q >> 12), np.uint64(12)))
    rig.core.record.tlb_context[first : first + TLB_WAYS] = 0xFF  # of some other VMID: this set is full
    assert rig.hvc() == 1
    assert int(rig.core.record.tlb_flushes) == 1
    rig.memory.write(entry, NEW | S1_RW | 3)
    assert rig.hvc() == 2
    assert rig.read("X11", "X12") == (OLD, NEW)
