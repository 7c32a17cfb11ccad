"""Debug exceptions as far as Unicorn has them, on both engines: breakpoints, software step, BRK (DDI 0487, D2).

A breakpoint belongs to the vCPU that set it: EL2 loads and takes away its registers, and what is armed follows.
"""

from __future__ import annotations

import pytest

from minivisor.machine.breakpoints import BREAKPOINTS
from tests.machine import a64
from tests.machine.rig import CODE, DATA, EL0T, EL1H, VECTORS, Rig
from tests.machine.test_exceptions import IL, user_rig

D, SS = 1 << 9, 1 << 21  # PSTATE.D, SPSR.SS
MDE, KDE, STEP = 1 << 15, 1 << 13, 1  # MDSCR_EL1
ENABLED = 0xF << 5 | 3 << 1 | 1  # DBGBCR: BAS of an A64 instruction, PMC of EL1 and EL0, E
EL0_ONLY, EL1_ONLY = 0xF << 5 | 2 << 1 | 1, 0xF << 5 | 1 << 1 | 1
BREAKPOINT, STEPPED = 0x22, 0x22  # IFSC "debug exception"
OPEN = a64.msr("OSLAR_EL1", 31)


@pytest.fixture(params=["minivisor", "unicorn"])
def rig(request: pytest.FixtureRequest) -> Rig:
    return user_rig(Rig(request.param))


def set_breakpoint(rig: Rig, number: int, va: int, control: int = ENABLED) -> None:
    """As a world switch does."""
    rig.core.write("MDSCR_EL1", MDE | KDE)
    rig.core.write(f"DBGBVR{number}_EL1", va)
    rig.core.write(f"DBGBCR{number}_EL1", control)


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize(("pstate", "ec", "offset"), [(EL0T, 0x30, 0x400), (EL1H, 0x31, 0x200)], ids=["EL0", "EL1"])
def test_a_breakpoint_that_el2_loaded_is_taken_before_its_instruction(
    rig: Rig, pstate: int, ec: int, offset: int, number: int
) -> None:
    rig.start(a64.NOP, a64.ADD(5, 5, 1), a64.ADD(5, 5, 1), a64.HVC(1), pstate=pstate & ~D, X5=0, FAR_EL1=0x99)
    set_breakpoint(rig, number, CODE + 8)
    before = rig.core.retired
    assert rig.vector() == offset
    assert rig.read("ESR_EL1", "ELR_EL1", "SPSR_EL1", "X5") == (ec << 26 | IL | BREAKPOINT, CODE + 8, pstate & ~D, 1)
    assert rig.core.retired - before == 2 + 1  # and the vector's HVC


def test_a_breakpoint_that_the_guest_sets_itself(rig: Rig) -> None:
    words = [OPEN, a64.msr("DBGBVR2_EL1", 1), a64.msr("DBGBCR2_EL1", 2), a64.msr("MDSCR_EL1", 3), a64.ISB]
    words += [a64.MSR_DAIFCLR(8), a64.NOP, a64.NOP, a64.HVC(1)]
    rig.start(words, X1=CODE + 28, X2=ENABLED, X3=MDE | KDE)
    assert rig.vector() == 0x200
    assert rig.read("ESR_EL1", "ELR_EL1") == (0x31 << 26 | IL | BREAKPOINT, CODE + 28)
    assert rig.read("DBGBVR2_EL1", "DBGBCR2_EL1", "MDSCR_EL1") == (CODE + 28, ENABLED, MDE | KDE)


@pytest.mark.parametrize(
    ("pstate", "control", "mdscr"),
    [
        (EL1H & ~D, ENABLED & ~1, MDE | KDE),  # not enabled
        (EL1H & ~D, EL0_ONLY, MDE | KDE),
        (EL1H & ~D, ENABLED, KDE),
        (EL1H & ~D, ENABLED, MDE),  # not at EL1 without KDE
        (EL1H, ENABLED, MDE | KDE),  # PSTATE.D
    ],
)
def test_what_keeps_a_breakpoint_from_firing(rig: Rig, pstate: int, control: int, mdscr: int) -> None:
    rig.start(a64.NOP, a64.NOP, a64.HVC(1), pstate=pstate)
    set_breakpoint(rig, 0, CODE + 4, control)
    rig.core.write("MDSCR_EL1", mdscr)
    assert rig.hvc() == 1


