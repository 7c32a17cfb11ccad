"""PL011, the UART: register offsets and bits. Only what software that is not a modem touches has a class.

Registers are 16 bits wide at most and stand at 32-bit offsets; a guest writes a byte to DR to print it, reads DR to
take what was typed, and looks at FR to know whether it may.

Source: DDI 0183G, 3.2 "Summary of registers" and 3.3 "Register descriptions".
"""

from __future__ import annotations

from enum import IntEnum

from minivisor.arch.bits import Bit, Bits, Register

__all__ = ["PERIPHERAL_ID", "UART", "UARTCR", "UARTDR", "UARTFR", "UARTINT", "UARTLCR_H"]


class UART(IntEnum):
    """Offsets from the base address, in bytes."""

    DR = 0x000
    RSR = 0x004  # read: receive status; write: error clear
    FR = 0x018
    ILPR = 0x020
    IBRD = 0x024
    FBRD = 0x028
    LCR_H = 0x02C
    CR = 0x030
    IFLS = 0x034
    IMSC = 0x038
    RIS = 0x03C
    MIS = 0x040
    ICR = 0x044
    DMACR = 0x048
    PERIPH_ID = 0xFE0  # 4 registers, one byte each
    PCELL_ID = 0xFF0  # 4 registers, one byte each


PERIPHERAL_ID = bytes((0x11, 0x10, 0x34, 0x00, 0x0D, 0xF0, 0x05, 0xB1))
"""UARTPeriphID0 to 3 (part 0x011, designer 0x41, revision 3), then UARTPCellID0 to 3."""


class UARTDR(Register, width=16, source="DDI 0183G, 3.3.1 UARTDR"):
    OE = Bit(11, "overrun: data was lost before this")
    BE = Bit(10, "break")
    PE = Bit(9, "parity error")
    FE = Bit(8, "framing error")
    DATA = Bits(7, 0, "character")


class UARTFR(Register, width=16, source="DDI 0183G, 3.3.3 UARTFR"):
    RI = Bit(8, "ring indicator")
    TXFE = Bit(7, "transmit FIFO empty")
    RXFF = Bit(6, "receive FIFO full")
    TXFF = Bit(5, "transmit FIFO full")
    RXFE = Bit(4, "receive FIFO empty")
    BUSY = Bit(3, "transmitting")
    DCD = Bit(2, "data carrier detect")
    DSR = Bit(1, "data set ready")
    CTS = Bit(0, "clear to send")


class UARTLCR_H(Register, width=16, source="DDI 0183G, 3.3.7 UARTLCR_H"):
    SPS = Bit(7, "stick parity")
    WLEN = Bits(6, 5, "word length", {0: "5 bits", 1: "6 bits", 2: "7 bits", 3: "8 bits"})
    FEN = Bit(4, "FIFOs enabled")
    STP2 = Bit(3, "two stop bits")
    EPS = Bit(2, "even parity")
    PEN = Bit(1, "parity enabled")
    BRK = Bit(0, "send break")


class UARTCR(Register, width=16, source="DDI 0183G, 3.3.8 UARTCR"):
    CTSEn = Bit(15, "CTS flow control")
    RTSEn = Bit(14, "RTS flow control")
    Out2 = Bit(13, "nUARTOut2")
    Out1 = Bit(12, "nUARTOut1")
    RTS = Bit(11, "request to send")
    DTR = Bit(10, "data transmit ready")
    RXE = Bit(9, "receive enabled")
    TXE = Bit(8, "transmit enabled")
    LBE = Bit(7, "loopback")
    SIRLP = Bit(2, "low-power infrared")
    SIREN = Bit(1, "infrared enabled")
    UARTEN = Bit(0, "UART enabled")


class UARTINT(Register, width=16, source="DDI 0183G, 3.3.10 UARTIMSC; also UARTRIS, UARTMIS and UARTICR"):
    """One bit an interrupt source; the same layout masks, shows and clears."""

    OE = Bit(10, "overrun error")
    BE = Bit(9, "break error")
    PE = Bit(8, "parity error")
    FE = Bit(7, "framing error")
    RT = Bit(6, "receive timeout")
    TX = Bit(5, "transmit FIFO has room")
    RX = Bit(4, "receive FIFO has data")
    DSRM = Bit(3, "DSR changed")
    DCDM = Bit(2, "DCD changed")
    CTSM = Bit(1, "CTS changed")
    RIM = Bit(0, "RI changed")
