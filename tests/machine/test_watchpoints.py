"""Watchpoints: which bytes, which accesses, and who (DDI 0487, D2.10).

Ours; Unicorn's own MMU has none (docs/not-modelled.md).
"""

from __future__ import annotations

import pytest

from tests.machine import a64
from tests.machine.rig import CODE, DATA, EL0T, EL1H, TCR, Rig
from tests.machine.test_debug import KDE, MDE, D
from tests.machine.test_exceptions import IL, UNMAPPED
from tests.machine.watching import (
    ALL,
    DEBUG,
    EL0,
    EL1,
    LD4,
    LDP,
    LDRB,
    LINKED,
    LOAD,
    NEXT,
    STORE,
    STP,
    STUR,
    WNR,
    E,
    bas,
    fires,
    mask,
    two_pages,
    watch,
)


@pytest.fixture
def rig() -> Rig:
    return two_pages()


# ── the exception ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("store", [False, True], ids=["load", "store"])
@pytest.mark.parametrize(
    ("pstate", "ec", "offset"), [(EL0T, 0x34, 0x400), (EL1H & ~D, 0x35, 0x200)], ids=["EL0", "EL1"]
)
def test_a_watched_access_is_taken_to_el1_and_not_done(
    rig: Rig, pstate: int, ec: int, offset: int, store: bool, number: int
) -> None:
    """EL0's whether PSTATE.D is set or not."""
    rig.memory.write(DATA + 8, 0x1111)
    access = a64.STR(5, 1, 8) if store else a64.LDR(5, 1, 8)
    rig.start(a64.NOP, a64.ADD(6, 6, 1), access, a64.ADD(6, 6, 1), pstate=pstate, X1=DATA, X5=0x2222, X6=0)
    watch(rig, DATA + 8, number=number)
    before = rig.core.retired
    assert rig.vector() == offset
    iss = DEBUG | (WNR if store else 0)
    assert rig.read("ESR_EL1", "FAR_EL1", "ELR_EL1") == (ec << 26 | IL | iss, DATA + 8, CODE + 8)
    assert rig.read("SPSR_EL1", "X5", "X6") == (pstate, 0x2222, 1)
    assert rig.memory.read(DATA + 8) == 0x1111
    assert rig.core.retired - before == 2 + 1  # and the vector's HVC


def test_a_guest_arms_and_disarms_its_own(rig: Rig) -> None:
    words = [a64.msr("OSLAR_EL1", 31), a64.msr("DBGWVR2_EL1", 1), a64.msr("DBGWCR2_EL1", 2), a64.msr("MDSCR_EL1", 3)]
    words += [a64.STR(4, 1), a64.MSR_DAIFCLR(8), a64.STR(5, 1)]
    rig.start(words, pstate=EL1H, X1=DATA, X2=ALL, X3=MDE | KDE, X4=4, X5=5)
    assert rig.vector() == 0x200
    assert rig.read("ESR_EL1", "ELR_EL1", "DBGWVR2_EL1", "DBGWCR2_EL1") == (
        0x35 << 26 | IL | WNR | DEBUG,
        CODE + 24,
        DATA,
        ALL,
    )
    assert rig.memory.read(DATA) == 4
    rig.start(a64.msr("DBGWCR2_EL1", 31), a64.STR(5, 1), a64.HVC(1), pstate=EL1H & ~D)
    assert rig.hvc() == 1
    assert rig.memory.read(DATA) == 5


def test_a_fault_of_the_mmu_comes_first(rig: Rig) -> None:
    watch(rig, UNMAPPED)
    rig.start(a64.LDR(0, 1), pstate=EL1H & ~D, X1=UNMAPPED)
    assert rig.vector() == 0x200
    assert rig.core.read("ESR_EL1") >> 26 == 0x25
    assert rig.core.read("ESR_EL1") & 0x3F != DEBUG


def test_el2_takes_them_where_it_says_so(rig: Rig) -> None:
    """MDCR_EL2.TDE: PSTATE.D and KDE are of no account then."""
    watch(rig, DATA, mdscr=MDE)
    rig.start(a64.LDR(0, 1), a64.HVC(1), pstate=EL1H, X1=DATA, MDCR_EL2=1 << 8)
    assert rig.exit() == (0x34, DEBUG)
    assert rig.core.syndrome[1] == DATA
    assert rig.core.read("PC") == CODE


