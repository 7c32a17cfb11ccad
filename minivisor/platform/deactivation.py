"""Completion in two steps: what a guest with EOImode set says by GICV_DIR, or by ICC_DIR_EL1.

EOIR drops the running priority and later, in any order, DIR deactivates. The hardware can do the second step only for what
is in a list register; of anything else it just counts that there was one, which names nobody. So the second page of the
virtual CPU interface, which holds GICV_DIR alone, is not mapped, and ICC_DIR_EL1 is trapped (ICH_HCR_EL2.TDIR): each DIR is an
exit, and EL2 knows its interrupt wherever it is. Guests that complete in one step, which is nearly all, never come here; KVM
decides the same way. Source: IHI 0048B, 5.5.14; IHI 0069, ICV_DIR_EL1.
"""

from __future__ import annotations

from collections.abc import Callable

from minivisor.platform.interrupts import Interrupts

__all__ = ["Deactivation"]

DIR = 0x000  # GICV + 0x1000
WORD = 4
SPECIAL = 1020  # this interrupt id and above name no interrupt


class Deactivation:
    """A banked device. eoi_mode: GICV_CTLR.EOImode of the vCPU that is loaded."""

    def __init__(self, vgic: Interrupts, eoi_mode: Callable[[], bool]) -> None:
        self._vgic, self._eoi_mode = vgic, eoi_mode

    def read(self, _offset: int, _width: int, _cpu: int) -> int:
        """Nothing here can be read."""
        return 0

    def write(self, offset: int, width: int, value: int, cpu: int) -> None:
        """DIR: interrupt id in bits 9:0, the sender of an SGI in bits 12:10. Without EOImode it has no effect."""
        if offset == DIR and width >= WORD:
            self.deactivate(value & 0x3FF, value >> 10 & 7, cpu)

    def deactivate(self, intid: int, sender: int, cpu: int) -> None:
        """What DIR does, however it was written."""
        if intid < SPECIAL and self._eoi_mode():
            self._vgic.deactivate(intid, sender, cpu)
