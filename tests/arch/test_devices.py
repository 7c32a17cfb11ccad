"""PL011 and PL031 as drivers probe and drive them."""

from __future__ import annotations

from minivisor.arch import pl011, pl031


def primecell(identification: bytes) -> tuple[int, int]:
    """(peripheral id, cell id) as Linux's AMBA bus puts them together: one byte from each of eight registers."""
    return int.from_bytes(identification[:4], "little"), int.from_bytes(identification[4:], "little")


def test_both_identify_as_primecells() -> None:
    assert primecell(pl011.PERIPHERAL_ID)[1] == primecell(pl031.PERIPHERAL_ID)[1] == 0xB105F00D
    assert primecell(pl011.PERIPHERAL_ID)[0] & 0xFFFFF == 0x41011
    assert primecell(pl031.PERIPHERAL_ID)[0] & 0xFFFFF == 0x41031


def test_offsets_drivers_rely_on() -> None:
    assert [pl011.UART[name] for name in ("DR", "FR", "IBRD", "LCR_H", "CR", "IMSC", "MIS", "ICR")] == [
        0x00, 0x18, 0x24, 0x2C, 0x30, 0x38, 0x40, 0x44,
    ]  # fmt: skip
    assert [pl031.RTC[name] for name in ("DR", "MR", "LR", "CR", "IMSC", "ICR")] == [0, 4, 8, 12, 16, 28]


def test_bits_drivers_rely_on() -> None:
    assert int(pl011.UARTFR.of(TXFE=1, RXFE=1)) == 0x90  # an idle UART
    assert int(pl011.UARTCR.of(UARTEN=1, TXE=1, RXE=1)) == 0x301
    assert int(pl011.UARTLCR_H.of(WLEN=3, FEN=1)) == 0x70
    assert int(pl011.UARTINT.of(RX=1, RT=1)) == 0x50
    assert pl011.UARTDR(0x141).fields()["DATA"] == ord("A")
    assert pl031.RTCCR(1).START == 1
