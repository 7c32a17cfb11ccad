"""Slow, obvious oracles for the vGIC: an interrupt controller without list registers, and the silicon that has them.

`Gic` is what the guest should see: interrupts as sets, acknowledged straight from there. `ListRegisterInterface` is the
virtual CPU interface as IHI 0048B, 5 has it: it only knows what is in the list registers.
"""

from __future__ import annotations

from dataclasses import replace

from minivisor.stages import ListRegister

SPURIOUS = 1023
IDLE = 256


class Gic:
    """One CPU's interrupts. `edge` ids latch, others follow `lines`; SGIs (below 16) are {id: senders}."""

    def __init__(self, edge: set[int], priority: dict[int, int]) -> None:
        self.edge, self.priority = edge, priority
        self.lines: set[int] = set()
        self.latched: set[int] = set()
        self.senders: dict[int, set[int]] = {}
        self.enabled: set[int] = set()
        self.active: list[tuple[int, int]] = []

    def pending(self) -> list[tuple[int, int, int]]:
        """(priority, id, sender) of all that could be acknowledged now, most urgent first."""
        running = min((self.priority[intid] for intid, _ in self.active), default=IDLE)
        busy = {intid for intid, _ in self.active}
        ids = self.latched | (self.lines - self.edge) | {intid for intid, who in self.senders.items() if who}
        return sorted(
            (self.priority[intid], intid, min(self.senders.get(intid) or {0}))
            for intid in ids & self.enabled - busy
            if self.priority[intid] < running
        )

    def acknowledge(self) -> tuple[int, int]:
        if not self.pending():
            return SPURIOUS, 0
        _, intid, sender = self.pending()[0]
        self.latched.discard(intid)
        self.senders.get(intid, set()).discard(sender)
        self.active.append((intid, sender))
        return intid, sender

    def complete(self) -> int:
        return self.active.pop()[0]


class ListRegisterInterface:
    """GICV over list registers: acknowledge, complete, and the maintenance interrupt."""

    def __init__(self) -> None:
        self.registers: list[ListRegister] = []

    def acknowledge(self) -> tuple[int, int]:
        running = min((r.priority for r in self.registers if r.state & 2), default=IDLE)
        ready = [
            (r.priority, r.intid, n)
            for n, r in enumerate(self.registers)
            if r.state == 1 and r.priority < running
        ]  # fmt: skip
        if not ready:
            return SPURIOUS, 0
        n = min(ready)[2]
        self.registers[n] = replace(self.registers[n], state=2)
        return self.registers[n].intid, self.registers[n].source

    def complete(self, intid: int) -> bool:
        """EOI. True when the list register had asked for a maintenance interrupt."""
        (n,) = (n for n, r in enumerate(self.registers) if r.state & 2 and r.intid == intid)
        self.registers[n] = replace(self.registers[n], state=self.registers[n].state & 1)
        return self.registers[n].eoi_maintenance and self.registers[n].state == 0

    def starved(self) -> bool:
        """No pending interrupt is listed: what GICH_HCR.NPIE watches, and UIE nearly."""
        return not any(r.state & 1 for r in self.registers)
