"""EL2's own serial port, whichever the board has: one way to say a byte for each kind. Sending is all that a log needs.

No port here is a persona's: theirs is virtual, the same PL011 on every board.
"""

from __future__ import annotations

from minivisor.arch.ns16550 import LSR, NS16550
from minivisor.arch.pl011 import UART, UARTFR
from minivisor.machine.board import Machine
from minivisor.machine.ns16550 import STRIDE

__all__ = ["PORTS", "Ns16550Port", "Pl011Port"]


class Pl011Port:
    """PL011 (DDI 0183, 3.3.1 and 3.3.3)."""

    def __init__(self, machine: Machine) -> None:
        self._machine, self._base = machine, machine.board.uart_base

    def put(self, byte: int) -> None:
        """Send a byte as soon as the transmit FIFO has room."""
        while self._machine.read_device(self._base + UART.FR) & UARTFR.TXFF.mask:
            pass
        self._machine.write_device(self._base + UART.DR, byte)


class Ns16550Port:
    """NS16550A (PC16550D, Line Status Register)."""

    def __init__(self, machine: Machine) -> None:
        self._machine, self._base = machine, machine.board.uart_base

    def put(self, byte: int) -> None:
        """Send a byte as soon as the transmitter holding register is empty."""
        while not self._machine.read_device(self._base + STRIDE * NS16550.LSR) & LSR.THRE.mask:
            pass
        self._machine.write_device(self._base + STRIDE * NS16550.THR, byte)


PORTS: dict[str, type[Pl011Port] | type[Ns16550Port]] = {"pl011": Pl011Port, "ns16550": Ns16550Port}
"""`Board.uart` -> its driver."""
