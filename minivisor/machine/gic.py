"""The physical interrupt controller, as far as EL2 needs it: lines in, one acknowledged interrupt out (IHI 0048B, 3.2).

Priority drop and deactivation are separate (GICC_CTLR.EOImodeNS=1): EL2 acknowledges, which makes the interrupt active and
quiet; whoever handles it deactivates. For a timer that is the guest itself, through a list register with HW=1, without an exit.
"""

from __future__ import annotations

import numpy as np

from minivisor.machine.core import Core
from minivisor.machine.state import WORD

__all__ = ["HYP_TIMER", "MAINTENANCE", "PHYSICAL_TIMER", "SPURIOUS", "VIRTUAL_TIMER", "PhysicalGic"]

MAINTENANCE, HYP_TIMER, VIRTUAL_TIMER, PHYSICAL_TIMER = 25, 26, 27, 30
SPURIOUS = 1023
ACTIVE_AT, SIGNALLED_AT = WORD["active"], WORD["signalled"]


class PhysicalGic:
    """Interrupt ids 16..63 of one core; lower ids are more urgent. Every interrupt goes to EL2 (HCR_EL2.IMO)."""

    def __init__(self, core: Core) -> None:
        self._record, self._words = core.record, core.words

    def enable(self, *intids: int) -> None:
        """Let these interrupts be signalled."""
        for intid in intids:
            self._record.enabled |= np.uint64(1 << intid)

    def set_line(self, intid: int, level: bool) -> None:
        """Drive a device's interrupt line."""
        bit = np.uint64(1 << intid)
        self._record.lines = self._record.lines | bit if level else self._record.lines & ~bit

    def acknowledge(self) -> int:
        """GICC_IAR: the interrupt that stopped the core, now active; SPURIOUS when there is none."""
        words = self._words
        pending = words[SIGNALLED_AT]
        if not pending:
            return SPURIOUS
        first = pending & -pending
        words[SIGNALLED_AT] = pending ^ first
        words[ACTIVE_AT] |= first
        return first.bit_length() - 1

    def deactivate(self, intid: int) -> None:
        """GICC_DIR: it may be signalled again."""
        self._words[ACTIVE_AT] &= ~(1 << intid)

    def set_active(self, intid: int, active: bool) -> None:
        """GICD_ISACTIVER, ICACTIVER: on a world switch, the active state of a timer moves with the vCPU it belongs to."""
        words, bit = self._words, 1 << intid
        words[ACTIVE_AT] = words[ACTIVE_AT] | bit if active else words[ACTIVE_AT] & ~bit
