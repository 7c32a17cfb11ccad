"""The architectural TLB: stale until TLBI, every time, whatever the engine's own TLB still holds.

Guests load through a translation, somebody changes the tables, guests load again. OLD and NEW are two pages that hold
their own address, so a load says which translation it went through.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from minivisor.machine import engine
from tests.machine import a64
from tests.machine.rig import AF, CODE, DATA, DATA_EC, HVC_EC, NG, RAM, S1_RO, S1_RW, S2_RWX, SCTLR, TCR, Rig

OLD, NEW = RAM + 0x20_0000, RAM + 0x60_0000  # 2 MiB aligned, for blocks too
FAR_VA = 0x1_0000_0000
P, Q, G, BLOCK = (FAR_VA + n * 0x20_0000 for n in range(4))  # page, page, global page, block of 2 MiB
INSIDE = 0x12_3000  # some page of a block, not its first
TBI0 = 1 << 37


@pytest.fixture(params=["minivisor", "unicorn"])
def rig(request: pytest.FixtureRequest) -> Rig:
    return marked(request.param)


def marked(mmu: str = "minivisor") -> Rig:
    rig = Rig(mmu)
    for page in (OLD, NEW, OLD + INSIDE, NEW + INSIDE):
        rig.memory.write(page, page)
    return rig


def load(rig: Rig, va: int, asid: int | None = None) -> int:
    """One guest load at EL1; the value, or minus the EC of what happened instead."""
    if asid is not None:
        rig.core.write("TTBR0_EL1", asid << 48 | rig.core.read("TTBR0_EL1") & 0xFFFF_FFFF_FFFF)
    rig.start(a64.LDR(0, 1), a64.HVC(7), X1=va)
    ec, iss = rig.exit()
    return (
        rig.core.read("X0") if (ec, iss) == (HVC_EC, 7) else -(ec if ec != HVC_EC else rig.core.read("ESR_EL1") >> 26)
    )


def forget_engine_tlb(rig: Rig) -> None:
    """Unicorn's own TLB is sized by host time: empty it, as a pause of the host would."""
    engine.flush_tlb(rig.core.uc)


# ── stage 1 ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def remap_by_guest(level: int, tlbi: bool, disturb: Callable[[Rig], None]) -> list[int]:
    """A guest loads, points the descriptor elsewhere, loads again, with or without the TLBI that it owes. The values."""
    rig = marked()
    lower, _ = rig.mmu_on()
    entry = rig.map(lower, BLOCK, OLD | S1_RW, level)
    va, new = BLOCK + (INSIDE if level == 2 else 0), NEW | S1_RW | (3 if level == 3 else 1)
    words = [a64.LDR(10, 1), a64.HVC(1), a64.STR(2, 3), a64.DSB, a64.LDR(11, 1), a64.HVC(2)]
    words += [a64.sys("TLBI VAE1IS", 4) if tlbi else a64.NOP, a64.DSB, a64.ISB]
    words += [a64.LDR(12, 1), a64.HVC(3), a64.LDR(13, 1), a64.HVC(4)]
    rig.start(words, X1=va, X2=new, X3=entry, X4=va >> 12)
    for number in (1, 2, 3, 4):
        assert rig.hvc() == number
        disturb(rig)
    return [value % 0x20_0000 + (value & -0x20_0000) for value in rig.read("X10", "X11", "X12", "X13")]


@pytest.mark.parametrize("level", [3, 2], ids=["page", "inside a block"])
@pytest.mark.parametrize("disturb", [lambda rig: None, forget_engine_tlb], ids=["quiet", "engine TLB lost"])
def test_a_forgotten_tlbi_at_stage_1_shows_the_old_page_every_time(level: int, disturb: Callable[[Rig], None]) -> None:
    offset = INSIDE if level == 2 else 0
    for _run in range(2):
        assert remap_by_guest(level, False, disturb) == [OLD + offset] * 4


@pytest.mark.parametrize("level", [3, 2], ids=["page", "inside a block"])
def test_the_tlbi_shows_the_new_page(level: int) -> None:
    offset = INSIDE if level == 2 else 0
    assert remap_by_guest(level, True, lambda rig: None) == [OLD + offset] * 2 + [NEW + offset] * 2


