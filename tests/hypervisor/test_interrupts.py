"""What EL2 puts into the board's list registers and control, and what it makes of what it finds there afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minivisor.hypervisor import list_registers
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.reference import reference
from minivisor.hypervisor.vcpu import VirtualCpu
from minivisor.hypervisor.vtimer import vtimer as vtimer_part
from minivisor.machine.board import Machine
from minivisor.machine.state import WORD
from minivisor.trace.kinds import Kind
from tests.system.test_smp import add

EN, LRENPIE, EOI_COUNT = 1, 4, 27  # GICH_HCR (IHI 0048B, 5.3.1)


def test_what_the_guest_completed_outside_the_list_registers_is_completed() -> None:
    """One list register, for the more urgent of two; the guest completes both, and only GICH_HCR.EOICount tells of one."""
    hypervisor = Hypervisor(Machine(list_registers=1))
    vcpu = add(hypervisor, 1, "persona").vcpus[0]
    vgic, words = vcpu.persona.vgic, hypervisor.core.words
    vgic.enabled, words[WORD["gich_vmcr"]] = 1, 1
    for intid, priority in ((40, 0x80), (41, 0x40)):
        irq = vgic.interrupt(intid, 0)
        assert irq is not None
        irq.enabled, irq.edge, irq.priority, irq.targets = True, True, priority, 1
        irq.active, irq.latch = intid == 40, intid == 41
        vgic.settle(irq, 0)
    hypervisor.interrupts.enter(vcpu)
    assert words[WORD["lr"]] & 0x3FF == 41 and words[WORD["gich_hcr"]] == EN | LRENPIE
    words[WORD["lr"]] &= ~(3 << 28)  # IAR, EOIR of 41
    words[WORD["gich_hcr"]] += 1 << EOI_COUNT  # EOIR of 40
    hypervisor.interrupts.leave(vcpu)
    assert words[WORD["gich_hcr"]] == EN and words[WORD["lr"]] == 0
    assert not vgic.busy(0)


class Asked:
    """A part that counts how often it is asked."""

    def __init__(self, part: Callable[..., Any]) -> None:
        self.part, self.times = part, 0

    def __call__(self, *arguments: Any) -> Any:
        self.times += 1
        return self.part(*arguments)


def test_a_guest_that_leaves_with_its_timer_masked_is_not_flushed_and_folded_each_time() -> None:
    """As Linux does while it prints: many exits for each thing that happens. The trace says the same as if asked each time."""
    flush, fold, vtimer = Asked(list_registers.flush), Asked(list_registers.fold), Asked(vtimer_part)
    parts = {"flush": flush, "fold": fold, "vtimer": vtimer}
    hypervisor = Hypervisor(Machine(), stages=lambda guest: reference(guest, **parts))
    vcpu = add(hypervisor, 1, "persona").vcpus[0]
    vgic, words, interrupts = vcpu.persona.vgic, hypervisor.core.words, hypervisor.interrupts
    hypervisor._switch_to(vcpu)
    vgic.enabled, words[WORD["gich_vmcr"]] = 1, 1
    irq = vgic.interrupt(27, 0)
    assert irq is not None
    irq.enabled = True
    words[WORD["cntv_ctl"]] = 1  # CNTV_CVAL_EL0 is 0: its time has come

    def leave(times: int) -> tuple[int, int, int]:
        for _ in range(times):
            interrupts.enter(vcpu)
            assert words[WORD["lr"]] >> 28 == 0b1001 and words[WORD["lr"]] & 0x3FF == 27  # HW, pending
            interrupts.leave(vcpu)
            assert irq.pending and not irq.active
        return flush.times, fold.times, vtimer.times

    assert leave(10) == (1, 0, 2)
    assert len(hypervisor.trace.select(Kind.IRQ)) == 10, "listed each time"
    irq.priority = 0x40
    assert leave(10) == (2, 0, 2), "and now it is more urgent"
    interrupts.enter(vcpu)
    assert words[WORD["lr"]] >> 23 & 0x1F == 0x40 >> 3
    words[WORD["lr"]] = words[WORD["lr"]] & ~(3 << 28) | 2 << 28  # IAR
    interrupts.leave(vcpu)
    assert (flush.times, fold.times, irq.active) == (2, 1, True)
    words[WORD["cntv_cval"]] = 1 << 60  # the guest has set its timer again, and completes it
    interrupts.enter(vcpu)
    words[WORD["lr"]] &= ~(3 << 28)
    interrupts.leave(vcpu)
    assert (flush.times, fold.times, vtimer.times) == (3, 2, 4)
    assert not vgic.busy(0) and not irq.line and words[WORD["lr"]] == 0


def test_what_a_guest_left_in_its_list_registers_is_gone_with_its_reason_and_is_no_others() -> None:
    """They stay as they are from an exit to the next entry, but not when the line has fallen, nor over a world switch."""
    hypervisor = Hypervisor(Machine())
    first, second = (add(hypervisor, 1, "persona").vcpus[0] for _ in range(2))
    words, interrupts = hypervisor.core.words, hypervisor.interrupts
    first.interface = second.interface = (1, 0, 0)
    for vcpu in (first, second):
        vgic = vcpu.persona.vgic
        irq = vgic.interrupt(40, 0)
        assert irq is not None
        vgic.enabled, irq.enabled, irq.targets = 1, True, 1

    def listed(vcpu: VirtualCpu) -> int:
        interrupts.enter(vcpu)
        found = words[WORD["lr"]] & 0x3FF
        interrupts.leave(vcpu)
        return found

    hypervisor._switch_to(first)
    first.persona.vgic.set_line(40, True)
    assert (listed(first), listed(first), words[WORD["lr"]] & 0x3FF) == (40, 40, 40)
    first.persona.vgic.set_line(40, False)
    assert (listed(first), words[WORD["lr"]]) == (0, 0)
    first.persona.vgic.set_line(40, True)
    assert listed(first) == 40
    hypervisor._switch_to(second)
    assert (words[WORD["lr"]], listed(second)) == (0, 0)
    hypervisor._switch_to(first)
    assert listed(first) == 40, "and it is not forgotten"


def test_an_sgi_that_stays_listed_is_counted_once() -> None:
    """What moves into a list register has to come back, each time."""
    hypervisor = Hypervisor(Machine())
    vcpu = add(hypervisor, 1, "persona").vcpus[0]
    vgic, words = vcpu.persona.vgic, hypervisor.core.words
    vgic.enabled, words[WORD["gich_vmcr"]] = 1, 1
    vgic.send(3, 0, 1)
    for _ in range(3):
        hypervisor.interrupts.enter(vcpu)
        assert words[WORD["lr"]] & 0x3FF == 3 and not vgic.signals(0), "it is there alone"
        hypervisor.interrupts.leave(vcpu)
        assert vgic.signals(0)