# ── which accesses ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("chosen", [(0,), (7,), (3, 4), (0, 1, 2, 3, 4, 5, 6, 7), (1, 2, 3)], ids=str)
def test_bytes_are_chosen_by_bas(rig: Rig, chosen: tuple[int, ...]) -> None:
    watch(rig, DATA, bas(*chosen))
    for byte in range(-1, 9):
        assert fires(rig, LDRB(0, 1), X1=DATA + 16 + byte) is None
    watch(rig, DATA + 16, bas(*chosen))
    for byte in range(-1, 9):
        assert fires(rig, LDRB(0, 1), X1=DATA + 16 + byte) == (DATA + 16 + byte if byte in chosen else None)
    for at in range(-8, 9):  # eight bytes, misaligned: the lowest that both have
        common = [byte for byte in chosen if at <= byte < at + 8]
        assert fires(rig, a64.LDR(0, 1), X1=DATA + 16 + at) == (DATA + 16 + common[0] if common else None)


def test_an_address_that_is_only_word_aligned_watches_four_bytes(rig: Rig) -> None:
    watch(rig, DATA + 20)
    assert [fires(rig, LDRB(0, 1), X1=DATA + n) is not None for n in range(16, 28)] == [4 <= n < 8 for n in range(12)]


@pytest.mark.parametrize("bits", [3, 4, 6, 12, 15, 31])
def test_ranges_are_chosen_by_mask(rig: Rig, bits: int) -> None:
    first = DATA >> bits << bits
    watch(rig, first, mask(bits))
    inside = {DATA, min(first + (1 << bits) - 1, NEXT + 0xFFF)}
    outside = {DATA + 0x800 if bits < 11 else 0, first + (1 << bits) if bits < 13 else 0} - {0}
    assert all(fires(rig, LDRB(0, 1), X1=va) == va for va in inside)
    assert all(fires(rig, LDRB(0, 1), X1=va) is None for va in outside)
    if bits < 12:
        assert fires(rig, STUR(0, 1, -4), X1=DATA + 0x800 + (1 << bits)) is None
    watch(rig, DATA + 0x800 >> bits << bits, mask(bits))
    if bits == 4:
        assert fires(rig, STUR(0, 1, -4), X1=DATA + 0x800) == DATA + 0x800  # the last four of its eight bytes


@pytest.mark.parametrize("control", [LOAD, STORE, LOAD | STORE])
def test_loads_or_stores_are_chosen_by_lsc(rig: Rig, control: int) -> None:
    watch(rig, DATA, ALL & ~(LOAD | STORE) | control)
    for _ in range(2):
        assert (fires(rig, a64.STR(0, 1), X1=DATA) is not None) == bool(control & STORE)
        assert (fires(rig, a64.LDR(0, 1), X1=DATA) is not None) == bool(control & LOAD)
    assert (fires(rig, a64.sys("DC ZVA", 1), X1=DATA) is not None) == bool(control & STORE)


@pytest.mark.parametrize("control", [EL0, EL1, EL0 | EL1])
def test_levels_are_chosen_by_pac(rig: Rig, control: int) -> None:
    watch(rig, DATA, ALL & ~(EL0 | EL1) | control)
    assert (fires(rig, a64.LDR(0, 1), EL1H & ~D, X1=DATA) is not None) == bool(control & EL1)
    assert (fires(rig, a64.LDR(0, 1), EL0T, X1=DATA) is not None) == bool(control & EL0)
    assert (fires(rig, a64.LDTR(0, 1), EL1H & ~D, X1=DATA) is not None) == bool(control & EL0)  # checked as EL0's


@pytest.mark.parametrize(
    ("pstate", "control", "mdscr"),
    [
        (EL1H & ~D, ALL & ~E, MDE | KDE),
        (EL1H & ~D, ALL, KDE),
        (EL0T & ~D, ALL, KDE),
        (EL1H & ~D, ALL, MDE),  # not at EL1 without KDE
        (EL1H, ALL, MDE | KDE),  # PSTATE.D
        (EL1H & ~D, ALL | 2 << 14, MDE | KDE),  # SSC: Secure state alone
        (EL1H & ~D, bas(), MDE | KDE),  # no byte
        (EL1H & ~D, ALL & ~(0xFF << 5) | 0xF0 << 5, MDE | KDE),  # others than are accessed
    ],
)
def test_what_keeps_a_watchpoint_from_firing(rig: Rig, pstate: int, control: int, mdscr: int) -> None:
    watch(rig, DATA, control, mdscr=mdscr)
    rig.memory.write(DATA, 0x1234_5678)
    assert fires(rig, a64.LDRW(0, 1), pstate, X1=DATA) is None
    assert rig.core.read("X0") == 0x1234_5678


