"""A slow virtual CPU interface, from IHI 0048B 5.5 and the GICH_HCR, GICH_LRn and GICH_VMCR descriptions: an oracle.

Active priorities are a list, list registers are objects; only what Group 0 interrupts need.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SPURIOUS, IDLE = 1023, 0xFF


@dataclass
class Listed:
    """One list register."""

    intid: int
    priority: int
    pending: bool = True
    active: bool = False
    source: int = 0

    @property
    def name(self) -> int:
        """What GICV_IAR returns and GICV_EOIR expects: an SGI carries the requesting CPU."""
        return self.intid | (self.source << 10 if self.intid < 16 else 0)


@dataclass
class NaiveGicv:
    lrs: list[Listed | None] = field(default_factory=list)
    priority_mask: int = 0xF8
    binary_point: int = 2
    split: bool = False
    running: list[int] = field(default_factory=list)
    eoi_count: int = 0

    def group_priority(self, priority: int) -> int:
        size = 2 << max(self.binary_point, 2)
        return priority - priority % size

    def running_priority(self) -> int:
        return min(self.running, default=IDLE)

    def highest(self) -> Listed | None:
        waiting = [lr for lr in self.lrs if lr and lr.pending and not lr.active]
        return min(waiting, key=lambda lr: lr.priority, default=None)

    def acknowledge(self) -> int:
        lr = self.highest()
        if not lr or lr.priority >= self.priority_mask or self.group_priority(lr.priority) >= self.running_priority():
            return SPURIOUS
        lr.pending, lr.active = False, True
        self.running.append(self.group_priority(lr.priority))
        return lr.name

    def end(self, name: int) -> None:
        if name & 0x3FF >= 1020:
            return
        dropped = bool(self.running)
        if dropped:
            self.running.remove(min(self.running))
        if not self.split:
            self._deactivate(name, dropped)

    def deactivate(self, name: int) -> None:
        if self.split and name & 0x3FF < 1020:
            self._deactivate(name, True)

    def _deactivate(self, name: int, count: bool) -> None:
        for lr in self.lrs:
            if lr and lr.active and lr.name == (name if name & 0x3FF < 16 else name & 0x3FF):
                lr.active = False
                return
        self.eoi_count = (self.eoi_count + count) % 32