def test_tlbi_of_one_page_of_a_block_forgets_the_whole_block(rig: Rig) -> None:
    """One entry holds the block; the other pages that the engine has cached must go with it (a Linux with huge pages)."""
    lower, _ = rig.mmu_on()
    entry = rig.map(lower, BLOCK, OLD | S1_RW, 2)
    assert [load(rig, BLOCK), load(rig, BLOCK + INSIDE)] == [OLD, OLD + INSIDE]
    rig.memory.write(entry, NEW | S1_RW | 1)
    rig.start(a64.sys("TLBI VAE1", 4), a64.DSB, a64.ISB, a64.HVC(1), X4=BLOCK + 0x5000 >> 12)
    assert rig.hvc() == 1
    assert [load(rig, BLOCK), load(rig, BLOCK + INSIDE)] == [NEW, NEW + INSIDE]


def test_a_tlbi_drops_from_the_engines_tlb_what_it_names_and_no_more() -> None:
    """A kernel invalidates fifty thousand pages while it boots, most of which no TLB ever held."""
    rig = marked()
    lower, _ = rig.mmu_on()
    for va, level in ((P, 3), (Q, 3), (BLOCK, 2)):
        rig.map(lower, va, OLD | S1_RW, level)
    steps = [
        ([], 2),  # the code, and P
        ([a64.sys("TLBI VAE1", 4)], 0),  # nobody ever used Q
        ([a64.LDR(0, 2), a64.sys("TLBI VAE1", 4)], 1),  # now it goes, and it alone
        ([a64.LDR(0, 2), a64.sys("TLBI VAALE1IS", 5)], 2),  # P goes, Q stays
        ([a64.LDR(0, 2), a64.sys("TLBI ASIDE1", 31)], 0),  # all entries are global
        ([a64.LDR(0, 3), a64.sys("TLBI VAE1", 6)], 3),  # a block is many pages of the engine's: the code goes too
        ([a64.sys("TLBI VMALLE1")], 2),
    ]
    registers = {"X1": P, "X2": Q, "X3": BLOCK, "X4": Q >> 12, "X5": P >> 12, "X6": BLOCK >> 12}
    rig.start(
        *([*words, a64.DSB, a64.ISB, a64.LDR(0, 1), a64.HVC(1)] for words, _ in steps),
        **registers,
    )
    fills = [int(rig.core.record.fills)]
    for _step in steps:
        assert rig.hvc() == 1
        fills.append(int(rig.core.record.fills))
    assert np.diff(fills).tolist() == [count for _, count in steps]


def test_a_block_whose_stage_2_is_pages_is_forgotten_as_one() -> None:
    """An entry is as large as the smaller of both stages, a TLBI by VA reaches all that came from one stage-1 descriptor.

    Unicorn's own MMU leaves the other pages behind: not on "unicorn".
    """
    rig = marked()
    lower, _ = rig.mmu_on()
    entry = rig.map(lower, BLOCK, OLD | S1_RW, 2)
    where = rig.map(rig.stage2, OLD, 0, 2)
    rig.memory.write(where, rig.table() | 3)
    for page in (OLD, OLD + INSIDE):
        rig.map(rig.stage2, page, page | S2_RWX, 3)
    rig.core.tlbi_all()
    words = [a64.LDR(10, 1), a64.LDR(11, 2), a64.HVC(1), a64.sys("TLBI VAE1", 4), a64.DSB, a64.ISB]
    rig.start(words, a64.LDR(12, 1), a64.LDR(13, 2), a64.HVC(2), X1=BLOCK, X2=BLOCK + INSIDE, X4=BLOCK >> 12)
    assert rig.hvc() == 1
    rig.memory.write(entry, NEW | S1_RW | 1)
    assert rig.hvc() == 2
    assert rig.read("X10", "X11", "X12", "X13") == (OLD, OLD + INSIDE, NEW, NEW + INSIDE)


