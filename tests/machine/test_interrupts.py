"""Virtual interrupts: taken by the guest without an exit, and the maintenance interrupts that tell EL2 to list more."""

from __future__ import annotations

import numpy as np
import pytest

from minivisor.machine.core import HORIZON, IRQ
from minivisor.machine.gic import MAINTENANCE, PhysicalGic
from tests.machine import a64
from tests.machine.rig import CODE, EL0T, EL1H, EL1T, GICV, VECTORS, Rig
from tests.machine.test_exceptions import user_rig
from tests.machine.test_gicv import ACTIVE, BOTH, EOIR, IAR, PENDING, Interface, lr

IRQ_ON = EL1H & ~(1 << 7)


@pytest.fixture(params=["minivisor", "unicorn"])
def mmu(request: pytest.FixtureRequest) -> str:
    return str(request.param)


HANDLER = [a64.LDRW(10, 9, IAR), a64.STRW(10, 9, EOIR), a64.ADD(11, 11, 1), a64.ERET]


def handled(rig: Rig, offset: int, words: list[int] = HANDLER) -> None:
    rig.load(words, VECTORS + offset)
    rig.core.code_changed()


def test_a_guest_takes_an_interrupt_without_an_exit(mmu: str) -> None:
    gicv = Interface(mmu, lr(40))
    rig, record = gicv.rig, gicv.record
    rig.start(a64.NOP, a64.MSR_DAIFCLR(2), a64.NOP, a64.NOP, a64.HVC(1), X9=GICV, X11=0)
    handled(rig, 0x280)
    before = int(record.retired)
    assert rig.hvc() == 1
    assert rig.read("X10", "X11") == (40, 1)
    assert rig.read("SPSR_EL1", "ELR_EL1") == (IRQ_ON, CODE + 8)
    assert gicv.states() == [0, 0, 0, 0]
    assert int(record.retired) - before == 5 + 4


@pytest.mark.parametrize(("pstate", "offset"), [(EL0T, 0x480), (EL1T, 0x080), (EL1H, 0x280)])
def test_an_interrupt_from_every_level(mmu: str, pstate: int, offset: int) -> None:
    rig = user_rig(Rig(mmu))
    rig.core.record.gich_hcr, rig.core.record.gich_vmcr = 1, 0xF800_0000 | 1
    rig.core.record.lr[0] = lr(40)
    rig.start(a64.NOP, a64.NOP, pstate=pstate & ~(1 << 7), SP_EL0=0x1000, SP_EL1=0x2000)
    assert rig.vector() == offset
    assert rig.read("SPSR_EL1", "ELR_EL1", "PSTATE", "SP") == (pstate & ~(1 << 7), CODE, EL1H, 0x2000)
    assert rig.read("SP_EL0") == (0x1000,)


FIQ_EN, GROUPS = 1 << 3, 3


@pytest.mark.parametrize(("control", "group", "offset"), [(0, 0, 0x280), (FIQ_EN, 0, 0x300), (FIQ_EN, 1, 0x280)])
def test_group_0_is_a_fiq_if_the_guest_wants_that(mmu: str, control: int, group: int, offset: int) -> None:
    """GICV_CTLR.FIQEn; each line wakes only its own mask (IHI 0048B, 5.5.1)."""
    for masked in (0, 1 << 6, 1 << 7):
        gicv = Interface(mmu, lr(40, group=group), control=GROUPS | control)
        gicv.rig.start(a64.NOP, a64.HVC(7), pstate=EL1H & ~(3 << 6) | masked)
        if masked == (1 << 6 if offset == 0x300 else 1 << 7):
            assert gicv.rig.hvc() == 7
        else:
            assert gicv.rig.vector() == offset


def test_the_vector_base_has_no_low_bits(mmu: str) -> None:
    """VBAR_EL1 bits 10:0 are RES0: they read as zero, and neither an exception nor a virtual interrupt goes there."""
    gicv = Interface(mmu)
    rig = gicv.rig
    move = a64.msr("VBAR_EL1", 1)
    rig.start(move, a64.mrs(0, "VBAR_EL1"), a64.SVC(1), X1=VECTORS | 0x7FC)
    assert rig.vector() == 0x200
    assert rig.read("X0", "VBAR_EL1") == (VECTORS, VECTORS)
    rig.start(move, a64.MSR_DAIFCLR(2), *[a64.NOP] * 4, X1=VECTORS | 0x7FC)
    gicv.record.lr[0] = lr(40)
    assert rig.vector() == 0x280


def test_el0_cannot_move_the_vectors(mmu: str) -> None:
    rig = user_rig(Rig(mmu))
    rig.start(a64.msr("VBAR_EL1", 1), pstate=EL0T, X1=VECTORS + 0x800)
    assert rig.vector() == 0x400
    assert rig.read("VBAR_EL1") == (VECTORS,)


def test_a_masked_core_takes_it_when_it_unmasks_and_only_once(mmu: str) -> None:
    gicv = Interface(mmu, lr(40), lr(41, 0x90))
    gicv.rig.start(*[a64.NOP] * 8, a64.MSR_DAIFCLR(2), a64.NOP, a64.MSR_DAIFSET(2), a64.HVC(1), X9=GICV, X11=0)
    handled(gicv.rig, 0x280)
    assert gicv.rig.hvc() == 1
    assert gicv.rig.read("X11", "X10") == (2, 41)


