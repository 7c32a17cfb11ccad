"""Between the distributor and the list registers: who gets in, what came back, and which vCPU it is for.

The virtual CPU interface presents what is in its few list registers, and nothing else. Before the guest runs, `flush`
chooses; after it ran, `fold` reads what the guest has done meanwhile: acknowledged (pending became active) or completed
(the entry became invalid, but kept its interrupt id).

    pending ─ flush ─► list registers ─ guest: IAR, EOIR ─► list registers ─ fold ─► completed
       ▲        └────► spilled                                                └────► still there ─┐
       └──────────────────────────────────────────────────────────────────────────────────────────┘

Active interrupts go first, because the guest's EOI must find them; then the most urgent. An interrupt id is never in
two list registers at once (IHI 0048B, 5.3.8). All three functions are pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from minivisor.arch.gic import SPURIOUS, IrqState
from minivisor.stages import Irq, ListRegister, Vcpu

__all__ = ["EMPTY", "flush", "fold", "target", "urgency"]

EMPTY = ListRegister(intid=SPURIOUS)
"""A list register that holds nothing, and has held nothing that was completed: unlike one all zero, it is not SGI 0."""


def urgency(irq: Irq) -> tuple[bool, int, int, int]:
    """Sorts interrupts by who needs a list register most: active ones, then by priority, then by interrupt id."""
    return not irq.active, irq.priority, irq.intid, irq.source


def flush(
    pending: Sequence[Irq], list_registers: Sequence[ListRegister]
) -> tuple[tuple[ListRegister, ...], tuple[Irq, ...]]:
    """Put interrupts into list registers.

    pending: in any order. list_registers: as many as there are; those in use stay as they are.
    Returns (list registers, spilled): spilled interrupts found no room and wait, most urgent first.
    """
    filled = [register if register.state else EMPTY for register in list_registers]
    free = [index for index, register in enumerate(filled) if not register.state]
    listed = {register.intid for register in filled if register.state}
    spilled = []
    for irq in sorted(pending, key=urgency):
        if free and irq.intid not in listed:
            filled[free.pop(0)] = _entry(irq)
            listed.add(irq.intid)
        else:
            spilled.append(irq)
    return tuple(filled), tuple(spilled)


def _entry(irq: Irq) -> ListRegister:
    """`level` asks for a maintenance interrupt on completion; with LR.HW the physical distributor will tell us."""
    return ListRegister(
        state=(IrqState.ACTIVE if irq.active else 0) | (IrqState.PENDING if irq.pending else 0),
        intid=irq.intid,
        priority=irq.priority,
        source=irq.source,
        physical=irq.physical,
        eoi_maintenance=irq.level and irq.physical is None,
    )


def fold(list_registers: Sequence[ListRegister]) -> tuple[tuple[int, ...], tuple[Irq, ...]]:
    """Read the list registers back after the guest ran.

    Returns (completed, pending): ids the guest has completed, and the interrupts still listed, pending or active.
    """
    completed = tuple(
        register.intid for register in list_registers if not register.state and register.intid != SPURIOUS
    )
    pending = tuple(_listed(register) for register in list_registers if register.state)
    return completed, pending


def _listed(register: ListRegister) -> Irq:
    return Irq(
        intid=register.intid,
        priority=register.priority,
        source=register.source,
        physical=register.physical,
        level=register.eoi_maintenance,
        active=bool(register.state & IrqState.ACTIVE),
        pending=bool(register.state & IrqState.PENDING),
    )


def target(irq: Irq, vcpus: Sequence[Vcpu]) -> int:
    """The index of the vCPU that takes a shared interrupt.

    vcpus: those that GICD_ITARGETSR names, at least one. GICv2 gives the interrupt to any one of them (IHI 0048B, 1-N
    model): here the first that is online. The choice depends on nothing that changes by making it, so an interrupt
    does not run back and forth between two vCPUs that wake up for it.
    """
    return next((vcpu.index for vcpu in vcpus if vcpu.online), vcpus[0].index)