ENTRIES = {"P1": (P, 1), "P2": (P, 2), "Q1": (Q, 1), "G": (G, 1), "block 1": (BLOCK + INSIDE, 1)}
OPERANDS = {"": 0, "P1": 1 << 48 | P >> 12, "P2": 2 << 48 | P >> 12, "G, ASID 2": 2 << 48 | G >> 12}
OPERANDS |= {"ASID 1": 1 << 48, "block 1": 1 << 48 | BLOCK >> 12, "P, ASID 7": 7 << 48 | P >> 12}
FORMS = [
    ("TLBI VAE1", "P1", {"P1"}),
    ("TLBI VAE1", "P2", {"P2"}),
    ("TLBI VAE1", "G, ASID 2", {"G"}),
    ("TLBI VAE1", "block 1", {"block 1"}),
    ("TLBI VAE1", "P, ASID 7", set()),
    ("TLBI VALE1", "P1", {"P1"}),
    ("TLBI VAAE1", "P, ASID 7", {"P1", "P2"}),
    ("TLBI VAALE1", "P, ASID 7", {"P1", "P2"}),
    ("TLBI ASIDE1", "ASID 1", {"P1", "Q1", "block 1"}),
    ("TLBI ASIDE1", "", set()),  # ASID 0 is nobody's, nor the global entries'
    ("TLBI VMALLE1", "", set(ENTRIES)),
]
FORMS += [(form + "IS", operand, gone) for form, operand, gone in FORMS]  # one core: inner shareable is the same


def filled() -> Rig:
    """Every entry of ENTRIES is cached for OLD, and every descriptor now says NEW."""
    rig = marked()
    lower, _ = rig.mmu_on()
    leaves = [(P, S1_RW | NG, 3), (Q, S1_RW | NG, 3), (G, S1_RW, 3), (BLOCK, S1_RW | NG, 2)]
    where = [rig.map(lower, va, OLD | attributes, level) for va, attributes, level in leaves]
    for va, asid in ENTRIES.values():
        assert load(rig, va, asid) & -0x20_0000 == OLD
    for entry, (_, attributes, level) in zip(where, leaves, strict=True):
        rig.memory.write(entry, NEW | attributes | (3 if level == 3 else 1))
    return rig


def renewed(rig: Rig) -> set[str]:
    """Which entries are looked up afresh."""
    return {name for name, (va, asid) in ENTRIES.items() if load(rig, va, asid) & -0x20_0000 == NEW}


@pytest.mark.parametrize(("form", "operand", "gone"), FORMS, ids=[f"{form} {operand}" for form, operand, _ in FORMS])
def test_each_tlbi_evicts_exactly_what_it_names(form: str, operand: str, gone: set[str]) -> None:
    rig = filled()
    rig.start(a64.sys(form, 4), a64.DSB, a64.ISB, a64.HVC(1), X4=OPERANDS[operand])
    assert rig.hvc() == 1
    assert renewed(rig) == gone


@pytest.mark.parametrize("form", ["TLBI VAE1", "TLBI VAAE1", "TLBI ASIDE1", "TLBI VMALLE1IS"])
def test_a_guests_tlbi_does_not_reach_another_vmid(form: str) -> None:
    rig = filled()
    rig.use_vmid(2)
    rig.start(a64.sys(form, 4), a64.DSB, a64.ISB, a64.HVC(1), X4=OPERANDS["P1"])
    assert rig.hvc() == 1
    rig.use_vmid(1)
    assert renewed(rig) == set()


def test_el2s_invalidations_reach_the_vmid_they_name() -> None:
    rig = filled()
    rig.core.tlbi_vmid(2)
    assert renewed(rig) == set()
    rig.core.tlbi_vmid(1)
    assert renewed(rig) == set(ENTRIES)
    rig = filled()
    rig.use_vmid(2)
    rig.core.tlbi_all()
    rig.use_vmid(1)
    assert renewed(rig) == set(ENTRIES)


def test_an_entry_is_of_its_asid_and_a_global_one_of_every() -> None:
    rig = filled()
    assert load(rig, P, 3) == NEW
    assert load(rig, G, 3) == OLD
    assert load(rig, G, 0) == OLD
    assert load(rig, P, 1) == OLD


def test_eight_bit_asids_ignore_the_upper_half() -> None:
    """TCR_EL1.AS = 0: ASID 0x101 is ASID 1."""
    rig = filled()
    rig.core.write("TCR_EL1", TCR & ~(1 << 36))
    assert load(rig, P, 0x101) == OLD
    rig.start(a64.sys("TLBI ASIDE1", 4), a64.DSB, a64.ISB, a64.HVC(1), X4=0x301 << 48)
    assert rig.hvc() == 1
    assert load(rig, P, 0x101) == NEW


def test_the_asid_is_that_of_the_ttbr_which_tcr_a1_names() -> None:
    rig = filled()
    rig.core.write("TCR_EL1", TCR | 1 << 22)
    rig.core.write("TTBR1_EL1", 2 << 48 | rig.core.read("TTBR1_EL1"))
    assert load(rig, P, 7) == OLD  # ASID 2, from TTBR1
    assert load(rig, Q, 1) == NEW  # never loaded under ASID 2


