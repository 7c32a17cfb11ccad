"""NS16550A, the PC's UART and that of most phone chips: eight byte-wide registers, some of which share an offset.

    offset  read            write           with LCR.DLAB set
    0       RBR received    THR transmit    DLL divisor, low
    1       IER             IER             DLM divisor, high
    2       IIR what        FCR FIFOs
    3..7    LCR MCR LSR MSR SCR

Source: Texas Instruments SLLS057, PC16550D: "Registers".
"""

from __future__ import annotations

from enum import IntEnum

from minivisor.arch.bits import Bit, Bits, Register

__all__ = ["FCR", "IER", "IIR", "LCR", "LSR", "MCR", "NS16550"]


class NS16550(IntEnum):
    """Register numbers; a board says how many bytes lie between two of them."""

    RBR = 0  # read
    THR = 0  # write
    IER = 1
    IIR = 2  # read
    FCR = 2  # write
    LCR = 3
    MCR = 4
    LSR = 5
    MSR = 6
    SCR = 7


class IER(Register, width=8, source="PC16550D, Interrupt Enable Register"):
    ELSI = Bit(2, "receiver line status")
    ETBEI = Bit(1, "transmitter holding register empty")
    ERBFI = Bit(0, "received data available")


class IIR(IntEnum):
    """What the Interrupt Identification Register says, most urgent first."""

    LINE_STATUS = 0b0110
    RECEIVED = 0b0100
    THR_EMPTY = 0b0010
    NONE = 0b0001


class FCR(Register, width=8, source="PC16550D, FIFO Control Register"):
    RFR = Bit(1, "empty the receive FIFO")
    FIFOE = Bit(0, "FIFOs enabled")


class LCR(Register, width=8, source="PC16550D, Line Control Register"):
    DLAB = Bit(7, "offsets 0 and 1 are the divisor")
    WLS = Bits(1, 0, "word length, less five")


class MCR(Register, width=8, source="PC16550D, Modem Control Register"):
    LOOP = Bit(4, "what is transmitted is received")


class LSR(Register, width=8, source="PC16550D, Line Status Register"):
    TEMT = Bit(6, "transmitter empty")
    THRE = Bit(5, "transmitter holding register empty")
    OE = Bit(1, "overrun: data was lost")
    DR = Bit(0, "data ready")