def test_a_breakpoint_goes_with_its_vcpu(rig: Rig) -> None:
    """A's is armed while A is loaded, B's while B is; the other's never fires, and nobody's time moves."""
    mine = {"MDSCR_EL1": MDE | KDE, "DBGBVR0_EL1": CODE + 4, "DBGBCR0_EL1": ENABLED}
    yours = {"MDSCR_EL1": MDE | KDE, "DBGBVR0_EL1": CODE + 8, "DBGBCR0_EL1": ENABLED}
    none = dict.fromkeys(("DBGBVR0_EL1", "DBGBCR0_EL1"), 0) | {"MDSCR_EL1": MDE | KDE}
    for state, stops in ((mine, CODE + 4), (yours, CODE + 8), (none, None), (mine, CODE + 4), (none, None)):
        rig.start(a64.ADD(5, 5, 1), a64.ADD(5, 5, 1), a64.ADD(5, 5, 1), a64.HVC(1), pstate=EL1H & ~D, X5=0, X7=0x77)
        for name, value in state.items():
            rig.core.write(name, value)
        before = rig.core.now
        number = rig.hvc()
        at = rig.core.read("ELR_EL1") if number != 1 else None
        assert (number != 1, at) == (stops is not None, stops)
        assert rig.core.now - before == (4 if stops is None else (stops - CODE) // 4 + 1)
        assert rig.core.read("X7") == 0x77


def test_loading_breakpoints_disturbs_nothing(rig: Rig) -> None:
    """Registers, memory, the TLBs that a guest can tell, and its clock are as they were."""
    rig.start(a64.LDR(0, 1), a64.HVC(1), X1=DATA)
    assert rig.hvc() == 1
    entries = rig.core.record.tlb_context.copy()
    before = (rig.core.general(), rig.core.now, rig.core.retired, rig.read("PSTATE", "PC", "SCTLR_EL1", "HCR_EL2", "SP_EL0"))
    set_breakpoint(rig, 3, CODE + 0x800)
    rig.core._write_back()
    rig.core._read_all()
    after = (rig.core.general(), rig.core.now, rig.core.retired, rig.read("PSTATE", "PC", "SCTLR_EL1", "HCR_EL2", "SP_EL0"))
    assert after == before
    assert (rig.core.record.tlb_context == entries).all()
    assert rig.core.read("DBGBVR3_EL1") == CODE + 0x800
    assert len(BREAKPOINTS) == 12


@pytest.mark.parametrize("at_el1", [False, True], ids=["EL0", "EL1"])
def test_software_step_takes_one_instruction(rig: Rig, at_el1: bool) -> None:
    """ERET with SPSR.SS and MDSCR.SS: one instruction, then EC 0x32 or 0x33 with SS clear (DDI 0487, D2.12)."""
    target = (EL1H if at_el1 else EL0T) & ~D
    rig.start(OPEN, a64.ISB, a64.ERET, SPSR_EL1=target | SS, ELR_EL1=CODE + 0x40, X5=0)
    rig.load([a64.ADD(5, 5, 1), a64.ADD(5, 5, 1), a64.SVC(1)], CODE + 0x40)
    rig.core.code_changed()
    rig.core.write("MDSCR_EL1", STEP | (KDE if at_el1 else 0))
    before = rig.core.retired
    assert rig.vector() == (0x200 if at_el1 else 0x400)
    ec = 0x33 if at_el1 else 0x32
    assert rig.core.read("ESR_EL1") & ~(1 << 24 | 1 << 6) == ec << 26 | IL | STEPPED  # ISV and EX aside
    assert rig.read("ELR_EL1", "SPSR_EL1", "X5") == (CODE + 0x44, target, 1)
    assert rig.core.retired - before == 3 + 1 + 1


@pytest.mark.parametrize("loaded", [False, True], ids=["by MSR", "by EL2"])
def test_unmasking_debug_exceptions_makes_a_step_due(rig: Rig, loaded: bool) -> None:
    """DAIFClr with MDSCR.SS set and PSTATE.SS clear: before the next instruction, and again after each one stepped."""
    handler = [a64.ADD(6, 6, 1), a64.SUBS(7, 7, 1), a64.CBNZ(7, 8), a64.HVC(9), a64.mrs(8, "SPSR_EL1")]
    handler += [0xB26B0108, a64.msr("SPSR_EL1", 8), a64.ERET]  # orr x8, x8, #1<<21
    rig.load(handler, VECTORS + 0x200)
    words = [OPEN, a64.NOP if loaded else a64.msr("MDSCR_EL1", 3), a64.ISB, a64.NOP, a64.B(4), a64.MSR_DAIFCLR(8)]
    rig.start(*words, *[a64.ADD(5, 5, 1)] * 4, pstate=EL1H, X3=STEP | KDE, X5=0, X6=0, X7=3)
    if loaded:
        rig.core.write("MDSCR_EL1", STEP | KDE)
    before = rig.core.now, rig.core.retired
    assert rig.hvc() == 9
    assert rig.read("X5", "X6", "ELR_EL1", "ESR_EL1") == (2, 3, CODE + 4 * 8, 0x33 << 26 | IL | STEPPED | 1 << 24)
    assert rig.core.retired - before[1] == rig.core.now - before[0] == len(words) + 2 * 7 + 2 + 4


def test_masked_debug_exceptions_make_no_step(rig: Rig) -> None:
    rig.start(a64.msr("MDSCR_EL1", 3), a64.ISB, a64.ADD(5, 5, 1), a64.HVC(1), pstate=EL1H, X3=STEP | KDE, X5=0)
    assert rig.hvc() == 1
    rig.start(a64.msr("MDSCR_EL1", 3), a64.MSR_DAIFCLR(8), a64.ADD(5, 5, 1), a64.HVC(1), pstate=EL1H, X3=STEP, X5=0)
    assert rig.hvc() == 1  # KDE is not set: none from EL1


def test_stepping_again_goes_on_where_it_was(rig: Rig) -> None:
    """A debugger: each exception sets SS again and returns."""
    handler = [a64.ADD(6, 6, 1), a64.SUBS(7, 7, 1), a64.CBNZ(7, 8), a64.HVC(9), a64.mrs(8, "SPSR_EL1")]
    handler += [0xB26B0108, a64.msr("SPSR_EL1", 8), a64.ERET]  # orr x8, x8, #1<<21
    rig.load(handler, VECTORS + 0x400)
    rig.start(OPEN, a64.ISB, a64.ERET, SPSR_EL1=EL0T & ~D | SS, ELR_EL1=CODE + 0x40, X5=0, X6=0, X7=5)
    rig.load([a64.ADD(5, 5, 1), a64.ADD(5, 5, 1), a64.B(-8)], CODE + 0x40)
    rig.core.code_changed()
    rig.core.write("MDSCR_EL1", STEP)
    before = rig.core.now
    assert rig.hvc() == 9
    assert rig.read("X5", "X6", "ELR_EL1") == (4, 5, CODE + 0x48)
    assert rig.core.now - before == 3 + 5 * 1 + 4 * 7 + 4  # a branch that was stepped once moved the clock by 2**62


def test_the_os_lock_is_open_from_the_start(rig: Rig) -> None:
    """OSLSR_EL1.OSLK. Under the hypervisor it is EL2's, and stays open."""
    rig.start(a64.mrs(9, "OSLSR_EL1"), a64.msr("OSLAR_EL1", 3), a64.ISB, a64.mrs(10, "OSLSR_EL1"), a64.HVC(1), X3=1)
    assert rig.hvc() == 1
    assert [value >> 1 & 1 for value in rig.read("X9", "X10")] == [0, 1]
