"""A slow GICv3 virtual CPU interface, from IHI 0069's descriptions of ICV_* and the pseudocode beside them: an oracle.

List registers are objects, active priorities a list of (priority, group), the two groups are treated alike by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SPURIOUS, IDLE = 1023, 0xFF


@dataclass
class Listed:
    """One list register."""

    intid: int
    priority: int
    group: int
    pending: bool = True
    active: bool = False


@dataclass
class NaiveIcv:
    lrs: list[Listed | None] = field(default_factory=list)
    enabled: set[int] = field(default_factory=lambda: {0, 1})
    priority_mask: int = 0xF8
    binary_point: dict[int, int] = field(default_factory=lambda: {0: 2, 1: 3})
    common: bool = False
    split: bool = False
    running: list[tuple[int, int]] = field(default_factory=list)
    eoi_count: int = 0

    def point_of(self, group: int) -> int:
        """ICV_BPR<group>: with CBPR, Group 1 shows Group 0's plus one, at most 7."""
        if group == 1 and self.common:
            return min(max(self.binary_point[0], 2) + 1, 7)
        return max(self.binary_point[group], 2 + group)

    def group_priority(self, priority: int, group: int) -> int:
        """Group 0's binary point of n leaves out n + 1 bits, Group 1's leaves out n; with CBPR both take Group 0's."""
        left_out = max(self.binary_point[0], 2) + 1 if group == 0 or self.common else max(self.binary_point[1], 3)
        return priority // 2**left_out * 2**left_out

    def running_priority(self) -> int:
        return min((priority for priority, _ in self.running), default=IDLE)

    def highest(self) -> Listed | None:
        waiting = [lr for lr in self.lrs if lr and lr.pending and not lr.active and lr.group in self.enabled]
        return min(waiting, key=lambda lr: lr.priority, default=None)

    def hppir(self, group: int) -> int:
        lr = self.highest()
        return lr.intid if lr and lr.group == group else SPURIOUS

    def signalled(self) -> Listed | None:
        lr = self.highest()
        if not lr or lr.priority >= self.priority_mask:
            return None
        return lr if self.group_priority(lr.priority, lr.group) < self.running_priority() else None

    def acknowledge(self, group: int) -> int:
        lr = self.signalled()
        if not lr or lr.group != group:
            return SPURIOUS
        lr.pending, lr.active = False, True
        self.running.append((self.group_priority(lr.priority, lr.group), lr.group))
        return lr.intid

    def find(self, intid: int) -> Listed | None:
        return next((lr for lr in self.lrs if lr and lr.active and lr.intid == intid), None)

    def end(self, group: int, intid: int) -> None:
        if 1020 <= intid <= 1023 or not self.running:
            return
        dropped = min(self.running)
        self.running.remove(dropped)
        lr = self.find(intid)
        if lr is None:
            self.eoi_count = (self.eoi_count + (not self.split)) % 32
        elif lr.group == group and self.group_priority(lr.priority, group) == dropped[0] and not (self.split and intid < 8192):
            lr.active = False

    def deactivate(self, intid: int) -> None:
        if not self.split or intid >= 1020:
            return
        lr = self.find(intid)
        if lr is None:
            self.eoi_count = (self.eoi_count + 1) % 32
        else:
            lr.active = False
