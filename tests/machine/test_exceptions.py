"""Exceptions on both engines: entry to EL1 in every detail, and what EL2 is told of those taken to it.

DDI 0487: D1.3 for entry (pseudocode AArch64.TakeException), ESR_ELx for syndromes. Both engines must agree with the manual,
and so with each other; where Unicorn cannot, a test says so by name.
"""

from __future__ import annotations

import pytest

from minivisor.machine.core import AARCH32, FIXED_POINT, HORIZON, SYNC
from tests.machine import a64
from tests.machine.rig import (
    AF,
    CODE,
    DATA,
    DATA_EC,
    EL0T,
    EL1H,
    EL1T,
    FETCH_EC,
    HVC_EC,
    PXN,
    RAM,
    S1_EL0,
    S1_RO,
    S1_RW,
    SCTLR,
    SIZE,
    SMC_EC,
    SYSREG_EC,
    VECTORS,
    WFX_EC,
    XN,
    Rig,
)

IL = 1 << 25
NOWHERE = 0x7000_0000  # no stage-2 entry at level 1
UNMAPPED = 0x70_0000_0000  # no stage-1 entry at level 1
FLAGS = 0xA000_0000  # N and C
ADD_SP = 0x910043FF  # add sp, sp, #16
SP0, SP1 = DATA + 0x100, DATA + 0x200
EL1_ONLY, EL0_TOO = DATA + 0x2000, DATA + 0x3000


@pytest.fixture(params=["minivisor", "unicorn"])
def rig(request: pytest.FixtureRequest) -> Rig:
    return Rig(request.param)


def user_rig(rig: Rig) -> Rig:
    """Stage 1 on: code executable at both levels, and the data pages with and without EL0 access."""
    lower, upper = rig.table(), rig.table()
    for page in (CODE, VECTORS):
        rig.map(lower, page, page | S1_RO | S1_EL0, 3)
    rig.map(lower, DATA, DATA | S1_RW | S1_EL0 | XN | PXN, 3)
    rig.map(lower, EL1_ONLY, EL1_ONLY | S1_RW | XN | PXN, 3)
    rig.map(lower, EL0_TOO, EL0_TOO | S1_RW | S1_EL0 | XN | PXN, 3)
    rig.core.write("TTBR0_EL1", lower)
    rig.core.write("TTBR1_EL1", upper)
    rig.core.write("SCTLR_EL1", SCTLR | 1)
    return rig


# ── entry to EL1 ─────────────────────────────────────────────────────────────────────────────────────────────────────

