"""PL031, the real-time clock: a counter of seconds, one match, one interrupt.

Source: DDI 0224B, 3.2 "Summary of registers" and 3.3 "Register descriptions".
"""

from __future__ import annotations

from enum import IntEnum

from minivisor.arch.bits import Bit, Register

__all__ = ["PERIPHERAL_ID", "RTC", "RTCCR", "RTCINT"]


class RTC(IntEnum):
    """Offsets from the base address, in bytes. Registers are 32 bits wide."""

    DR = 0x000  # seconds, read only
    MR = 0x004  # match
    LR = 0x008  # load: sets the seconds
    CR = 0x00C
    IMSC = 0x010
    RIS = 0x014
    MIS = 0x018
    ICR = 0x01C
    PERIPH_ID = 0xFE0  # 4 registers, one byte each
    PCELL_ID = 0xFF0  # 4 registers, one byte each


PERIPHERAL_ID = bytes((0x31, 0x10, 0x14, 0x00, 0x0D, 0xF0, 0x05, 0xB1))
"""RTCPeriphID0 to 3 (part 0x031, designer 0x41, revision 1: r1p3), then RTCPCellID0 to 3."""


class RTCCR(Register, width=32, source="DDI 0224B, 3.3.4 RTCCR"):
    START = Bit(0, "counting")


class RTCINT(Register, width=32, source="DDI 0224B, 3.3.5 RTCIMSC; also RTCRIS, RTCMIS and RTCICR"):
    """The one interrupt: seconds equal the match."""

    MATCH = Bit(0, "seconds reached the match register")
