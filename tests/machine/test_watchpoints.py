"""Watchpoints: which bytes, which accesses, who, and that everything else in a watched page goes on as if there were none
(DDI 0487, D2.10). Ours; Unicorn's own MMU has none (docs/not-modelled.md).
"""

from __future__ import annotations

import random

import pytest

from minivisor.machine.core import HORIZON, SYNC
from minivisor.machine.watch import Watch, follow_host_clock
from tests.machine import a64
from tests.machine.rig import AF, CODE, DATA, EL0T, EL1H, GICV, NG, PXN, S1_EL0, S1_RW, TCR, VECTORS, XN, Rig
from tests.machine.test_debug import KDE, MDE, SS, STEP, D
from tests.machine.test_exceptions import IL, UNMAPPED, user_rig

E, EL1, EL0, LOAD, STORE, LINKED = 1, 1 << 1, 2 << 1, 1 << 3, 2 << 3, 1 << 20
ALL = 0xFF << 5 | STORE | LOAD | EL1 | EL0 | E
DEBUG, WNR = 0x22, 1 << 6  # DFSC "debug exception"; ISS.WnR
NEXT = DATA + 0x1000
LDRB, STRB = a64.LDRB, lambda rt, rn, offset=0: 0x39000000 | offset << 10 | rn << 5 | rt
LDRB_AT = lambda rt, rn, offset: 0x39400000 | offset << 10 | rn << 5 | rt  # noqa: E731
STP, LDP, LD4 = 0xA9000000, 0xA9400000, 0x4C400000  # of X registers; LD4 {v0.16b - v3.16b}
STUR = lambda rt, rn, imm: 0xF8000000 | (imm & 0x1FF) << 12 | rn << 5 | rt  # noqa: E731


def bas(*chosen: int) -> int:
    """A control that watches these of the eight bytes."""
    return ALL & ~(0xFF << 5) | sum(1 << byte for byte in chosen) << 5


def mask(bits: int) -> int:
    return ALL | bits << 24


@pytest.fixture
def rig() -> Rig:
    rig = user_rig(Rig())
    lower = rig.core.read("TTBR0_EL1")
    rig.map(lower, NEXT, NEXT | S1_RW | S1_EL0 | XN | PXN, 3)
    return rig


def watch(rig: Rig, va: int, control: int = ALL, number: int = 0, mdscr: int = MDE | KDE) -> None:
    """As a world switch does."""
    rig.core.write("MDSCR_EL1", mdscr)
    rig.core.write(f"DBGWVR{number}_EL1", va)
    rig.core.write(f"DBGWCR{number}_EL1", control)


def fires(rig: Rig, word: int, pstate: int = EL1H & ~D, **registers: int) -> int | None:
    """FAR_EL1 when the instruction is watched, None when it is carried out."""
    rig.start(word, a64.SVC(1), pstate=pstate, **registers)
    rig.vector()
    exception_class = rig.core.read("ESR_EL1") >> 26
    assert exception_class in (0x15, 0x34, 0x35)
    return None if exception_class == 0x15 else rig.core.read("FAR_EL1")


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


# ── everything else goes on ──────────────────────────────────────────────────────────────────────────────────────────

WATCHED_WORD = 0x7F8