LEVELS = {"EL0": (EL0T, 0x400), "EL1t": (EL1T, 0x000), "EL1h": (EL1H, 0x200)}
# cause -> (instruction, EC from EL0, EC from EL1, ISS, return address minus the instruction's, FAR or None); X1 is UNMAPPED
BRANCH = None  # the return address is where the branch went
CAUSES: dict[str, tuple[int, int, int, int, int | None, int | None]] = {
    "SVC": (a64.SVC(0x1234), 0x15, 0x15, 0x1234, 4, None),
    "UDF": (a64.UDF, 0, 0, 0, 0, None),
    "BRK": (a64.BRK(0x42), 0x3C, 0x3C, 0x42, 0, None),
    "load": (a64.LDR(0, 1), 0x24, 0x25, 5, 0, UNMAPPED),
    "store": (a64.STR(0, 1, 8), 0x24, 0x25, 5 | 1 << 6, 0, UNMAPPED + 8),
    "fetch": (a64.BR(1), 0x20, 0x21, 5, BRANCH, UNMAPPED),
    "PC alignment": (a64.BR(2), 0x22, 0x22, 0, BRANCH, CODE + 0x22),
    "PC alignment, not mapped": (a64.BR(3), 0x22, 0x22, 0, BRANCH, UNMAPPED + 1),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("cause", CAUSES)
def test_entry_to_el1(rig: Rig, level: str, cause: str) -> None:
    pstate, offset = LEVELS[level]
    word, ec0, ec1, iss, step, far = CAUSES[cause]
    rig = user_rig(rig)
    rig.start(
        a64.NOP, ADD_SP, word, a64.HVC(1), pstate=pstate | FLAGS, X0=5, X1=UNMAPPED, X2=CODE + 0x22, X3=UNMAPPED + 1
    )
    for name, value in (("SP_EL0", SP0), ("SP_EL1", SP1), ("FAR_EL1", 0x1234), ("ESR_EL1", 0x99), ("ELR_EL1", 0x98)):
        rig.core.write(name, value)
    before = rig.core.retired
    assert rig.vector() == offset
    core, ec = rig.core, ec0 if level == "EL0" else ec1
    assert core.read("ESR_EL1") == ec << 26 | IL | iss
    assert core.read("ELR_EL1") == (CODE + 8 + step if step is not None else far)
    assert core.read("FAR_EL1") == (0x1234 if far is None else far)
    assert core.read("SPSR_EL1") == pstate | FLAGS
    assert core.read("PSTATE") == EL1H | FLAGS
    sp0, sp1 = (SP0, SP1 + 16) if level == "EL1h" else (SP0 + 16, SP1)
    assert rig.read("SP_EL0", "SP_EL1", "SP") == (sp0, sp1, sp1)
    assert core.retired - before == 2 + (cause == "SVC" or step is BRANCH) + 1  # NOP, ADD, itself?, HVC


def test_eret_returns_to_where_it_came_from(rig: Rig) -> None:
    """EL0 calls EL1 three times; its stack pointer, flags and position survive."""
    rig = user_rig(rig)
    rig.start(a64.SVC(1), ADD_SP, a64.SVC(2), ADD_SP, a64.SVC(3), pstate=EL0T | FLAGS, SP_EL0=SP0, X7=3)
    rig.load([a64.SUBS(7, 7, 1), a64.CBNZ(7, 8), a64.HVC(1), a64.ADD(5, 5, 1), a64.ERET], VECTORS + 0x400)
    rig.core.code_changed()
    assert rig.hvc() == 1
    assert rig.read("X5", "SP_EL0", "ELR_EL1", "SPSR_EL1") == (2, SP0 + 32, CODE + 20, EL0T | FLAGS)


def test_el1_switches_stack_pointers_without_an_exception(rig: Rig) -> None:
    rig.start(ADD_SP, a64.MSR_SPSEL(0), ADD_SP, ADD_SP, a64.HVC(1), SP_EL0=SP0, SP_EL1=SP1)
    assert rig.hvc() == 1
    assert rig.read("SP_EL0", "SP_EL1", "SP") == (SP0 + 32, SP1 + 16, SP0 + 32)


def test_inject_is_an_entry_to_el1_at_the_return_address(rig: Rig) -> None:
    """What EL2 does for an access that nothing answers: external abort, at the guest's instruction."""
    rig.start(a64.NOP, a64.LDR(0, 1), X1=NOWHERE, SP_EL1=SP1)
    assert rig.exit()[0] == DATA_EC
    rig.core.inject(0x24, 0x10, NOWHERE)
    assert rig.core.read("PC") == VECTORS + 0x200
    assert rig.vector() == 0x200
    assert rig.read("ESR_EL1", "FAR_EL1", "ELR_EL1") == (0x25 << 26 | IL | 0x10, NOWHERE, CODE + 4)


# ── an exception in a vector ─────────────────────────────────────────────────────────────────────────────────────────


NESTED = {"load": a64.LDR(0, 1), "store": a64.STR(0, 1), "SVC": a64.SVC(9), "BRK": a64.BRK(3), "UDF": a64.UDF}


@pytest.mark.parametrize("level", ["EL0", "EL1t"])
@pytest.mark.parametrize("inner", NESTED)
def test_an_exception_inside_a_handler_returns_to_the_handler(rig: Rig, level: str, inner: str) -> None:
    """A data abort, and while EL1 handles it another exception: both return, with the registers that each one saved."""
    pstate, offset = LEVELS[level]
    outer = [a64.mrs(21, "ELR_EL1"), a64.mrs(22, "SPSR_EL1"), a64.mrs(23, "ESR_EL1"), NESTED[inner]]
    outer += [a64.msr("SPSR_EL1", 22), a64.ADD(21, 21, 4), a64.msr("ELR_EL1", 21), a64.HVC(8), a64.ERET]
    second = [a64.mrs(24, "ELR_EL1"), a64.ADD(24, 24, 0 if inner == "SVC" else 4), a64.msr("ELR_EL1", 24)]
    rig.load(outer, VECTORS + offset)
    rig.load([*second, a64.mrs(26, "ESR_EL1"), a64.mrs(28, "SPSR_EL1"), a64.ERET], VECTORS + 0x200)
    user_rig(rig).start(a64.LDR(0, 1), a64.ADD(5, 5, 7), a64.LDR(0, 1), pstate=pstate | FLAGS, X1=UNMAPPED, X5=0)
    assert rig.hvc() == 8
    assert rig.read("X21", "X22", "X24", "X28") == (CODE + 4, pstate | FLAGS, VECTORS + offset + 16, EL1H | FLAGS)
    assert rig.core.read("X23") >> 26 == (0x24 if level == "EL0" else 0x25)
    assert rig.core.read("X26") >> 26 == {"SVC": 0x15, "BRK": 0x3C, "UDF": 0}.get(inner, 0x25)
    assert rig.hvc() == 8  # the program went on, and faults again
    assert rig.read("X5", "X21", "X22") == (7, CODE + 12, pstate | FLAGS)


def test_a_stage_2_abort_inside_a_handler_is_el2s_and_keeps_el1s_registers(rig: Rig) -> None:
    """EL1 handles an abort and touches a device: ELR_EL1, SPSR_EL1 and ESR_EL1 are EL1's own and stay."""
    rig.load([a64.LDR(3, 2), a64.HVC(5)], VECTORS + 0x200)
    rig = user_rig(rig)
    rig.map(rig.core.read("TTBR0_EL1"), 0x1_0000_0000, NOWHERE | S1_RW, 3)
    rig.start(a64.LDR(0, 1), X1=UNMAPPED, X2=0x1_0000_0010)
    assert rig.exit()[0] == DATA_EC
    assert rig.core.syndrome[1:] == (0x1_0000_0010, NOWHERE >> 8)
    assert rig.core.read("PC") == VECTORS + 0x200
    assert rig.read("ELR_EL1", "ESR_EL1", "FAR_EL1") == (CODE, 0x25 << 26 | IL | 5, UNMAPPED)


# ── fixed points ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("what", ["vectors not mapped", "undefined vector", "vector aborts"])
def test_an_exception_that_repeats_for_ever_is_a_fixed_point(rig: Rig, what: str) -> None:
    rig = user_rig(rig)
    rig.start(a64.SVC(1), X1=UNMAPPED)
    if what == "vectors not mapped":
        rig.core.write("VBAR_EL1", UNMAPPED)
    else:
        rig.load([a64.UDF if what == "undefined vector" else a64.LDR(0, 1)], VECTORS + 0x200)
        rig.core.code_changed()
    assert rig.run(rig.core.now + 1000) == FIXED_POINT
    assert rig.core.read("PC") == rig.core.read("VBAR_EL1") + 0x200 == rig.core.read("ELR_EL1")
    rig.start(a64.HVC(3), at=CODE + 0x40)  # somebody else's turn: it is not the one that is stuck
    assert rig.hvc() == 3
    rig.core.write("VBAR_EL1", VECTORS)
    rig.load([a64.HVC(0x104)], VECTORS + 0x200)
    rig.start(a64.BRK(3), at=CODE + 0x60)
    assert rig.vector() == 0x200


@pytest.mark.parametrize("mmu", ["minivisor", "unicorn"])
def test_a_return_to_aarch32_is_noticed_and_the_core_is_itself_again(mmu: str) -> None:
    """The engine would go there, and its PC and PSTATE would stay behind: time once jumped by 2**62 ns."""
    rig = Rig(mmu)
    rig.start([a64.ERET], SPSR_EL1=0x10, ELR_EL1=CODE + 0x100)
    before = rig.core.now
    assert rig.run(before + 100_000) == AARCH32
    assert 0 < rig.core.now - before < 200_000  # and not 2**62
    rig.start([a64.ADD(0, 0, 1), a64.HVC(3)], at=CODE + 0x40, X0=4)  # somebody else's turn
    assert rig.hvc() == 3
    assert rig.read("X0", "PC", "PSTATE") == (5, CODE + 0x48, 0x3C5)


def test_a_loop_through_the_vector_that_retires_instructions_is_not_one(rig: Rig) -> None:
    rig.load([a64.SVC(1)], VECTORS + 0x200)
    rig.start(a64.SVC(1))
    assert rig.run(rig.core.now + 2000) == HORIZON


# ── exceptions to EL2 ────────────────────────────────────────────────────────────────────────────────────────────────

ID = "ID_AA64PFR0_EL1"
TO_EL2 = {
    "HVC": (a64.HVC(0xBEEF), HVC_EC, 0xBEEF, 4),
    "SMC": (a64.SMC(0x11), SMC_EC, 0x11, 0),
    "WFI": (a64.WFI, WFX_EC, 0x1E0_0000, 0),  # CV, COND = always, TI = WFI
    "MRS": (a64.mrs(9, ID), SYSREG_EC, 3 << 20 | 0 << 17 | 0 << 14 | 0 << 10 | 9 << 5 | 4 << 1 | 1, 0),
}


@pytest.mark.parametrize("what", TO_EL2)
def test_el2_is_told_what_and_where(rig: Rig, what: str) -> None:
    word, ec, iss, step = TO_EL2[what]
    rig.start(a64.NOP, a64.NOP, word, a64.NOP, pstate=EL1H | FLAGS, X9=77)
    before = rig.core.retired
    assert rig.exit() == (ec, iss)
    assert rig.core.read("PC") == CODE + 8 + step
    assert rig.core.retired - before == 2 + step // 4
    assert rig.read("X9", "PSTATE", "ESR_EL1") == (77, EL1H | FLAGS, 0)


AT_EL0 = {"HVC": (a64.HVC(1), 0, 0), "SMC": (a64.SMC(1), 0, 0), "WFI": (a64.WFI, 1, 0x1E0_0000)}
AT_EL0["MRS CTR_EL0"] = (a64.mrs(9, "CTR_EL0"), 0x18, 3 << 20 | 1 << 17 | 3 << 14 | 9 << 5 | 0 << 1 | 1)
AT_EL0["MSR SCTLR_EL1"] = (a64.msr("SCTLR_EL1", 9), 0, 0)


@pytest.mark.parametrize("what", AT_EL0)
def test_what_el0_may_not_do_is_el1s_affair(rig: Rig, what: str) -> None:
    """SCTLR_EL1.nTWI and UCT are 0."""
    word, ec, iss = AT_EL0[what]
    user_rig(rig).start(word, pstate=EL0T)
    assert rig.vector() == 0x400
    assert rig.read("ESR_EL1", "ELR_EL1") == (ec << 26 | IL | iss, CODE)


def test_a_stage_2_fault_on_a_fetch(rig: Rig) -> None:
    rig.start(a64.BR(1), X1=NOWHERE + 0x124)
    before = rig.core.retired
    assert rig.exit() == (FETCH_EC, 5)
    assert rig.core.syndrome[1:] == (NOWHERE + 0x124, NOWHERE >> 8)
    assert rig.core.read("PC") == NOWHERE + 0x124
    assert rig.core.retired - before == 1


def test_a_stage_2_fault_on_the_walk_names_the_table(rig: Rig) -> None:
    """S1PTW: FAR is the guest's address, HPFAR the descriptor's page, and no syndrome of the access. WnR is the walk's own
    with our MMU and the access's with Unicorn's, whose level is stage 1's (test_walk_executed.py)."""
    lower, _ = rig.mmu_on()
    rig.memory.write(lower + 8 * (UNMAPPED >> 30), NOWHERE + 0x4000 | 3)
    rig.start(a64.STR(0, 1), X1=UNMAPPED + 0x80_0008)
    ec, iss = rig.exit()
    assert (ec, iss & ~0x7F) == (DATA_EC, 1 << 7)
    assert rig.core.syndrome[1:] == (UNMAPPED + 0x80_0008, NOWHERE + 0x4000 >> 8)
    if rig.mmu == "minivisor":
        assert iss == 1 << 7 | 5


def test_an_access_across_two_pages_faults_where_the_second_begins(rig: Rig) -> None:
    rig.start(a64.LDR(0, 1), X1=RAM + SIZE - 4)
    assert rig.exit()[0] == DATA_EC
    assert rig.core.syndrome[1:] == (RAM + SIZE, RAM + SIZE >> 8)


def test_a_bus_that_does_not_answer_is_an_external_abort_of_el1(rig: Rig) -> None:
    """Mapped by stage 2, but no memory there. By a load, a store and a fetch; and time goes on as usual."""
    hole = 0x4000_0000
    rig.map(rig.stage2, hole, hole | AF | 3 << 6, 2)
    for word, ec, wnr in ((a64.LDR(0, 1), 0x25, 0), (a64.STR(0, 1), 0x25, 1 << 6), (a64.BR(1), 0x21, 0)):
        rig.start(a64.NOP, word, X1=hole + 0x100)
        before = rig.core.now
        assert rig.vector() == 0x200
        esr, far = rig.read("ESR_EL1", "FAR_EL1")
        assert esr & ~(1 << 10) == ec << 26 | IL | 0x10 | wnr
        assert far == hole + 0x100 or esr & 1 << 10  # ISS.FnV: not known
        assert rig.core.now - before == 2 + (word == a64.BR(1))


# ── LDTR and STTR ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("first", [False, True], ids=["page not cached", "page cached by EL1"])
@pytest.mark.parametrize("word", [a64.LDTR(0, 1), a64.STTR(0, 1)], ids=["LDTR", "STTR"])
def test_unprivileged_accesses_at_el1_are_checked_as_el0(rig: Rig, word: int, first: bool) -> None:
    """In the middle of a block, with ordinary accesses on either side."""
    words = [a64.LDR(5, 1) if first else a64.NOP, a64.LDR(6, 2), word, a64.LDR(7, 1), a64.HVC(1)]
    user_rig(rig).start(words, X1=EL1_ONLY, X2=EL0_TOO)
    assert rig.vector() == 0x200
    write = word == a64.STTR(0, 1)
    assert rig.read("ESR_EL1", "ELR_EL1", "FAR_EL1") == (0x25 << 26 | IL | 0xF | write << 6, CODE + 8, EL1_ONLY)
    user_rig(rig).start(a64.LDR(5, 1), word, a64.HVC(1), X1=EL0_TOO)
    assert rig.hvc() == 1


def test_an_unprivileged_access_opens_nothing_for_el0(rig: Rig) -> None:
    """EL1 reads its own page, LDTR another; EL0 still cannot see the first."""
    user_rig(rig).start(a64.LDR(5, 1), a64.LDTR(6, 2), a64.ERET, X1=EL1_ONLY, X2=EL0_TOO)
    rig.load([a64.LDR(7, 1)], CODE + 0x100)
    rig.core.write("ELR_EL1", CODE + 0x100)
    rig.core.write("SPSR_EL1", EL0T)
    assert rig.vector() == 0x400
    assert rig.read("ESR_EL1", "FAR_EL1") == (0x24 << 26 | IL | 0xF, EL1_ONLY)


def test_unprivileged_accesses_at_el0_are_plain_ones(rig: Rig) -> None:
    user_rig(rig).start(a64.LDTR(6, 2), a64.STTR(6, 2), a64.SVC(9), pstate=EL0T, X2=EL0_TOO)
    assert rig.vector() == 0x400
    assert rig.core.read("ESR_EL1") == 0x15 << 26 | IL | 9


# ── address translation instructions ─────────────────────────────────────────────────────────────────────────────────

AT = {"AT S1E1R": ("r", 1), "AT S1E1W": ("w", 1), "AT S1E0R": ("r", 0), "AT S1E0W": ("w", 0)}


@pytest.mark.parametrize("form", AT)
def test_at_reports_the_translation_or_the_fault(rig: Rig, form: str) -> None:
    """PAR_EL1: the IPA, or F and the fault status. Stage 1 alone: where stage 2 maps it is nobody's business at EL1."""
    access, el = AT[form]
    denied = {EL1_ONLY + 8: el == 0, CODE: access == "w"}
    for va in (EL0_TOO + 0x10, EL1_ONLY + 8, UNMAPPED, CODE):
        fails = 5 if va == UNMAPPED else 0xF * denied.get(va, False)
        user_rig(rig).start(a64.sys(form, 1), a64.ISB, a64.mrs(2, "PAR_EL1"), a64.HVC(1), X1=va)
        assert rig.hvc() == 1
        (par,) = rig.read("X2")
        if fails:
            assert (par & 1, par >> 1 & 0x3F, par >> 11 & 1) == (1, fails, 1), (form, hex(va), hex(par))
        else:
            assert (par & 1, par & 0xFFFF_FFFF_F000) == (0, va & ~0xFFF), (form, hex(va), hex(par))


def test_at_whose_walk_stage_2_refuses_goes_to_el2() -> None:
    """As a data abort with S1PTW, CM and WnR, at the AT instruction; PAR_EL1 is untouched and nothing after it ran."""
    rig = Rig("minivisor")
    lower, _ = rig.mmu_on()
    rig.memory.write(lower + 8 * (UNMAPPED >> 30), NOWHERE + 0x4000 | 3)
    rig.start(a64.NOP, a64.sys("AT S1E1R", 1), a64.ADD(5, 5, 1), a64.HVC(1), X1=UNMAPPED, X5=0, PAR_EL1=0x70)
    before = rig.core.retired
    assert rig.exit() == (DATA_EC, 1 << 8 | 1 << 7 | 1 << 6 | 5)
    assert rig.core.syndrome[1:] == (UNMAPPED, NOWHERE + 0x4000 >> 8)
    assert rig.read("PC", "X5", "PAR_EL1") == (CODE + 4, 0, 0x70)
    assert rig.core.retired - before == 1


def test_the_reason_is_a_plain_number(rig: Rig) -> None:
    rig.start(a64.HVC(1))
    assert rig.run() == SYNC
