"""Banks: one bit, two bits or one byte for each interrupt, as both generations of distributor have them, at the same offsets.

    bank        an interrupt   read                       write
    IGROUPR     1 bit          group                      its group
    ISENABLER   1 bit          enabled                    1 enables
    ICENABLER   1 bit          enabled                    1 disables (GICv2: SGIs stay enabled)
    ISPENDR     1 bit          pending                    1 sets the latch (GICv2: not of SGIs)
    ICPENDR     1 bit          pending                    1 clears the latch; a high line keeps it pending
    ISACTIVER   1 bit          active                     1 activates
    ICACTIVER   1 bit          active                     1 deactivates
    IPRIORITYR  8 bits         priority, 5 bits kept      as many as a list register holds
    ICFGR       2 bits         bit 1: edge-triggered      SPIs only

A `Frame` is a list of banks, and everything in it is done byte by byte, so that accesses of any width and alignment work.
Which interrupts a frame shows is its own affair: GICv2's distributor has all of them, GICv3's only the shared ones, a
redistributor those of one PE; for all others the bits read as zero and ignore writes. Source: IHI 0048B, 4.3; IHI 0069,
"GICD_*" and "GICR_*".
"""

from __future__ import annotations

from collections.abc import Callable

from minivisor.arch.gic import GICD, SGIS, SPIS
from minivisor.platform.interrupts import Interrupt, Interrupts

__all__ = ["IMPLEMENTER_ARM", "Bank", "Frame", "Read", "Write", "banks", "constants", "ignore"]

PRIORITY_BITS = 0xF8  # GICH_LR.Priority holds [7:3]
IMPLEMENTER_ARM = 0x43B
BANK = 0x80  # bytes of a bank with one bit an interrupt: room for 1024, however many there are

Read = Callable[[int, int], int]
"""(byte of the bank, vCPU) -> that byte."""
Write = Callable[[int, int, int], None]
"""(byte of the bank, its new value, vCPU)."""
Bank = tuple[range, Read, Write]
"""Offsets in the frame, and what happens to each byte."""


class Frame:
    """A page of registers: `read` and `write` as a banked device. Bytes in no bank read as zero and ignore writes."""

    def __init__(self, contents: list[Bank]) -> None:
        self._contents = contents

    def read(self, offset: int, width: int, cpu: int) -> int:
        """Read `width` bytes at `offset` as vCPU `cpu`."""
        return int.from_bytes((self._read_byte(offset + n, cpu) for n in range(width)), "little")

    def write(self, offset: int, width: int, value: int, cpu: int) -> None:
        """Write `width` bytes at `offset` as vCPU `cpu`."""
        for n in range(width):
            self._write_byte(offset + n, value >> 8 * n & 0xFF, cpu)

    def _read_byte(self, offset: int, cpu: int) -> int:
        for offsets, read, _ in self._contents:
            if offset in offsets:
                return read(offset - offsets.start, cpu)
        return 0

    def _write_byte(self, offset: int, value: int, cpu: int) -> None:
        for offsets, _, write in self._contents:
            if offset in offsets:
                write(offset - offsets.start, value, cpu)
                return


def constants(words: dict[int, int]) -> list[Bank]:
    """Registers of 32 bits that no write changes, by offset."""

    def reading(word: int) -> Read:
        return lambda index, _cpu: word >> 8 * index & 0xFF

    return [(range(at, at + 4), reading(word), ignore) for at, word in words.items()]


def ignore(_index: int, _value: int, _cpu: int) -> None:
    """The `Write` of a byte that no write changes."""


def banks(vgic: Interrupts, shown: range) -> list[Bank]:
    """The banks of a frame that shows the interrupts with these ids."""
    return _Banks(vgic, shown).all()