def test_an_interrupt_whose_cause_is_acknowledged_by_polling_is_not_taken(mmu: str) -> None:
    """IAR read with interrupts masked lowers the line before they are unmasked."""
    gicv = Interface(mmu, lr(40))
    gicv.rig.start(a64.LDRW(12, 9, IAR), a64.MSR_DAIFCLR(2), a64.NOP, a64.NOP, a64.HVC(1), X9=GICV, X11=0)
    handled(gicv.rig, 0x280)
    assert gicv.rig.hvc() == 1
    assert gicv.rig.read("X12", "X11") == (40, 0)


def test_ending_one_interrupt_lets_the_next_in_at_the_next_block(mmu: str) -> None:
    gicv = Interface(mmu, lr(40))
    assert gicv.read(IAR) == 40
    gicv.record.lr[1] = lr(41)
    words = [a64.MSR_DAIFCLR(2), a64.NOP, a64.STRW(12, 9, EOIR), a64.NOP, a64.B(4), a64.NOP, a64.HVC(1)]
    gicv.rig.start(words, X9=GICV, X11=0, X12=40)
    handled(gicv.rig, 0x280)
    assert gicv.rig.hvc() == 1
    assert gicv.rig.read("X10", "X11", "ELR_EL1") == (41, 1, CODE + 20)


def test_a_more_urgent_interrupt_preempts_the_handler(mmu: str) -> None:
    gicv = Interface(mmu, lr(40, 0x80))
    rig = gicv.rig
    nested = [a64.LDRW(10, 9, IAR), a64.HVC(5), a64.MSR_DAIFCLR(2), a64.NOP, a64.HVC(6)]
    rig.start(a64.MSR_DAIFCLR(2), a64.NOP, a64.HVC(1), X9=GICV)
    handled(rig, 0x280, nested)
    assert rig.hvc() == 5
    gicv.record.lr[1], gicv.record.lr[2] = lr(41, 0x80), lr(42, 0x10)
    assert rig.hvc() == 5
    assert rig.core.read("X10") == 42
    assert rig.hvc() == 6  # 41 is not urgent enough


def test_interrupts_never_reach_a_guest_that_masks_them(mmu: str) -> None:
    gicv = Interface(mmu, lr(40, 0))
    gicv.rig.start(a64.NOP, a64.B(-4))
    assert gicv.rig.run(gicv.rig.core.now + 5000) == HORIZON
    assert gicv.states()[0] == PENDING


# ── maintenance interrupts ───────────────────────────────────────────────────────────────────────────────────────────


def maintained(control: int, *lrs: int) -> tuple[Interface, PhysicalGic]:
    gicv = Interface("minivisor", *lrs)
    gicv.record.gich_hcr = 1 | control
    physical = PhysicalGic(gicv.rig.core)
    physical.enable(MAINTENANCE)
    return gicv, physical


def raised(gicv: Interface, physical: PhysicalGic) -> bool:
    gicv.rig.start(a64.NOP, a64.HVC(1))
    if gicv.rig.run() != IRQ:
        return False
    assert physical.acknowledge() == MAINTENANCE
    physical.deactivate(MAINTENANCE)
    return True


UIE, LRENPIE, NPIE = 1 << 1, 1 << 2, 1 << 3
MISR = [
    (UIE, [], True),
    (UIE, [lr(40)], True),
    (UIE, [lr(40), lr(41)], False),
    (UIE, [lr(40, state=ACTIVE), lr(41, state=BOTH)], False),
    (NPIE, [lr(40)], False),
    (NPIE, [lr(40, state=ACTIVE)], True),
    (NPIE, [lr(40, state=BOTH)], True),
    (LRENPIE, [], False),
    (LRENPIE | 1 << 27, [], True),
    (0, [lr(40, state=0, eoi=1)], True),
    (0, [lr(40, state=ACTIVE, eoi=1)], False),
    (0, [lr(40, state=0)], False),
]


@pytest.mark.parametrize(("control", "lrs", "wanted"), MISR)
def test_maintenance_interrupts(control: int, lrs: list[int], wanted: bool) -> None:
    assert raised(*maintained(control, *lrs)) == wanted
    gicv, physical = maintained(control, *lrs)
    gicv.record.gich_hcr &= ~np.uint64(1)
    assert not raised(gicv, physical)


def test_underflow_comes_when_the_guest_completes() -> None:
    """Two listed, one completed: EL2 is called to list more, in the middle of the guest's handler."""
    gicv, physical = maintained(UIE, lr(40), lr(41, 0x90))
    gicv.rig.start(a64.MSR_DAIFCLR(2), a64.NOP, a64.B(0), X9=GICV, X11=0)
    handled(gicv.rig, 0x280)
    assert gicv.rig.run() == IRQ
    assert physical.acknowledge() == MAINTENANCE
    assert gicv.rig.read("X10") == (40,)
    assert gicv.states()[:2] == [0, PENDING]


def test_the_eoi_maintenance_bit_reports_one_interrupts_completion() -> None:
    gicv, physical = maintained(0, lr(40, eoi=1), lr(41))
    assert gicv.read(IAR) == 40
    assert not raised(gicv, physical)
    gicv.rig.start(a64.STRW(1, 2), a64.B(4), a64.HVC(1), X1=40, X2=GICV + EOIR)
    assert gicv.rig.run() == IRQ
    assert physical.acknowledge() == MAINTENANCE