@pytest.mark.parametrize(
    ("control", "value", "matches"),
    [
        (3 << 20 | 1, 0x77, True),  # CONTEXTIDR_EL1
        (3 << 20 | 1, 0x78, False),
        (3 << 20, 0x77, False),  # that breakpoint is not enabled
        (9 << 20 | 1, 1 << 32, True),  # VMID
        (9 << 20 | 1, 2 << 32, False),
        (11 << 20 | 1, 1 << 32 | 0x77, True),
        (11 << 20 | 1, 1 << 32 | 0x78, False),
        (1 << 20 | 1, 0x77, False),  # an address is no context
        (2 << 20 | 1, 0x77, False),  # not for linking
    ],
)
@pytest.mark.parametrize("number", [3, 4, 5])
def test_a_linked_watchpoint_asks_its_context(rig: Rig, number: int, control: int, value: int, matches: bool) -> None:
    watch(rig, DATA, ALL | LINKED | number << 16)
    rig.core.write(f"DBGBVR{number}_EL1", value)
    rig.core.write(f"DBGBCR{number}_EL1", control)
    rig.core.write("CONTEXTIDR_EL1", 0x77)
    assert (fires(rig, a64.LDR(0, 1), X1=DATA) is not None) == (matches and number >= 4)  # 3 compares no contexts


def test_accesses_of_several_registers(rig: Rig) -> None:
    watch(rig, DATA + 24, bas(0))
    assert fires(rig, STP | 1 << 5 | 2 << 10, X1=DATA + 8, X2=7) is None
    assert fires(rig, STP | 1 << 5 | 2 << 10, X1=DATA + 16, X2=7) == DATA + 24
    assert fires(rig, LDP | 1 << 5 | 2 << 10, X1=DATA + 24) == DATA + 24
    assert fires(rig, LDP | 1 << 5 | 2 << 10, X1=DATA + 32) is None
    assert fires(rig, LD4 | 1 << 5, X1=DATA - 40 + 64) == DATA + 24
    assert fires(rig, LD4 | 1 << 5, X1=DATA + 25) is None
    assert fires(rig, a64.sys("DC ZVA", 1), X1=DATA + 0x3F) == DATA + 24
    assert fires(rig, a64.sys("DC ZVA", 1), X1=DATA + 0x40) is None
    watch(rig, DATA + 16, number=2)
    assert fires(rig, LDP | 1 << 5 | 2 << 10, X1=DATA + 16) == DATA + 16  # of two that match, the lower byte


@pytest.mark.parametrize("watched", [NEXT, NEXT - 8], ids=["the second page", "the first page"])
def test_an_access_across_two_pages(rig: Rig, watched: int) -> None:
    watch(rig, watched)
    assert fires(rig, STUR(2, 1, 0), X1=NEXT - 4, X2=0x1122_3344_5566_7788) == max(watched, NEXT - 4)
    assert rig.memory.read(NEXT) == 0
    for at in (NEXT - 20, NEXT + 12):
        assert fires(rig, a64.LDR(2, 1), X1=at) is None
    watch(rig, watched ^ 0x800)  # both pages closed or open, and other bytes of them watched
    assert fires(rig, STUR(2, 1, 0), X1=NEXT - 4, X2=0x1122_3344_5566_7788) is None
    assert rig.memory.read(NEXT) == 0x1122_3344
    assert fires(rig, a64.LDR(3, 1), X1=NEXT - 4) is None
    assert rig.core.read("X3") == 0x1122_3344_5566_7788


def test_two_watchpoints_on_the_two_pages_of_one_access(rig: Rig) -> None:
    watch(rig, NEXT - 0x800)
    watch(rig, NEXT + 0x800, number=1)
    for watched in (NEXT - 0x800, NEXT + 0x800):  # closed again, both of them
        rig.start(a64.LDR(3, 1), a64.LDR(3, 2), pstate=EL1H & ~D, X1=NEXT - 4, X2=watched)
        assert rig.vector() == 0x200
        assert rig.read("ELR_EL1", "FAR_EL1") == (CODE + 4, watched)


def test_a_tag_is_no_part_of_the_address(rig: Rig) -> None:
    rig.core.write("TCR_EL1", TCR | 1 << 37)  # TBI0
    tag = 0x5A << 56
    watch(rig, DATA + 8)
    for _ in range(2):
        assert fires(rig, a64.LDR(0, 1), X1=tag | DATA + 8) == tag | DATA + 8
        assert fires(rig, a64.LDR(0, 1), X1=tag | DATA) is None
        assert fires(rig, a64.LDR(0, 1), X1=DATA + 8) == DATA + 8
