"""The second page of the virtual CPU interface, which holds one register: GICV_DIR, Deactivate Interrupt (IHI 0048B, 5.5.14).

With GICV_CTLR.EOImode set a guest completes an interrupt in two steps, EOIR to drop the running priority and later, in any
order, DIR to deactivate. The hardware can do the second step only for what is in a list register; of anything else it just
counts that there was one, which names nobody. So this page is not mapped: each DIR is an exit, and EL2 knows its interrupt
wherever it is. Guests that complete in one step, which is nearly all, never come here; KVM decides the same way.
"""

from __future__ import annotations

from collections.abc import Callable

from minivisor.hypervisor.vgic import Vgic

__all__ = ["Deactivation"]

DIR = 0x000  # GICV + 0x1000
WORD = 4
SPECIAL = 1020  # this interrupt id and above name no interrupt


class Deactivation:
    """A banked device. eoi_mode: GICV_CTLR.EOImode of the vCPU that is loaded."""

    def __init__(self, vgic: Vgic, eoi_mode: Callable[[], bool]) -> None:
        self._vgic, self._eoi_mode = vgic, eoi_mode

    def read(self, _offset: int, _width: int, _cpu: int) -> int:
        """Nothing here can be read."""
        return 0

    def write(self, offset: int, width: int, value: int, cpu: int) -> None:
        """DIR: interrupt id in bits 9:0, the sender of an SGI in bits 12:10. Without EOImode it has no effect."""
        intid = value & 0x3FF
        if offset == DIR and width >= WORD and intid < SPECIAL and self._eoi_mode():
            self._vgic.deactivate(intid, value >> 10 & 7, cpu)
