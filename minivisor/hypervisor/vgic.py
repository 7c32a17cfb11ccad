"""The virtual GIC behind its registers: the state of every interrupt, and the way into and out of list registers.

Each interrupt is pending for up to three reasons: a line that is high (level sensitive), a latch set by a rising edge
or by the guest (GICD_ISPENDR), or, for an SGI, the CPUs that sent it. On the way into a list register the latch or the
sender moves along with it; what the guest has not acknowledged moves back. So nothing is counted twice, and an edge
that comes while the last one is being handled is kept.

A line is never moved: it is looked at again each time. An interrupt that was completed while its line is still high is
pending again, one whose line fell before the guest saw it is not (IHI 0048B, 3.2.4). For the same reason an active
level interrupt is not listed as "pending and active": by the time it is completed the guest has usually silenced the
device.

Interrupts of equal priority go in the order in which they became ready to be taken, pending and not active: `turn` is a
number drawn then. A line that stays high draws a new one after each completion, and so cannot keep others out.

A GICv3 routes by affinity. An SGI is then known by its id alone: its senders are one latch.

A guest that prints with its interrupts masked makes ten thousand exits with its timer pending. `flush` is pure, so it is not
asked again while nothing has changed; and if nothing moved into list registers that come back as they went, nothing is folded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any

from minivisor.arch.gic import PPIS, SGIS, IrqState
from minivisor.hypervisor import list_registers
from minivisor.hypervisor.list_registers import EMPTY, Chosen
from minivisor.platform.interrupts import INTERRUPTS, PRIVATE, Interrupt
from minivisor.stages import Irq, ListRegister, Vcpu

__all__ = ["Vgic"]

STATE = attrgetter(*Interrupt.__slots__)
Flush = Callable[[Sequence[Irq], Sequence[ListRegister]], Chosen]
Fold = Callable[[Sequence[ListRegister]], tuple[tuple[int, ...], tuple[Irq, ...]]]
Target = Callable[[Irq, Sequence[Vcpu]], int]


class Vgic:
    """The interrupts of one persona.

    cpus: 1 to 8. vcpus: the persona's vCPUs as they are now, for `target`; all online if not given.
    flush, fold, target: the replaceable parts. affinity: a GICv3, with affinity routing.
    """

    def __init__(
        self,
        cpus: int = 1,
        vcpus: Callable[[], Sequence[Vcpu]] | None = None,
        flush: Flush = list_registers.flush,
        fold: Fold = list_registers.fold,
        target: Target = list_registers.target,
        affinity: bool = False,
    ) -> None:
        if not 1 <= cpus <= 8:
            raise ValueError(f"vgic: got {cpus} vCPUs, expected 1 to 8 (IHI 0048B, 4.3.2)")
        always = [Vcpu(index, "") for index in range(cpus)]
        self.cpus, self.affinity = cpus, affinity
        self.enabled = 0  # GICD_CTLR.EnableGrp0 and 1
        self._vcpus = vcpus or (lambda: always)
        self._flush, self._fold, self._target = flush, fold, target
        self._private = [[_private(intid, affinity) for intid in range(PRIVATE)] for _ in range(cpus)]
        self._shared = [Interrupt(intid, targets=1) for intid in range(PRIVATE, INTERRUPTS)]
        self._busy: list[dict[int, Interrupt]] = [{} for _ in range(cpus + 1)]  # the last one is for SPIs
        self._flight: list[list[tuple[Interrupt, bool]]] = [[] for _ in range(cpus)]
        self._outside: list[list[Interrupt]] = [[] for _ in range(cpus)]  # active, but in no list register
        self._turns = 0
        self._chosen: list[tuple[Any, Chosen]] = [(None, ((), ()))] * cpus  # what flush was asked last, its answer
        self._untouched = [False] * cpus  # the guest has done nothing to it, and nothing had moved

    # ── lines and senders ────────────────────────────────────────────────────────────────────────────────────────────

    def interrupt(self, intid: int, cpu: int) -> Interrupt | None:
        """One interrupt as `cpu` sees it, None beyond the last. After changing it, call `settle`."""
        if intid < PRIVATE:
            return self._private[cpu][intid]
        return self._shared[intid - PRIVATE] if intid < INTERRUPTS else None

    def settle(self, interrupt: Interrupt, cpu: int) -> None:
        """Note whether an interrupt is pending or active now, so that a world switch looks at busy ones only."""
        busy = self._busy[cpu if interrupt.intid < PRIVATE else self.cpus]
        if not interrupt.pending or interrupt.active:
            interrupt.turn = 0
        elif not interrupt.turn:
            self._turns += 1
            interrupt.turn = self._turns
        if interrupt.pending or interrupt.active:
            busy[interrupt.intid] = interrupt
        else:
            busy.pop(interrupt.intid, None)

    def set_line(self, intid: int, level: bool, cpu: int = 0) -> None:
        """A device drives its line. cpu: whose, for PPIs. Rising edges of an edge-triggered interrupt are latched."""
        interrupt = self.interrupt(intid, cpu)
        if interrupt is None or intid < PPIS.start:
            raise ValueError(f"vgic: got interrupt {intid}, expected a PPI or SPI, {PPIS.start} to {INTERRUPTS - 1}")
        if interrupt.line != level:
            interrupt.latch |= interrupt.edge and level
            interrupt.line = level
            self.settle(interrupt, cpu)

    def line(self, intid: int, cpu: int = 0) -> bool:
        """How a device last drove its line."""
        interrupt = self.interrupt(intid, cpu)
        return interrupt is not None and interrupt.line

    def send(self, sgi: int, sender: int, targets: int) -> None:
        """SGI `sgi` from vCPU `sender` to each vCPU with a bit in `targets`."""
        for cpu in range(self.cpus):
            if targets >> cpu & 1:
                self._sent(self._private[cpu][sgi], sender)
                self.settle(self._private[cpu][sgi], cpu)

    def _sent(self, sgi: Interrupt, sender: int) -> None:
        if self.affinity:
            sgi.latch = True
        else:
            sgi.senders |= 1 << sender

    def deactivate(self, intid: int, sender: int, cpu: int) -> None:
        """GICV_DIR or ICC_DIR of `cpu`, for whichever list register it is in, or none. sender: of an SGI."""
        interrupt = self.interrupt(intid, cpu)
        if interrupt is None or not interrupt.active or (intid >= PRIVATE and interrupt.holder != cpu):
            return
        if intid not in SGIS or interrupt.sender == sender:
            interrupt.active = False
            self.settle(interrupt, cpu)

    def forward(self, intid: int, physical: int) -> None:
        """Tie a virtual PPI or SPI to a physical interrupt, which the guest's EOI deactivates (LR.HW)."""
        for cpu in range(self.cpus if intid < PRIVATE else 1):
            interrupt = self.interrupt(intid, cpu)
            if interrupt is not None:
                interrupt.physical = physical

    # ── into and out of the list registers ───────────────────────────────────────────────────────────────────────────

    def busy(self, cpu: int) -> bool:
        """Might `pending` return anything? Cheap, for the many world entries where it does not."""
        return bool(self._busy[cpu] or self._busy[self.cpus])

    def pending(self, cpu: int, groups: int = 0b11) -> list[Irq]:
        """What wants a list register of this vCPU, most urgent first; equals in their turn. groups: see `enter`."""
        busy = sorted(chain(self._busy[cpu].values(), self._busy[self.cpus].values()), key=lambda each: each.turn)
        wanting = (self._wanting(interrupt, cpu, groups) for interrupt in busy)
        return sorted((irq for irq in wanting if irq is not None), key=list_registers.urgency)

    def signals(self, cpu: int) -> bool:
        """Is there something new for this vCPU: what ends a WFI."""
        return self.busy(cpu) and any(irq.pending for irq in self.pending(cpu))

    def held_back(self, cpu: int, groups: int) -> int:
        """Groups, one bit each, in which something pends that must not be listed before the guest enables its group."""
        busy = chain(self._busy[cpu].values(), self._busy[self.cpus].values())
        found = {each.group for each in busy if each.pending and each.enabled and self.forwards(each)}
        return sum(1 << group for group in found if not groups >> group & 1)

    def enter(self, cpu: int, count: int, groups: int = 0b11) -> Chosen:
        """Flush before the guest runs: (list registers, spilled), the same object again while nothing has changed.

        count: how many list registers there are. groups: those that its CPU interface lets through, one bit each; others
        would only be in the way. While something is spilled, a maintenance interrupt should bring us back here:
        `list_registers.maintenance`.
        """
        of = groups, self.enabled, count, *map(STATE, chain(self._busy[cpu].values(), self._busy[self.cpus].values()))
        if self._chosen[cpu][0] != of or (self.cpus > 1 and self._busy[self.cpus]):  # a route depends on who is online
            self._chosen[cpu] = of, self._choose(cpu, count, groups)
            self._untouched[cpu] = False
        chosen = self._chosen[cpu][1]
        if not self._untouched[cpu]:
            self._move(cpu, *chosen)
        return chosen

    def _move(self, cpu: int, registers: Sequence[ListRegister], spilled: Sequence[Irq]) -> None:
        outside = [(irq.priority, self.interrupt(irq.intid, cpu)) for irq in spilled if irq.active]
        self._outside[cpu] = [each for _, each in sorted(outside, key=itemgetter(0)) if each is not None]
        self._flight[cpu].clear()
        for register in registers:
            interrupt = self.interrupt(register.intid, cpu)
            if register.state and interrupt is not None:
                self._flight[cpu].append((interrupt, interrupt.latch))
                _take(interrupt, register)

    def _choose(self, cpu: int, count: int, groups: int) -> Chosen:
        registers, spilled = self._flush(self.pending(cpu, groups), (EMPTY,) * count)
        return tuple(map(partial(self._grouped, cpu), registers)), spilled

    def _grouped(self, cpu: int, register: ListRegister) -> ListRegister:
        """The group is not for a policy to choose: it says whether the guest takes an IRQ or a FIQ."""
        interrupt = self.interrupt(register.intid, cpu)
        return replace(register, group=1) if interrupt is not None and interrupt.group else register

    def leave(self, cpu: int, registers: Sequence[ListRegister], completed_outside: int = 0) -> None:
        """Fold after the guest ran, before anything else looks at the vGIC.

        completed_outside: GICH_HCR.EOICount. An EOI names the most urgent active interrupt, so those were it, in order.
        """
        moved = completed_outside or any(latched or each.intid in SGIS for each, latched in self._flight[cpu])
        self._untouched[cpu] = registers is self._chosen[cpu][1][0] and not moved
        if self._untouched[cpu]:
            return
        completed, listed = self._fold(registers)
        still = {irq.intid: irq for irq in listed}
        for interrupt, latched in self._flight[cpu]:
            irq = still.get(interrupt.intid)
            if irq is not None:
                self._put_back(interrupt, irq, latched, cpu)
            elif interrupt.intid in completed:
                interrupt.active, interrupt.turn = False, 0
            self.settle(interrupt, cpu)
        for interrupt in self._outside[cpu][:completed_outside]:
            interrupt.active = False
            self.settle(interrupt, cpu)
        self._outside[cpu].clear()
        self._flight[cpu].clear()

    def _put_back(self, interrupt: Interrupt, irq: Irq, latched: bool, cpu: int) -> None:
        interrupt.active = irq.active
        if irq.active:
            interrupt.sender, interrupt.holder = irq.source, cpu
        if irq.pending and interrupt.intid in SGIS:
            self._sent(interrupt, irq.source)
        elif irq.pending:
            interrupt.latch |= latched

    def forwards(self, interrupt: Interrupt) -> bool:
        """Does the distributor forward its group?"""
        return bool(self.enabled >> interrupt.group & 1)

    def _wanting(self, interrupt: Interrupt, cpu: int, groups: int) -> Irq | None:
        through = bool(groups >> interrupt.group & 1) and self.forwards(interrupt)
        pending = interrupt.pending and interrupt.enabled and through
        if interrupt.active:
            return self._active(interrupt, pending) if interrupt.intid < PRIVATE or interrupt.holder == cpu else None
        if not pending:
            return None
        first = interrupt.senders & -interrupt.senders
        irq = Irq(
            interrupt.intid,
            interrupt.priority,
            source=first.bit_length() - 1 if first else 0,
            physical=interrupt.physical,
            level=interrupt.senders != first or (interrupt.line and not interrupt.edge),
        )
        return irq if interrupt.intid < PRIVATE or self._route(irq, interrupt.targets) == cpu else None

    def _active(self, interrupt: Interrupt, pending: bool) -> Irq:
        """An SGI's next sender has no place in the list register of the active one, and LR.HW allows one state only."""
        sourced = interrupt.intid in SGIS and not self.affinity
        both = pending and interrupt.edge and not sourced and interrupt.physical is None
        return Irq(
            interrupt.intid,
            interrupt.priority,
            source=interrupt.sender,
            physical=interrupt.physical,
            level=pending and not both,
            active=True,
            pending=both,
        )

    def _route(self, irq: Irq, targets: int) -> int | None:
        named = [vcpu for vcpu in self._vcpus() if targets >> vcpu.index & 1]
        return self._target(irq, named) if named else None

    # ── snapshots ────────────────────────────────────────────────────────────────────────────────────────────────────

    def state(self) -> dict[str, Any]:
        """Everything a snapshot needs, as numbers; to be taken outside `enter` and `leave`."""
        return {"enabled": self.enabled, "interrupts": [asdict(interrupt) for interrupt, _ in self._all()]}

    def load(self, state: dict[str, Any]) -> None:
        """Go back to what `state` returned."""
        self.enabled = state["enabled"]
        for (interrupt, cpu), saved in zip(self._all(), state["interrupts"], strict=True):
            for name, value in saved.items():
                setattr(interrupt, name, value)
            self._turns = max(self._turns, interrupt.turn)
            self.settle(interrupt, cpu)

    def _all(self) -> Iterator[tuple[Interrupt, int]]:
        for cpu, bank in enumerate(self._private):
            yield from ((interrupt, cpu) for interrupt in bank)
        yield from ((interrupt, 0) for interrupt in self._shared)


def _take(interrupt: Interrupt, register: ListRegister) -> None:
    """What is pending in a list register is not pending here."""
    if register.state & IrqState.PENDING:
        interrupt.latch = False
        interrupt.senders &= ~(1 << register.source)


def _private(intid: int, affinity: bool) -> Interrupt:
    """GICv2's SGIs are always enabled."""
    return Interrupt(intid, enabled=intid in SGIS and not affinity, edge=intid in SGIS)