class _Banks:
    def __init__(self, vgic: Interrupts, shown: range) -> None:
        self._vgic, self._shown = vgic, shown

    def all(self) -> list[Bank]:
        return [
            (_range(GICD.IGROUPR), self._bits(lambda irq: bool(irq.group)), self._write_groups),
            (_range(GICD.ISENABLER), self._bits(lambda irq: irq.enabled), self._each(_enable)),
            (_range(GICD.ICENABLER), self._bits(lambda irq: irq.enabled), self._each(self._disable)),
            (_range(GICD.ISPENDR), self._bits(lambda irq: irq.pending), self._each(self._set_pending)),
            (_range(GICD.ICPENDR), self._bits(lambda irq: irq.pending), self._each(_clear_pending)),
            (_range(GICD.ISACTIVER), self._bits(lambda irq: irq.active), self._each(_activate)),
            (_range(GICD.ICACTIVER), self._bits(lambda irq: irq.active), self._each(_deactivate)),
            (_range(GICD.IPRIORITYR, 8), self._read_priority, self._write_priority),
            (_range(GICD.ICFGR, 2), self._read_config, self._write_config),
        ]

    def _interrupt(self, intid: int, cpu: int) -> Interrupt | None:
        return self._vgic.interrupt(intid, cpu) if intid in self._shown else None

    # ── one bit an interrupt ─────────────────────────────────────────────────────────────────────────────────────────

    def _bits(self, get: Callable[[Interrupt], bool]) -> Read:
        def read(index: int, cpu: int) -> int:
            found = (self._interrupt(index * 8 + bit, cpu) for bit in range(8))
            return sum(1 << bit for bit, irq in enumerate(found) if irq is not None and get(irq))

        return read

    def _each(self, change: Callable[[Interrupt, int], None]) -> Write:
        def write(index: int, value: int, cpu: int) -> None:
            for bit in range(8):
                irq = self._interrupt(index * 8 + bit, cpu) if value >> bit & 1 else None
                if irq is not None:
                    change(irq, cpu)
                    self._vgic.settle(irq, cpu)

        return write

    def _write_groups(self, index: int, value: int, cpu: int) -> None:
        for bit in range(8):
            irq = self._interrupt(index * 8 + bit, cpu)
            if irq is not None:
                irq.group = value >> bit & 1

    def _disable(self, irq: Interrupt, _cpu: int) -> None:
        irq.enabled = irq.intid in SGIS and not self._vgic.affinity

    def _set_pending(self, irq: Interrupt, _cpu: int) -> None:
        irq.latch = irq.latch or irq.intid not in SGIS or self._vgic.affinity

    # ── one byte or two bits an interrupt ────────────────────────────────────────────────────────────────────────────

    def _read_priority(self, index: int, cpu: int) -> int:
        irq = self._interrupt(index, cpu)
        return irq.priority if irq is not None else 0

    def _write_priority(self, index: int, value: int, cpu: int) -> None:
        irq = self._interrupt(index, cpu)
        if irq is not None:
            irq.priority = value & PRIORITY_BITS

    def _read_config(self, index: int, cpu: int) -> int:
        found = (self._interrupt(index * 4 + n, cpu) for n in range(4))
        return sum(2 << 2 * n for n, irq in enumerate(found) if irq is not None and irq.edge)

    def _write_config(self, index: int, value: int, cpu: int) -> None:
        for n in range(4):
            irq = self._interrupt(index * 4 + n, cpu)
            if irq is not None and irq.intid in SPIS:
                irq.edge = bool(value >> 2 * n & 2)
                self._vgic.settle(irq, cpu)


def _range(start: int, bits: int = 1) -> range:
    return range(start, start + BANK * bits)


def _enable(irq: Interrupt, _cpu: int) -> None:
    irq.enabled = True


def _clear_pending(irq: Interrupt, _cpu: int) -> None:
    irq.latch = False


def _activate(irq: Interrupt, cpu: int) -> None:
    if not irq.active:
        irq.active, irq.holder = True, cpu


def _deactivate(irq: Interrupt, _cpu: int) -> None:
    irq.active = False
