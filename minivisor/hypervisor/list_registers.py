"""Between the distributor and the list registers: who gets in, what came back, and which vCPU it is for.

The virtual CPU interface presents what is in its few list registers, and nothing else. Before the guest runs, `flush`
chooses; after it ran, `fold` reads what the guest has done meanwhile: acknowledged (pending became active) or completed
(the entry became invalid, but kept its interrupt id).

    pending ─ flush ─► list registers ─ guest: IAR, EOIR ─► list registers ─ fold ─► completed
       ▲        └────► spilled                                                └────► still there ─┐
       └──────────────────────────────────────────────────────────────────────────────────────────┘

Which ones, when there are more than list registers, is a policy, and two are here, each with what it pays:

    flush               pending ones first, active ones make room      KVM: sorts when there is overflow
    flush_keep_active   active ones stay, all but one list register    Bao: spills the least urgent pending one

A spilled active interrupt costs an exit when the guest completes it: the EOI finds no list register and is counted
(GICH_HCR.EOICount). A spilled pending one costs an exit to be fetched. Neither policy may let an active interrupt keep
out a pending one that could preempt it, so one list register at least is for the most urgent pending one.

Who is listed is presented by priority, and of equals the first to come goes first: the interface takes the lowest
list register of equals, so they are filled in that order. An interrupt id is never in two list registers at once
(IHI 0048B, 5.3.8). All functions are pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from minivisor.arch.gic import SPURIOUS, IrqState
from minivisor.stages import Irq, ListRegister, Vcpu

__all__ = ["EMPTY", "HCR_EN", "POLICIES", "Chosen", "flush", "flush_keep_active", "fold", "maintenance", "target", "urgency"]

EMPTY = ListRegister(intid=SPURIOUS)
"""A list register that holds nothing, and has held nothing that was completed: unlike one all zero, it is not SGI 0."""

HCR_EN, HCR_UIE, HCR_LRENPIE, HCR_NPIE, HCR_VGRP0EIE, HCR_VGRP0DIE = 1, 2, 4, 8, 16, 32  # GICH_HCR (IHI 0048B, 5.3.1)

Chosen = tuple[tuple[ListRegister, ...], tuple[Irq, ...]]


def urgency(irq: Irq) -> tuple[bool, int]:
    """Sorts interrupts by who is presented first: pending ones by priority, then active ones, which only wait for an EOI."""
    return irq.active, irq.priority


def flush(pending: Sequence[Irq], list_registers: Sequence[ListRegister]) -> Chosen:
    """Put interrupts into list registers; on overflow pending ones go first, by priority.

    pending: equals in the order in which they came. list_registers: as many as there are; those in use stay as they are.
    Returns (list registers, spilled): spilled interrupts found no room and wait, most urgent first.
    """
    return _fill(sorted(pending, key=urgency), list_registers)


def flush_keep_active(pending: Sequence[Irq], list_registers: Sequence[ListRegister]) -> Chosen:
    """Like `flush`, but on overflow the active ones keep their list registers, except the last for a pending one."""
    ranked = sorted(pending, key=urgency)
    first, active = [irq for irq in ranked if not irq.active], [irq for irq in ranked if irq.active]
    free = sum(not register.state for register in list_registers)
    kept = active[: max(free - bool(first), 0)]
    return _fill(first[: free - len(kept)] + kept + first[free - len(kept) :] + active[len(kept) :], list_registers)


def _fill(ranked: Sequence[Irq], list_registers: Sequence[ListRegister]) -> Chosen:
    """The first of `ranked` into the free list registers."""
    filled = [register if register.state else EMPTY for register in list_registers]
    free = [index for index, register in enumerate(filled) if not register.state]
    listed = {register.intid for register in filled if register.state}
    chosen: list[Irq] = []
    spilled: list[Irq] = []
    for irq in ranked:
        room = len(chosen) < len(free) and irq.intid not in listed
        (chosen if room else spilled).append(irq)
        listed.add(irq.intid)
    for index, irq in zip(free, chosen, strict=False):
        filled[index] = _entry(_in_turn(irq) if spilled else irq)
    return tuple(filled), tuple(spilled)


def _in_turn(irq: Irq) -> Irq:
    """While others wait outside, one that is active and pending again comes back to us first: it is behind them."""
    return replace(irq, pending=False, level=True) if irq.active and irq.pending else irq


def maintenance(registers: Sequence[ListRegister], spilled: Sequence[Irq], groups: int = 0, held_back: int = 0) -> int:
    """GICH_HCR for these list registers: what should bring us back while something is spilled (IHI 0048B, 5.3.1).

    One pending interrupt outside comes in when no listed one is pending any more (NPIE); for several it pays to refill
    earlier, when at most one list register is in use (UIE): unless that is so from the start, which would never end.
    Active ones outside are completed by an EOI that finds no list register (LRENPIE). A group that the guest enables may
    have interrupts held back (VGrp0EIE, VGrp1EIE); one that it disables leaves room for others (VGrp0DIE, VGrp1DIE).

    groups: that its CPU interface lets through, held_back: those of the others with something pending; one bit each.
    """
    outside = sum(irq.pending and not irq.active for irq in spilled)
    control = HCR_EN | (HCR_NPIE if outside else 0)
    if outside > 1 and sum(register.state != 0 for register in registers) > 1:
        control |= HCR_UIE
    control |= _group_bits(held_back, HCR_VGRP0EIE) | (_group_bits(groups, HCR_VGRP0DIE) if outside else 0)
    return control | (HCR_LRENPIE if any(irq.active for irq in spilled) else 0)


def _group_bits(groups: int, first: int) -> int:
    """The bits of GICH_HCR for groups, one bit each: Group 1's is two above Group 0's."""
    return (groups & 1 | (groups & 2) << 1) * first


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


POLICIES = {"kvm": flush, "bao": flush_keep_active}
"""What to do on overflow, by the hypervisor that is known for it; each fits `Stages.flush`."""
