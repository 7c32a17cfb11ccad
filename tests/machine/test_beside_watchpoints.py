"""Everything else in a page with watched bytes goes on as if there were none; and whose a watchpoint is (DDI 0487, D2.10)."""

from __future__ import annotations

import pytest

from minivisor.machine.core import SYNC
from tests.machine import a64
from tests.machine.rig import AF, CODE, DATA, EL0T, EL1H, GICV, NG, PXN, S1_RW, VECTORS, XN, Rig
from tests.machine.test_debug import KDE, MDE, SS, STEP, D
from tests.machine.test_exceptions import IL
from tests.machine.watching import (
    ALL,
    DEBUG,
    LDP,
    STP,
    WATCHED_WORD,
    WNR,
    mask,
    neighbours,
    two_pages,
    watch,
)


@pytest.fixture
def rig() -> Rig:
    return two_pages()


# ── everything else goes on ──────────────────────────────────────────────────────────────────────────────────────────


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
