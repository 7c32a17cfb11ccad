"""The virtual SError: HCR_EL2.VSE pends it, PSTATE.A masks it, taking it clears it (DDI 0487, D1.3.6, HCR_EL2.VSE)."""

from __future__ import annotations

import pytest

from tests.machine import a64
from tests.machine.rig import CODE, EL0T, EL1H, EL1T, HCR, VECTORS, Rig
from tests.machine.test_exceptions import FLAGS, IL, user_rig

VSE, AMO, A = 1 << 8, 1 << 5, 1 << 8  # HCR_EL2, HCR_EL2, PSTATE
ESR = 0x2F << 26 | IL | 1 << 24  # IDS: the rest is IMPLEMENTATION DEFINED
UNMASK, MASK = a64.MSR_DAIFCLR(4), a64.MSR_DAIFSET(4)


@pytest.fixture(params=["minivisor", "unicorn"])
def rig(request: pytest.FixtureRequest) -> Rig:
    return user_rig(Rig(request.param))


def pend(rig: Rig) -> None:
    rig.core.write("HCR_EL2", rig.core.read("HCR_EL2") | VSE)


def pending(rig: Rig) -> bool:
    return bool(rig.core.read("HCR_EL2") & VSE)


@pytest.mark.parametrize(("pstate", "offset"), [(EL0T, 0x580), (EL1T, 0x180), (EL1H, 0x380)], ids=["EL0", "EL1t", "EL1h"])
def test_it_is_taken_at_once_where_nothing_masks_it(rig: Rig, pstate: int, offset: int) -> None:
    rig.start(a64.NOP, a64.HVC(1), pstate=(pstate & ~A) | FLAGS, FAR_EL1=0x1234)
    pend(rig)
    before = rig.core.retired
    assert rig.vector() == offset
    assert rig.read("ESR_EL1", "ELR_EL1", "FAR_EL1", "SPSR_EL1") == (ESR, CODE, 0x1234, (pstate & ~A) | FLAGS)
    assert rig.core.read("PSTATE") == EL1H | FLAGS
    assert rig.core.retired - before == 1  # the vector's HVC; nothing of the guest
    assert not pending(rig)


def test_it_waits_until_pstate_a_is_clear_and_no_longer(rig: Rig) -> None:
    """Even for one instruction: A is set again right behind."""
    rig.start(a64.ADD(5, 5, 1), a64.CBNZ(6, 8), a64.ADD(5, 5, 1), UNMASK, MASK, a64.ADD(5, 5, 1), a64.HVC(1), X5=0, X6=0)
    pend(rig)
    assert rig.vector() == 0x380
    assert rig.read("X5", "ELR_EL1", "ESR_EL1") == (2, CODE + 16, ESR)


def test_masked_all_along_it_stays_pending(rig: Rig) -> None:
    rig.start(a64.NOP, a64.SVC(1))
    pend(rig)
    assert rig.vector() == 0x200  # the SVC
    assert pending(rig)


def test_an_eret_that_clears_pstate_a_lets_it_in(rig: Rig) -> None:
    rig.start(a64.NOP, a64.ERET, SPSR_EL1=EL0T & ~A, ELR_EL1=CODE + 0x100)
    pend(rig)
    assert rig.vector() == 0x580
    assert rig.core.read("ELR_EL1") == CODE + 0x100


def test_it_is_taken_once(rig: Rig) -> None:
    """The handler returns; the interrupted program goes on, and A is clear all the while."""
    rig.load([a64.ADD(7, 7, 1), a64.ERET], VECTORS + 0x380)
    rig.start(a64.ADD(5, 5, 1), a64.ADD(5, 5, 1), a64.HVC(1), pstate=EL1H & ~A, X5=0, X7=0)
    pend(rig)
    assert rig.hvc() == 1
    assert rig.read("X5", "X7") == (2, 1)


def test_without_amo_it_is_no_virtual_serror(rig: Rig) -> None:
    rig.start(a64.NOP, a64.HVC(1), pstate=EL1H & ~A)
    rig.core.write("HCR_EL2", HCR & ~AMO | VSE)
    assert rig.hvc() == 1
    assert pending(rig)


def test_a_pending_one_costs_no_time(rig: Rig) -> None:
    """The guest goes block by block meanwhile, and its clock does not notice."""
    loop = [a64.NOP, a64.SUBS(1, 1, 1), a64.CBNZ(1, -8), a64.HVC(1)]
    times = []
    for wanted in (False, True):
        rig.start(loop, X1=200)
        before = rig.core.now
        if wanted:
            pend(rig)
        assert rig.hvc() == 1
        times.append(rig.core.now - before)
    assert times == [601, 601]