def test_asid_0_and_global_entries_of_one_page_live_side_by_side() -> None:
    """A page not global under ASID 0, then made global: the older entry must not hide the younger from ASID 5."""
    rig = marked()
    lower, _ = rig.mmu_on()
    entry = rig.map(lower, P, OLD | S1_RW | NG, 3)
    assert load(rig, P, 0) == OLD
    rig.memory.write(entry, NEW | S1_RW | 3)
    assert load(rig, P, 5) == NEW
    rig.memory.write(entry, OLD | S1_RW | 3)
    assert load(rig, P, 5) == NEW  # stale now


def test_unallocated_tlbi_encodings_are_undefined(rig: Rig) -> None:
    for op2 in (4, 6):
        rig.start(a64.sys((1, 0, 8, 7, op2), 4))
        assert rig.vector() == 0x200
        assert rig.core.read("ESR_EL1") == 1 << 25


def test_tlbi_at_el0_is_undefined(rig: Rig) -> None:
    rig.start(a64.sys("TLBI VMALLE1"), pstate=0x3C0)
    assert rig.vector() == 0x400


# ── tags, and stage 1 switched on and off ────────────────────────────────────────────────────────────────────────────


def test_a_tagged_address_is_not_the_entry_of_the_untagged_one(rig: Rig) -> None:
    lower, _ = rig.mmu_on()
    rig.map(lower, P, OLD | S1_RW, 3)
    assert load(rig, P) == OLD
    assert load(rig, P | 0x5A << 56) == -0x25  # TBI0 = 0: a translation fault, cached page or not
    assert rig.core.read("ESR_EL1") & 0x3F == 4
    assert rig.core.read("FAR_EL1") == P | 0x5A << 56
    rig.core.write("TCR_EL1", TCR | TBI0)
    assert load(rig, P | 0x5A << 56) == OLD


def test_tlbi_forgets_the_page_for_every_tag(rig: Rig) -> None:
    lower, _ = rig.mmu_on()
    rig.core.write("TCR_EL1", TCR | TBI0)
    entry = rig.map(lower, P, OLD | S1_RW, 3)
    assert [load(rig, P), load(rig, P | 0x77 << 56)] == [OLD, OLD]
    rig.memory.write(entry, NEW | S1_RW | 3)
    rig.start(a64.sys("TLBI VAE1", 4), a64.DSB, a64.ISB, a64.HVC(1), X4=P >> 12)
    assert rig.hvc() == 1
    assert [load(rig, P), load(rig, P | 0x77 << 56)] == [NEW, NEW]


def test_turning_the_mmu_on_and_off_needs_no_tlbi(rig: Rig) -> None:
    """Entries of a regime with stage 1 off are not found with it on, nor the other way round."""
    assert load(rig, OLD) == OLD
    lower, _ = rig.mmu_on()
    rig.map(lower, OLD, NEW | S1_RW, 2)
    assert load(rig, OLD) == NEW
    rig.core.write("SCTLR_EL1", SCTLR)
    assert load(rig, OLD) == OLD


def test_a_guest_that_writes_ttbr0_with_another_asid_sees_its_new_tables(rig: Rig) -> None:
    lower, _ = rig.mmu_on(asid=1)
    rig.map(lower, P, OLD | S1_RW | NG, 3)
    other = rig.table()
    rig.memory.span(other, 4096)[:] = rig.memory.span(lower, 4096)
    rig.memory.write(other + 8 * (P >> 30), 0)
    rig.map(other, P, NEW | S1_RW | NG, 3)
    words = [a64.LDR(10, 1), a64.msr("TTBR0_EL1", 2), a64.ISB, a64.LDR(11, 1), a64.msr("TTBR0_EL1", 3), a64.ISB]
    rig.start(words, a64.LDR(12, 1), a64.HVC(1), X1=P, X2=2 << 48 | other, X3=1 << 48 | lower)
    assert rig.hvc() == 1
    assert rig.read("X10", "X11", "X12") == (OLD, NEW, OLD)


