"""Between the virtual GIC and the hardware's list registers: `enter` before the guest runs, `leave` after.

    vGIC state ── flush ──► GICH_LR<n> ── the guest acknowledges and completes, no exit ──► fold ──► vGIC state

List registers that come back as they went stay as they are, for the next entry if nothing else has changed either.

The guest's two timers are real: their physical interrupts (PPI 27 and 30) are forwarded with LR.HW=1. While a timer's line
is high and was handed to the guest, its physical interrupt stays active, hence quiet; the guest's EOI deactivates it
without an exit, and if the line is still high then, it fires again.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from operator import itemgetter

from minivisor.drivers.gich import FORMATS
from minivisor.drivers.ich import decode_ich
from minivisor.hypervisor.list_registers import HCR_EN, maintenance
from minivisor.hypervisor.vcpu import VirtualCpu
from minivisor.machine.board import Machine
from minivisor.machine.gic import PHYSICAL_TIMER, VIRTUAL_TIMER
from minivisor.machine.state import WORD
from minivisor.machine.timer import TICK_NS
from minivisor.stages import ListRegister
from minivisor.trace.decisions import spill
from minivisor.trace.records import IrqEvent
from minivisor.trace.store import Trace

__all__ = ["Interrupts"]

HCR_AT, VMCR_AT, APR_AT, AP0R_AT = (WORD[name] for name in ("gich_hcr", "gich_vmcr", "gich_apr", "ich_ap0r"))
TIMERS = itemgetter(*(WORD[name] for name in ("cntv_cval", "cntv_ctl", "cntvoff", "cntp_cval", "cntp_ctl")))
EOI_COUNT = 27  # GICH_HCR[31:27]
TDIR = 1 << 14  # ICH_HCR_EL2.TDIR: the hardware could not deactivate what is in no list register


class Interrupts:
    """The interrupt side of the loaded vCPU."""

    def __init__(self, machine: Machine, trace: Trace) -> None:
        self._words = machine.core.words
        self._core, self._gic, self._trace = machine.core, machine.gic, trace
        self._count, self._interface = machine.list_registers, machine.virtual_interface
        self._encode, self._decode = FORMATS[machine.board.gic]
        self._listed: Sequence[ListRegister] = ()
        self._chosen: object = None  # by the vGIC; and as words
        self._empty = self._filled = [0] * self._count
        self._control, self._traps, self._kept = HCR_EN, 0, False  # kept: the guest has not touched them, they are there still
        self._seen: object = None  # registers of the timers; and what follows from them, until when in ticks
        self._lines, self._until = ((VIRTUAL_TIMER, False), (PHYSICAL_TIMER, False)), 0.0
        self._high = False
        self.attention = True
        """An interrupt came or the vCPU was just loaded: look at the timer lines again, as when one is high."""

    def enter(self, vcpu: VirtualCpu) -> None:
        """Flush: timer lines into the vGIC, the most urgent interrupts into list registers. Nearly free when nothing is up."""
        vgic = vcpu.persona.vgic
        self.look(vcpu)
        if not vgic.busy(vcpu.number):
            self._drop()
            return
        groups = self._words[VMCR_AT] & 0b11  # GICH_VMCR.VMGrp0En and VMGrp1En
        registers, spilled = chosen = vgic.enter(vcpu.number, self._count, groups)
        if chosen is not self._chosen:
            self._chosen, self._filled, self._kept = chosen, [self._encode(register) for register in registers], False
            self._control = maintenance(registers, spilled, groups, vgic.held_back(vcpu.number, groups)) | self._traps
        if not self._kept:
            self._interface.write_list_registers(self._filled)
        self._words[HCR_AT], self._listed = self._control, registers
        for slot, register in enumerate(registers):
            if register.state == 1:
                self._note(vcpu, IrqEvent.LISTED, register.intid, register.priority, slot)
        for irq in spilled:
            self._note(vcpu, IrqEvent.SPILLED, irq.intid, irq.priority)
        if spilled:
            spill(self._trace, self._core.now, vcpu.index, vcpu.persona.stages.flush, self._count, registers, spilled)

    def look(self, vcpu: VirtualCpu) -> None:
        """Bring the timer lines up to date: the guest may have silenced a timer since they were last seen, without an exit."""
        if not (self.attention or self._high):
            return
        registers, ticks = TIMERS(self._words), self._core.now // TICK_NS
        if self._seen == registers and ticks < self._until:
            if self._kept and not self.attention:
                return
        else:
            vtimer, (cval, ctl, offset, p_cval, p_ctl) = vcpu.persona.stages.vtimer, registers
            (virtual, first), (physical, second) = vtimer(cval, ctl, offset, ticks), vtimer(p_cval, p_ctl, 0, ticks)
            self._seen, self._lines = registers, ((VIRTUAL_TIMER, virtual), (PHYSICAL_TIMER, physical))
            self._until = min(inf if first is None else first, inf if second is None else second)
        for intid, level in self._lines:  # one that was handed to the guest stays active, hence quiet, until its EOI
            vcpu.persona.vgic.set_line(intid, level, vcpu.number)
            self._gic.set_active(intid, level)
        self.attention, self._high = False, any(level for _, level in self._lines)

    @property
    def quiet(self) -> bool:
        """After `enter`: would `leave` and the next one do nothing, not even record that what is listed was listed again?"""
        return not (self._listed or self._high or self.attention)

    def leave(self, vcpu: VirtualCpu) -> None:
        """Fold: what the guest acknowledged and completed goes back into the vGIC; those list registers are empty after."""
        if not self._listed:
            return
        found, registers = self._interface.read_list_registers(), self._listed
        self._kept = found == self._filled
        if not self._kept:
            registers = [self._decode(value) for value in found]
            self._interface.write_list_registers(self._empty)
        completed_outside, self._words[HCR_AT] = self._words[HCR_AT] >> EOI_COUNT & 0x1F, HCR_EN | self._traps
        listed, self._listed = self._listed, ()
        vcpu.persona.vgic.leave(vcpu.number, registers, completed_outside)
        for slot, register in enumerate(registers):
            if register.state & 2:
                self._note(vcpu, IrqEvent.ACKNOWLEDGED, register.intid, register.priority, slot)
            elif not register.state and listed[slot].state:
                self._note(vcpu, IrqEvent.COMPLETED, register.intid, register.priority, slot)

    def load(self, vcpu: VirtualCpu) -> None:
        """World switch in: the virtual interface's own state (enables, mask, active priorities)."""
        self._words[VMCR_AT], self._words[APR_AT], self._words[AP0R_AT] = vcpu.interface
        affinity = vcpu.persona.vgic.affinity
        self._traps = TDIR if affinity else 0
        self._words[HCR_AT] = HCR_EN | self._traps
        if self._decode is decode_ich:
            self._core.write("ICC_SRE_EL1", affinity)
        self.attention, self._seen = True, None

    def save(self, vcpu: VirtualCpu) -> None:
        """World switch out; after `leave`."""
        self._drop()
        vcpu.interface = (self._words[VMCR_AT], self._words[APR_AT], self._words[AP0R_AT])

    def _drop(self) -> None:
        if self._kept:
            self._interface.write_list_registers(self._empty)
            self._kept = False

    def _note(self, vcpu: VirtualCpu, event: IrqEvent, intid: int, priority: int, slot: int = 0) -> None:
        self._trace.irq(self._core.now, vcpu.index, event, intid, priority, slot)
