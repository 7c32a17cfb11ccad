"""The PL011: the serial port every guest already has a driver for.

One model serves twice: board A has one, which EL2 writes its log to, and each persona sees a virtual one of its own.

The line behind it has no speed. A transmitted byte is gone at once, so the transmit FIFO is always empty; a received
byte that is not followed by another within no time is a receive timeout already, so a single key press interrupts even
below the FIFO's trigger level. Baud rate and line control are stored and read back, nothing more.

    offset  name     what we keep of it
    0x000   DR       write transmits; read takes the oldest received byte, bit 11 set if bytes were lost before it
    0x004   RSR/ECR  overrun, until written
    0x018   FR       TXFE 7, RXFF 6, RXFE 4 (never TXFF or BUSY)
    0x024.. IBRD FBRD LCR_H CR IFLS IMSC
    0x03C   RIS MIS ICR
    0xFE0.. identification, by which Linux's AMBA bus finds the driver

Interrupt conditions are latched in RIS when they arise; ICR clears them, and so does taking away their cause. The
interrupt line is high while RIS & IMSC is not zero.

A real PL011 transmits only after CR.UARTEN; this one always does, as if firmware had used it before, because small
guests rely on that. Source: Arm DDI 0183, chapter 3.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from minivisor.arch.pl011 import PERIPHERAL_ID, UART, UARTCR, UARTDR, UARTFR, UARTINT, UARTLCR_H

__all__ = ["Pl011"]

# Revision 1 in UARTPeriphID2: FIFOs are 16 deep (revision 3 would promise 32).
_ID = PERIPHERAL_ID[:2] + b"\x14" + PERIPHERAL_ID[3:]
IDENTIFICATION = {UART.PERIPH_ID + 4 * n: byte for n, byte in enumerate(_ID)}

DR, CR, LCR_H, IFLS, IMSC = (int(at) for at in (UART.DR, UART.CR, UART.LCR_H, UART.IFLS, UART.IMSC))
LBE, FEN = UARTCR.LBE.mask, UARTLCR_H.FEN.mask
IDLE, RECEIVED, FULL = int(UARTFR.of(TXFE=1, RXFE=1)), int(UARTFR.of(TXFE=1)), int(UARTFR.of(TXFE=1, RXFF=1))
RX, TX, RT, OE = UARTINT.RX.mask, UARTINT.TX.mask, UARTINT.RT.mask, UARTINT.OE.mask
OVERRUN = 1 << 3  # UARTRSR.OE

FIFO_DEPTH = 16
RX_TRIGGER = (2, 4, 8, 12, 14)  # IFLS.RXIFLSEL: an eighth, a quarter, half, three quarters, seven eighths full

# Registers that are stored and read back: the bits that exist, and the value after reset.
STORED: dict[int, tuple[int, int]] = {
    UART.ILPR: (0xFF, 0),
    UART.IBRD: (0xFFFF, 0),
    UART.FBRD: (0x3F, 0),
    UART.LCR_H: (0xFF, 0),
    UART.CR: (0xFF87, int(UARTCR.of(RXE=1, TXE=1))),
    UART.IFLS: (0x3F, 0x12),
    UART.IMSC: (0x7FF, 0),
    UART.DMACR: (0x7, 0),
}


class Pl011:
    """One PL011. transmit: called with each byte the guest sends; bytes also collect in `sent` when it is None."""

    def __init__(self, transmit: Callable[[int], None] | None = None) -> None:
        self.sent = bytearray()
        self._transmit = transmit or self.sent.append
        self._stored = {offset: reset for offset, (_, reset) in STORED.items()}
        self._received: deque[int] = deque()
        self._raw = 0
        self._lost = False  # bytes were lost since the last one that got in
        self._made: dict[int, Callable[[], int]] = {
            UART.DR: self._take,
            UART.RSR: lambda: OVERRUN if self._lost else 0,
            UART.FR: self._flags,
            UART.RIS: lambda: self._raw,
            UART.MIS: lambda: self._raw & self._stored[IMSC],
        }

    # ── outside ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def interrupt(self) -> bool:
        """The level of the combined interrupt line, UARTINTR."""
        return bool(self._raw & self._stored[IMSC])

    @property
    def listening(self) -> bool:
        """Would a received byte raise the line?"""
        return bool(self._stored[IMSC] & (RX | RT))

    @property
    def idle_flags(self) -> int | None:
        """What FR reads until something arrives; None while a byte that is sent would move the line, or come back."""
        moves = self._stored[IMSC] & TX & ~self._raw or self._stored[CR] & LBE
        return None if moves else self._flags()

    @property
    def room(self) -> int:
        """How many bytes `receive` takes before it loses one."""
        return self._depth - len(self._received)

    def receive(self, byte: int) -> bool:
        """A byte arrives on the line. False when the FIFO was full: the byte is lost and an overrun recorded."""
        if self.room <= 0:
            self._lost = True
            self._raw |= OE
            return False
        self._received.append(byte & 0xFF | (UARTDR.OE.mask if self._lost else 0))
        self._lost = False
        self._raw |= RT | (RX if len(self._received) >= self._trigger else 0)
        return True

    def sent_meanwhile(self, letters: bytes) -> None:
        """Bytes that the guest wrote to DR one by one, as `machine.letters` found them."""
        for byte in letters:
            self._send(byte)

    def state(self) -> dict[str, Any]:
        """Everything a snapshot needs, as numbers and lists of numbers."""
        return {
            "registers": [[offset, value] for offset, value in sorted(self._stored.items())],
            "received": list(self._received),
            "raw": self._raw,
            "lost": self._lost,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go back to what `state` returned. What was sent since stays sent."""
        self._stored = {int(offset): int(value) for offset, value in state["registers"]}
        self._received = deque(state["received"])
        self._raw = state["raw"]
        self._lost = state["lost"]

    # ── registers ────────────────────────────────────────────────────────────────────────────────────────────────────

    def read(self, offset: int, width: int) -> int:
        """Read a register. offset, width: bytes. What is not the start of a register reads as zero."""
        made = self._made.get(offset)
        value = made() if made else self._stored.get(offset, IDENTIFICATION.get(offset, 0))
        return value & (1 << 8 * width) - 1

    def write(self, offset: int, width: int, value: int) -> None:
        """Write a register. offset, width: bytes. Read-only and unknown offsets ignore it."""
        value &= (1 << 8 * width) - 1
        if offset == DR:
            self._send(value & 0xFF)
        elif offset == UART.RSR:
            self._lost = False
        elif offset == UART.ICR:
            self._raw &= ~value
        elif offset in STORED:
            self._stored[offset] = value & STORED[offset][0]
            self._settle()

    # ── behind the registers ─────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _depth(self) -> int:
        return FIFO_DEPTH if self._stored[LCR_H] & FEN else 1

    @property
    def _trigger(self) -> int:
        if self._depth == 1:
            return 1
        return RX_TRIGGER[min(self._stored[IFLS] >> 3 & 7, len(RX_TRIGGER) - 1)]

    def _flags(self) -> int:
        if not self._received:
            return IDLE
        return FULL if self.room <= 0 else RECEIVED

    def _send(self, byte: int) -> None:
        if self._stored[CR] & LBE:
            self.receive(byte)
        else:
            self._transmit(byte)
        self._raw |= TX

    def _take(self) -> int:
        byte = self._received.popleft() if self._received else 0
        self._settle()
        return byte

    def _settle(self) -> None:
        """Drop the receive conditions whose cause is gone."""
        if len(self._received) < self._trigger:
            self._raw &= ~RX
        if not self._received:
            self._raw &= ~RT