def test_permissions_are_remembered_with_the_translation() -> None:
    """Read-only, then writable without a TLBI: the store still faults; with it, it goes through."""
    rig = marked()
    lower, _ = rig.mmu_on()
    entry = rig.map(lower, P, OLD | S1_RO, 3)
    assert load(rig, P) == OLD
    rig.memory.write(entry, OLD | S1_RW | 3)
    rig.start(a64.STR(0, 1, 8), a64.HVC(1), X1=P)
    assert rig.vector() == 0x200
    assert rig.core.read("ESR_EL1") == 0x25 << 26 | 1 << 25 | 1 << 6 | 0xF
    rig.start(a64.sys("TLBI VAE1", 4), a64.DSB, a64.ISB, a64.STR(0, 1, 8), a64.HVC(1), X1=P, X4=P >> 12)
    assert rig.hvc() == 1


# ── stage 2 ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_vmid_used_for_another_stage_2_shows_the_first_ones_pages_until_tlbi() -> None:
    for _run in range(2):
        rig = marked()
        other = rig.table()
        for ipa in (RAM, RAM + 0x40_0000):
            rig.map(other, ipa, ipa | S2_RWX, 2)
        rig.map(other, OLD, NEW | S2_RWX, 2)
        assert load(rig, OLD) == OLD
        rig.use_vmid(1, other)  # the mistake
        forget_engine_tlb(rig)
        assert load(rig, OLD) == OLD
        rig.use_vmid(2, other)
        assert load(rig, OLD) == NEW
        rig.use_vmid(1, other)
        assert load(rig, OLD) == OLD
        rig.core.tlbi_vmid(1)
        assert load(rig, OLD) == NEW


def test_a_stage_2_unmap_without_tlbi_stays_visible_and_with_it_faults() -> None:
    for _run in range(2):
        rig = marked()
        assert load(rig, OLD) == OLD
        rig.map(rig.stage2, OLD, 0, 2)
        rig.memory.write(rig.memory.read(rig.stage2 + 8 * 2) & ~0xFFF | OLD >> 21 << 3 & 0xFF8, 0)
        forget_engine_tlb(rig)
        assert load(rig, OLD) == OLD
        rig.core.tlbi_ipa(OLD + 0x1F_F000)  # any address of the block
        assert load(rig, OLD) == -DATA_EC
        assert rig.core.syndrome == (DATA_EC << 26 | 1 << 25 | 0x1C0_8000 | 6, OLD, OLD >> 8)


def test_tlbi_by_ipa_finds_the_page_under_any_virtual_address() -> None:
    rig = marked()
    lower, _ = rig.mmu_on()
    rig.map(lower, P, OLD | S1_RW, 3)
    rig.map(lower, Q, DATA | S1_RW, 3)
    assert load(rig, P) == OLD
    rig.memory.write(DATA, DATA)
    assert load(rig, Q) == DATA
    rig.map(rig.stage2, OLD, NEW | S2_RWX, 2)
    rig.core.tlbi_ipa(DATA)
    assert load(rig, P) == OLD
    rig.core.tlbi_ipa(OLD)
    assert load(rig, P) == NEW


def test_tlbi_by_ipa_forgets_every_page_that_came_from_the_block() -> None:
    """Stage 1 is pages, stage 2 a block: EL2 changes one descriptor and names any address in it."""
    rig = marked()
    lower, _ = rig.mmu_on()
    rig.map(lower, P, OLD | S1_RW, 3)
    rig.map(lower, Q, OLD + INSIDE | S1_RW, 3)
    assert [load(rig, P), load(rig, Q)] == [OLD, OLD + INSIDE]
    rig.map(rig.stage2, OLD, NEW | S2_RWX, 2)
    rig.core.tlbi_ipa(OLD + 0x5000)
    assert [load(rig, P), load(rig, Q)] == [NEW, NEW + INSIDE]


def test_code_runs_through_the_tlb_too(rig: Rig) -> None:
    """A stale executable page: the old code runs until the TLBI."""
    lower, _ = rig.mmu_on()
    rig.load([a64.HVC(0x11)], OLD)
    rig.load([a64.HVC(0x22)], NEW)
    entry = rig.map(lower, P, OLD | AF | 1 << 7, 3)
    rig.start(a64.BR(1), X1=P)
    assert rig.hvc() == 0x11
    rig.memory.write(entry, NEW | AF | 1 << 7 | 3)
    if rig.mmu == "minivisor":
        rig.start(a64.BR(1), X1=P)
        assert rig.hvc() == 0x11
    rig.start(a64.sys("TLBI VAE1", 4), a64.DSB, a64.ISB, a64.BR(1), X1=P, X4=P >> 12, at=CODE + 0x100)
    assert rig.hvc() == 0x22
