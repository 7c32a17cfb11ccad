"""Slow, obvious oracles for the vGIC: an interrupt controller without list registers, and the silicon that has them.

`Gic` is what the guest should see: interrupts as sets, acknowledged straight from there. `ListRegisterInterface` is the
virtual CPU interface as IHI 0048B, 5 has it: it only knows what is in the list registers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from minivisor.stages import ListRegister

SPURIOUS = 1023
IDLE = 256


class Gic:
    """One CPU's interrupts. `edge` ids latch, others follow `lines`; SGIs (below 16) are {id: senders}.

    queue: ids that are pending and not active, in the order in which they became so. group: of an id, 0 unless given.
    forwarded: groups that the distributor lets through; let_through: those that the CPU interface does.
    """

    def __init__(self, edge: set[int], priority: dict[int, int]) -> None:
        self.edge, self.priority = edge, priority
        self.lines: set[int] = set()
        self.latched: set[int] = set()
        self.senders: dict[int, set[int]] = {}
        self.enabled: set[int] = set()
        self.active: list[tuple[int, int]] = []
        self.dropped: list[tuple[int, int]] = []
        self.queue: list[int] = []
        self.group: dict[int, int] = {}
        self.forwarded, self.let_through = {0, 1}, {0, 1}

    def settle(self) -> None:
        """Bring the queue up to date; to be called after each single change."""
        ids = self.latched | (self.lines - self.edge) | {intid for intid, who in self.senders.items() if who}
        ready = ids - {intid for intid, _ in self.active + self.dropped}
        self.queue = [intid for intid in self.queue if intid in ready]
        self.queue += sorted(ready - set(self.queue))

    def pending(self) -> list[int]:
        """Ids that could be acknowledged now, most urgent first, of equals the first to come."""
        running = min((self.priority[intid] for intid, _ in self.active), default=IDLE)
        groups = self.forwarded & self.let_through
        listed = [intid for intid in self.queue if intid in self.enabled and self.group.get(intid, 0) in groups]
        ready = [intid for intid in listed if self.priority[intid] < running]
        return sorted(ready, key=lambda intid: self.priority[intid])

    def acknowledge(self) -> tuple[int, int]:
        if not self.pending():
            return SPURIOUS, 0
        intid = self.pending()[0]
        sender = min(self.senders.get(intid) or {0})
        self.latched.discard(intid)
        self.senders.get(intid, set()).discard(sender)
        self.active.append((intid, sender))
        self.settle()
        return intid, sender

    def complete(self) -> int:
        intid, _ = self.active.pop()
        self.settle()
        return intid

    def drop(self) -> None:
        """EOIR with EOImode: the running priority drops, the interrupt stays active until `deactivate`."""
        self.dropped.append(self.active.pop())

    def deactivate(self, which: int) -> tuple[int, int]:
        """DIR of one of the dropped, in any order."""
        name = self.dropped.pop(which)
        self.settle()
        return name


class ListRegisterInterface:
    """GICV over list registers: acknowledge, complete, and the maintenance interrupts.

    running: the priorities taken and not dropped (GICH_APR). control: GICH_HCR as EL2 set it. eoi_count: of this run.
    groups: those that the guest has enabled.
    """

    def __init__(self) -> None:
        self.registers: list[ListRegister] = []
        self.running: list[int] = []
        self.control = self.eoi_count = 0
        self.groups = {0, 1}

    def enter(self, registers: Sequence[ListRegister], control: int) -> None:
        """EL2 filled the list registers. A maintenance interrupt that is there from the start would never let the guest run."""
        self.registers, self.control, self.eoi_count = list(registers), control, 0
        assert not self.maintenance()

    def acknowledge(self) -> tuple[int, int]:
        running = self.running[-1] if self.running else IDLE
        mine = [(n, r) for n, r in enumerate(self.registers) if r.group in self.groups]
        ready = [(r.priority, n) for n, r in mine if r.state == 1 and r.priority < running]
        if not ready:
            return SPURIOUS, 0
        n = min(ready)[1]
        self.registers[n] = replace(self.registers[n], state=2)
        self.running.append(self.registers[n].priority)
        return self.registers[n].intid, self.registers[n].source

    def drop(self) -> None:
        """EOIR with EOImode."""
        self.running.pop()

    def complete(self, intid: int) -> bool:
        """EOI. True when the list register had asked for a maintenance interrupt."""
        self.running.pop()
        found = [n for n, r in enumerate(self.registers) if r.state & 2 and r.intid == intid]
        if not found:
            self.eoi_count += 1
            return False
        (n,) = found
        self.registers[n] = replace(self.registers[n], state=self.registers[n].state & 1)
        return self.registers[n].eoi_maintenance and self.registers[n].state == 0

    def maintenance(self) -> bool:
        """UIE: at most one list register in use. LRENPIE: an EOI found none. NPIE: none is pending. Bits 4 and 6: a group is
        enabled, 5 and 7: it is not (IHI 0048B, 5.3.1)."""
        underflow = self.control & 2 and sum(r.state != 0 for r in self.registers) <= 1
        not_present = self.control & 4 and self.eoi_count
        none_pending = self.control & 8 and not any(r.state == 1 for r in self.registers)
        changed = any(self.control >> 4 + 2 * group + (group not in self.groups) & 1 for group in (0, 1))
        return bool(underflow or not_present or none_pending or changed)
