"""A virtual PL031: the time of day, in seconds of virtual time.

The counter is nothing but an offset to virtual time, so it needs no ticking and a snapshot of it is one number. Its
match interrupt is latched when the counter comes to MR; `deadline` tells the scheduler when that will be.

    offset  name  what
    0x000   DR    seconds now, read only
    0x004   MR    match
    0x008   LR    load: sets the counter
    0x00C   CR    bit 0: running, always
    0x010.. IMSC RIS MIS ICR, bit 0 each
    0xFE0.. identification

Source: Arm DDI 0224, chapter 3.
"""

from __future__ import annotations

from collections.abc import Callable

from minivisor.arch.pl031 import PERIPHERAL_ID, RTC, RTCCR

__all__ = ["Rtc"]

IDENTIFICATION = {RTC.PERIPH_ID + 4 * n: byte for n, byte in enumerate(PERIPHERAL_ID)}
SECOND = 1_000_000_000  # ns
MASK32 = 0xFFFF_FFFF


class Rtc:
    """One PL031. now: virtual time in ns. epoch: what the counter shows at virtual time 0, in seconds."""

    def __init__(self, now: Callable[[], int], epoch: int = 0) -> None:
        self._now = now
        self._offset = epoch & MASK32
        self._load = epoch & MASK32
        self._match = 0
        self._mask = 0
        self._raw = 0
        self._match_at = self._next_match()

    @property
    def interrupt(self) -> bool:
        """The level of RTCINTR now."""
        if not self._mask:
            return False
        self._latch()
        return bool(self._raw)

    @property
    def deadline(self) -> int | None:
        """The virtual time in ns at which the line goes high by itself; None when it is high or masked."""
        if not self._mask:
            return None
        self._latch()
        return None if self._raw else self._match_at

    def state(self) -> dict[str, int]:
        """Everything a snapshot needs, as numbers."""
        self._latch()
        return {
            "offset": self._offset,
            "load": self._load,
            "match": self._match,
            "mask": self._mask,
            "raw": self._raw,
            "match_at": self._match_at,
        }

    def load(self, state: dict[str, int]) -> None:
        """Go back to what `state` returned."""
        self._offset, self._load = state["offset"], state["load"]
        self._match, self._mask, self._raw = state["match"], state["mask"], state["raw"]
        self._match_at = state["match_at"]

    def read(self, offset: int, width: int) -> int:
        """Read a register. offset, width: bytes. What is not the start of a register reads as zero."""
        self._latch()
        registers: dict[int, int] = {
            RTC.DR: self._seconds(),
            RTC.MR: self._match,
            RTC.LR: self._load,
            RTC.CR: RTCCR.START.mask,
            RTC.IMSC: self._mask,
            RTC.RIS: self._raw,
            RTC.MIS: self._raw & self._mask,
        }
        return registers.get(offset, IDENTIFICATION.get(offset, 0)) & (1 << 8 * width) - 1

    def write(self, offset: int, width: int, value: int) -> None:
        """Write a register. offset, width: bytes. Read-only and unknown offsets ignore it."""
        self._latch()
        value &= MASK32 & (1 << 8 * width) - 1
        if offset == RTC.MR:
            self._match = value
            self._match_at = self._next_match()
        elif offset == RTC.LR:
            self._load = value
            self._offset = value - self._now() // SECOND & MASK32
            self._match_at = self._next_match()
        elif offset == RTC.IMSC:
            self._mask = value & 1
        elif offset == RTC.ICR:
            self._raw &= ~value

    def _seconds(self) -> int:
        return self._now() // SECOND + self._offset & MASK32

    def _next_match(self) -> int:
        """Virtual time in ns at which the counter next shows MR: now, if it does already."""
        return (self._now() // SECOND + (self._match - self._seconds() & MASK32)) * SECOND

    def _latch(self) -> None:
        """Notice a match since the last look; the next is one turn of the counter later."""
        if self._now() >= self._match_at:
            self._raw = 1
            turn = (MASK32 + 1) * SECOND
            self._match_at += ((self._now() - self._match_at) // turn + 1) * turn
