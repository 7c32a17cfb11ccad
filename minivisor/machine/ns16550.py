"""The NS16550A: board B's serial port, which only the hypervisor sees. Personas keep their virtual PL011 on every board.

As in the PL011 model the line has no speed: a transmitted byte is gone at once, so THRE and TEMT always read as one. The
receive FIFO holds 16 bytes, or one until FCR enables it; what comes when it is full is lost, and LSR.OE says so until read.

Registers are one byte wide and, as in most chips that are not PCs, four bytes apart. Source: PC16550D; names and bits in
`minivisor.arch.ns16550`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from minivisor.arch.ns16550 import FCR, IER, IIR, LCR, LSR, MCR, NS16550

__all__ = ["STRIDE", "Ns16550"]

STRIDE = 4
"""Bytes from one register to the next."""
FIFO_DEPTH = 16
FIFOS_ENABLED = 0b1100_0000  # IIR[7:6]
OVERRUN, DATA_READY, SENT = LSR.OE.mask, LSR.DR.mask, LSR.TEMT.mask | LSR.THRE.mask
STORED = {NS16550.IER: 0x0F, NS16550.LCR: 0xFF, NS16550.MCR: 0x1F, NS16550.SCR: 0xFF}
"""Registers that read back what was written: the bits that exist."""


class Ns16550:
    """One NS16550A. transmit: called with each byte sent."""

    def __init__(self, transmit: Callable[[int], None]) -> None:
        self._transmit = transmit
        self._stored = dict.fromkeys(STORED, 0)
        self._divisor = [0, 0]
        self._received: deque[int] = deque()
        self._fifos = self._overrun = self._empty = False

    @property
    def interrupt(self) -> bool:
        """The level of INTR."""
        return self._cause() != IIR.NONE

    def receive(self, byte: int) -> bool:
        """A byte arrives on the line. False when there was no room: it is lost, and LSR.OE set."""
        if len(self._received) >= (FIFO_DEPTH if self._fifos else 1):
            self._overrun = True
            return False
        self._received.append(byte & 0xFF)
        return True

    def read(self, offset: int, width: int) -> int:
        """Read a register. offset, width: bytes. What is not the start of a register reads as zero."""
        register, rest = divmod(offset, STRIDE)
        if rest or register > NS16550.SCR:
            return 0
        if register in (0, 1) and self._divisor_open:
            return self._divisor[register]
        match register:
            case NS16550.RBR:
                return self._received.popleft() if self._received else 0
            case NS16550.IIR:
                return self._identify()
            case NS16550.LSR:
                return self._line_status()
        return self._stored.get(NS16550(register), 0)

    def write(self, offset: int, width: int, value: int) -> None:
        """Write a register. offset, width: bytes. Read-only and unknown offsets ignore it."""
        register, rest = divmod(offset, STRIDE)
        value &= 0xFF
        if rest or register > NS16550.SCR:
            return
        if register in (0, 1) and self._divisor_open:
            self._divisor[register] = value
        elif register == NS16550.THR:
            self._send(value)
        elif register == NS16550.FCR:
            self._control_fifos(value)
        elif register in STORED:
            self._empty |= register == NS16550.IER and bool(value & IER.ETBEI.mask)
            self._stored[NS16550(register)] = value & STORED[NS16550(register)]

    # ── behind the registers ─────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _divisor_open(self) -> bool:
        return bool(self._stored[NS16550.LCR] & LCR.DLAB.mask)

    def _send(self, byte: int) -> None:
        if self._stored[NS16550.MCR] & MCR.LOOP.mask:
            self.receive(byte)
        else:
            self._transmit(byte)
        self._empty = True

    def _control_fifos(self, value: int) -> None:
        if value & FCR.RFR.mask or self._fifos != bool(value & FCR.FIFOE.mask):
            self._received.clear()
        self._fifos = bool(value & FCR.FIFOE.mask)

    def _cause(self) -> int:
        enabled = self._stored[NS16550.IER]
        if enabled & IER.ELSI.mask and self._overrun:
            return IIR.LINE_STATUS
        if enabled & IER.ERBFI.mask and self._received:
            return IIR.RECEIVED
        return IIR.THR_EMPTY if enabled & IER.ETBEI.mask and self._empty else IIR.NONE

    def _identify(self) -> int:
        """Reading the identification of "transmitter empty" ends it."""
        cause = self._cause()
        if cause == IIR.THR_EMPTY:
            self._empty = False
        return cause | (FIFOS_ENABLED if self._fifos else 0)

    def _line_status(self) -> int:
        overrun, self._overrun = self._overrun, False
        return SENT | (OVERRUN if overrun else 0) | (DATA_READY if self._received else 0)