def neighbours(seed: int) -> tuple[list[int], dict[str, int]]:
    """Two hundred loads and stores of a page, in one block, but for eight bytes of it; then a call, a loop, exclusives."""
    rng = random.Random(seed)
    words = []
    for _ in range(200):
        register, at = rng.randrange(8, 16), rng.randrange(0, WATCHED_WORD - 8, 8)
        pair = register + 8 << 10
        words.append(
            rng.choice(
                (
                    a64.LDR(register, 1, at),
                    a64.STR(register, 1, at),
                    LDRB_AT(register, 1, rng.choice((at, WATCHED_WORD - 1, WATCHED_WORD + 8))),
                    STRB(register, 1, rng.choice((at, WATCHED_WORD - 1, WATCHED_WORD + 8))),
                    STP | pair | 1 << 5 | register | (at // 8 & 0x1F) << 15,
                    LDP | pair | 1 << 5 | register | (at // 8 & 0x1F) << 15,
                    a64.ADD(register, register, rng.randrange(4096)),
                )
            )
        )
    words += [a64.LDXR(3, 1), a64.ADD(3, 3, 1), a64.STXR(4, 3, 1), a64.SUBS(2, 2, 1), a64.CBNZ(2, -4 * 204)]
    return words, {"X1": DATA, "X2": 3} | {f"X{n}": rng.getrandbits(64) for n in range(8, 24)}


@pytest.mark.parametrize("pstate", [EL0T, EL1H & ~D, EL1H], ids=["EL0", "EL1", "masked"])
@pytest.mark.parametrize("seed", range(3))
def test_a_page_with_one_watched_word_works_as_any_other(rig: Rig, seed: int, pstate: int) -> None:
    """Registers, memory and time are those of a run without it; and the word is still watched in the middle of a block."""
    words, registers = neighbours(seed)
    runs = []
    for watched in (False, True):
        rig.memory.span(DATA, 0x1000).fill(0x5A)
        rig.core.write("DBGWCR0_EL1", 0)
        if watched:
            watch(rig, DATA + WATCHED_WORD)
        rig.start(words, a64.SVC(1), pstate=pstate, **registers)
        before = rig.core.retired
        rig.vector()
        assert rig.core.read("ESR_EL1") >> 26 == 0x15
        assert rig.core.read("X4") == 0  # the store exclusive stored
        runs.append(
            (
                rig.core.retired - before,
                rig.core.general(),
                bytes(rig.memory.span(DATA, 0x1000)),
                rig.core.read("SPSR_EL1"),
            )
        )
    assert runs[0] == runs[1]
    assert runs[0][0] == 3 * (len(words)) + 2
    words.insert(100, a64.LDR(0, 1, WATCHED_WORD))
    rig.start(words, a64.SVC(1), pstate=pstate & ~D, **registers)
    rig.vector()
    assert rig.read("ELR_EL1", "FAR_EL1") == (CODE + 400, DATA + WATCHED_WORD)


def test_the_same_by_the_hosts_clock(rig: Rig) -> None:
    """Stops come from another thread then, between any two blocks; one instruction is a block."""
    words, registers = neighbours(5)
    registers["X2"] = 50
    runs = []
    assert follow_host_clock(rig.core)
    for watched in (False, True):
        rig.memory.span(DATA, 0x1000).fill(0x5A)
        watch(rig, DATA + WATCHED_WORD, ALL if watched else 0)
        rig.start(words, a64.LDR(0, 1, WATCHED_WORD), a64.SVC(1), pstate=EL1H & ~D, **registers)
        reason, stops = HORIZON, 0
        with Watch(rig.core):
            while reason == HORIZON and stops < 1_000_000:
                reason, stops = rig.core.run(rig.core.now + 100_000, resume=stops > 0), stops + 1
        assert reason == SYNC
        assert rig.core.read("ESR_EL1") >> 26 == (0x35 if watched else 0x15)
        runs.append((rig.core.general()[1:], bytes(rig.memory.span(DATA, 0x1000))))
    assert runs[0] == runs[1]
    assert stops > 1


def test_nothing_comes_out_while_none_is_armed(rig: Rig) -> None:
    """The engine keeps the page: one entry into it for two hundred accesses, before and after."""
    words, registers = neighbours(7)
    entered = []
    for control, mdscr in ((0, MDE | KDE), (ALL, MDE | KDE), (0, MDE | KDE), (ALL, KDE)):
        watch(rig, DATA + WATCHED_WORD, control, mdscr=mdscr)
        rig.start(words, a64.HVC(1), pstate=EL1H, **registers)
        before = int(rig.core.record.restarts)
        assert rig.hvc() == 1
        entered.append(int(rig.core.record.restarts) - before)
    assert entered[0] == entered[2] == entered[3] == 1
    assert entered[1] > 100


def test_a_page_of_code_is_watched_as_data_alone(rig: Rig) -> None:
    lower = rig.core.read("TTBR0_EL1")
    rig.map(lower, CODE, CODE | S1_RW, 3)
    watch(rig, CODE, mask(12))
    rig.start(a64.ADD(5, 5, 1), 0x58000002, a64.HVC(1), pstate=EL1H & ~D, X5=0)  # ldr x2, . + 0
    assert rig.vector() == 0x200
    assert rig.read("X5", "ELR_EL1", "FAR_EL1") == (1, CODE + 4, CODE + 4)


def test_every_byte_of_the_handlers_own_page(rig: Rig) -> None:
    """EL1 is masked in its handler, and gets on with a page that is watched whole: its vectors, its stack."""
    lower = rig.core.read("TTBR0_EL1")
    rig.map(lower, VECTORS, VECTORS | S1_RW, 3)
    handler = [STP | 0x1F << 5 | 2 << 10 | 1, a64.ADD(6, 6, 1), a64.SUBS(7, 7, 1), a64.CBNZ(7, 8), a64.HVC(9)]
    handler += [LDP | 0x1F << 5 | 2 << 10 | 1, a64.mrs(8, "ELR_EL1"), a64.ADD(8, 8, 4), a64.msr("ELR_EL1", 8), a64.ERET]
    rig.load(handler, VECTORS + 0x200)
    watch(rig, VECTORS, mask(12))
    rig.start(*[a64.LDR(0, 1)] * 6, pstate=EL1H & ~D, X1=VECTORS + 0xF00, X6=0, X7=5, SP=VECTORS + 0xE00)
    assert rig.hvc() == 9
    assert rig.read("X6", "ELR_EL1") == (5, CODE + 16)


def test_a_breakpoint_that_is_masked_stays_out_of_it(rig: Rig) -> None:
    """One at the very instruction that uses a watched page."""
    watch(rig, DATA + 8)
    rig.core.write("DBGBVR0_EL1", CODE + 4)
    rig.core.write("DBGBCR0_EL1", 0xF << 5 | 3 << 1 | 1)
    rig.start(a64.NOP, a64.LDR(5, 1), a64.HVC(1), pstate=EL1H, X1=DATA)
    assert rig.hvc() == 1
    assert rig.read("MDSCR_EL1", "MDCR_EL2", "PSTATE") == (MDE | KDE, 0, EL1H)


def test_a_pending_interrupt_waits_for_the_instruction(rig: Rig) -> None:
    """The handler's first instruction is not what the pages are open for, and the guest sees no trace of the step."""
    rig.map(rig.core.read("TTBR0_EL1"), GICV, GICV | AF | XN | PXN, 3)
    rig.core.record.gich_hcr, rig.core.record.gich_vmcr, rig.core.record.lr[0] = 1, 1, 1 << 28 | 40
    watch(rig, DATA + 8)
    words = [
        a64.MSR_DAIFCLR(2),
        a64.STRW(2, 9, 4),
        a64.LDR(6, 1),
        a64.LDR(7, 1, 8),
    ]  # GICV_PMR: from here on it is signalled
    rig.start(words, pstate=EL1H & ~D, X1=DATA, X2=0xF8, X6=1, X9=GICV)
    before = rig.core.retired
    assert rig.vector() == 0x280
    assert rig.read("ELR_EL1", "SPSR_EL1", "X6") == (CODE + 12, EL1H & ~D & ~(1 << 7), 0)
    assert rig.core.retired - before == 3 + 1


def test_an_access_to_a_device_that_is_watched(rig: Rig) -> None:
    """EL2's to answer: a stage-2 abort, whatever is watched there; the watchpoint is not asked again."""
    lower = rig.core.read("TTBR0_EL1")
    rig.map(lower, 0x900_0000, 0x900_0000 | AF | NG | XN | PXN | 1 << 2, 3)
    watch(rig, 0x900_0000, mask(12))
    rig.start(a64.LDRW(0, 1, 4), a64.HVC(1), pstate=EL1H & ~D, X1=0x900_0000)
    assert rig.run() == SYNC
    assert rig.core.syndrome[0] >> 26 == 0x24
    assert rig.core.syndrome[0] & 0x3F != DEBUG


# ── whose they are, and what a debugger does ─────────────────────────────────────────────────────────────────────────


def test_a_watchpoint_goes_with_its_vcpu(rig: Rig) -> None:
    """A's is armed while A is loaded, B's while B is; the other's never fires, and a page is not open for the wrong one."""
    mine = {"MDSCR_EL1": MDE | KDE, "DBGWVR0_EL1": DATA, "DBGWCR0_EL1": ALL}
    yours = {"MDSCR_EL1": MDE | KDE, "DBGWVR0_EL1": DATA + 8, "DBGWCR0_EL1": ALL}
    none = dict.fromkeys(("MDSCR_EL1", "DBGWVR0_EL1", "DBGWCR0_EL1"), 0)
    for state, stops in ((mine, 0), (yours, 1), (none, None), (mine, 0), (none, None), (yours, 1)):
        rig.use_vmid(1 if state is mine else 2)
        rig.start(a64.LDR(5, 1), a64.LDR(5, 1, 8), a64.HVC(1), pstate=EL1H & ~D, X1=DATA)
        for name, value in state.items():
            rig.core.write(name, value)
        number = rig.hvc()
        assert (number != 1, rig.core.read("FAR_EL1") if number != 1 else None) == (
            stops is not None,
            None if stops is None else DATA + 8 * stops,
        )


def test_a_debugger_steps_over(rig: Rig) -> None:
    """Taken; disarmed; one step; armed; and again."""
    rig.start(*[word for n in range(4) for word in (a64.ADD(5, 5, 1), a64.STR(5, 1))], pstate=EL0T, X1=DATA, X5=0)
    for turn in range(1, 4):
        watch(rig, DATA)
        assert rig.vector() == 0x400
        assert rig.read("ESR_EL1", "X5") == (0x34 << 26 | IL | WNR | DEBUG, turn)
        assert rig.memory.read(DATA) == turn - 1
        watch(rig, DATA, 0, mdscr=MDE | KDE | STEP)
        rig.core.write("PC", rig.core.read("ELR_EL1"))
        rig.core.write("PSTATE", rig.core.read("SPSR_EL1") | SS)
        at = rig.core.read("ELR_EL1")
        assert rig.vector() == 0x400
        assert rig.read("ELR_EL1") == (at + 4,)
        assert rig.core.read("ESR_EL1") >> 26 == 0x32
        assert rig.memory.read(DATA) == turn
        rig.core.write("PC", at + 4)
        rig.core.write("PSTATE", rig.core.read("SPSR_EL1"))


def test_a_guests_own_step_of_an_access_beside_a_watched_one(rig: Rig) -> None:
    """One instruction, with the pages open and stepped by both: then it is the guest's turn."""
    rig.start(*[a64.ADD(5, 5, 1), a64.STR(5, 1, 8)] * 2, pstate=EL0T | SS, X1=DATA, X5=0)
    watch(rig, DATA, mdscr=MDE | STEP)
    for at, stored in ((4, 0), (8, 1), (12, 1), (16, 2)):
        before = rig.core.retired
        assert rig.vector() == 0x400
        assert rig.core.read("ESR_EL1") >> 26 == 0x32
        assert rig.read("ELR_EL1", "SPSR_EL1") == (CODE + at, EL0T)
        assert rig.memory.read(DATA + 8) == stored
        assert rig.core.retired - before == 1 + 1
        rig.core.write("PC", CODE + at)
        rig.core.write("PSTATE", EL0T | SS)
