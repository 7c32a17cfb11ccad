"""What a device does to its line and to its alarm is seen with the access that did it, though EL2 looks at nothing else."""

from __future__ import annotations

import pytest

from tests.system.bare import boot

UART_LINE, RTC_LINE = 33, 34
UART, RTC = 0xD2A1_2001, 0xD2A1_2021  # movz x1, #0x900, lsl 16; #0x901
BIT_5, ONE, STAY = 0x5280_0400, 0x5280_0020, 0x1400_0000  # movz w0, #0x20; #1; b .


def store(offset: int) -> int:
    """str w0, [x1, #offset]"""
    return 0xB900_0020 | offset // 4 << 10


SEND, IMSC, ICR = store(0x00), store(0x38), store(0x44)


@pytest.mark.parametrize(
    ("accesses", "level"),
    [([IMSC], False), ([IMSC, SEND], True), ([SEND, IMSC], True), ([SEND, IMSC, ICR], False), ([IMSC, SEND, ICR, SEND], True)],
)
def test_a_line_moves_with_the_access_that_moves_it(accesses: list[int], level: bool) -> None:
    hypervisor, persona = boot([UART, BIT_5, *accesses, STAY])
    hypervisor.run(1_000)
    assert persona.vgic.line(UART_LINE) == level


def test_an_alarm_that_is_set_in_the_middle_of_a_slice_comes_in_that_slice() -> None:
    hypervisor, persona = boot([RTC, ONE, store(0x04), store(0x1C), store(0x10), STAY])  # RTCMR = 1 s, RTCICR, RTCIMSC
    hypervisor.core.skip(999_990_000)
    hypervisor.run(999_999_999)
    assert not persona.vgic.line(RTC_LINE)
    hypervisor.run(1_000_000_100)
    assert persona.vgic.line(RTC_LINE)
