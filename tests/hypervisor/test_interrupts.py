"""What EL2 puts into the board's list registers and control, and what it makes of what it finds there afterwards."""

from __future__ import annotations

from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.machine.board import Machine
from minivisor.machine.state import WORD
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
