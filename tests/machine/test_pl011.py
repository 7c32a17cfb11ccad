"""The virtual PL011: what a driver does, what a careless guest does, and every access in between."""

import json
import random

import pytest

from minivisor.machine.pl011 import Pl011

DR, RSR, FR, LCR_H, CR, IFLS, IMSC, RIS, MIS, ICR = 0, 4, 0x18, 0x2C, 0x30, 0x34, 0x38, 0x3C, 0x40, 0x44
RX, TX, RT, OE = 0x10, 0x20, 0x40, 0x400


@pytest.fixture
def uart():
    return Pl011()


@pytest.fixture
def deep(uart):
    uart.write(LCR_H, 4, 0x70)
    return uart


def test_what_the_guest_writes_is_sent(uart):
    for byte in b"hello\n":
        uart.write(DR, 1, byte)
    uart.write(DR, 4, 0xFFFF_FF21)
    assert uart.sent == b"hello\n!"


def test_a_sink_takes_the_bytes_instead():
    seen = []
    uart = Pl011(seen.append)
    uart.write(DR, 1, 65)
    assert (seen, uart.sent) == ([65], b"")


def test_reset_values(uart):
    assert uart.read(FR, 4) == 0x90
    assert (uart.read(CR, 4), uart.read(IFLS, 4), uart.read(IMSC, 4), uart.read(RIS, 4)) == (0x300, 0x12, 0, 0)
    assert [uart.read(0xFE0 + 4 * n, 4) for n in range(8)] == [0x11, 0x10, 0x14, 0x00, 0x0D, 0xF0, 0x05, 0xB1]


@pytest.mark.parametrize(
    ("offset", "bits"),
    [(0x20, 0xFF), (0x24, 0xFFFF), (0x28, 0x3F), (0x2C, 0xFF), (0x30, 0xFF87), (0x34, 0x3F), (0x38, 0x7FF), (0x48, 7)],
)
def test_line_control_is_stored_in_the_bits_that_exist(uart, offset, bits):
    assert uart.read(offset, 4) == {0x30: 0x300, 0x34: 0x12}.get(offset, 0)
    uart.write(offset, 4, 0xFFFF_FFFF)
    assert uart.read(offset, 4) == uart.read(offset, 8) == bits
    assert uart.read(offset, 1) == bits & 0xFF
    uart.write(offset, 1, 0xFFFF_FF05)
    assert uart.read(offset, 4) == 5


def test_a_single_key_interrupts_and_reading_it_ends_that(deep):
    assert not deep.listening
    deep.write(IMSC, 4, RX | RT)
    assert deep.listening
    assert not deep.interrupt
    assert deep.receive(0x61)
    assert deep.interrupt
    assert deep.read(MIS, 4) == RT
    assert deep.read(FR, 4) & 0x10 == 0
    assert deep.read(DR, 4) == 0x61
    assert not deep.interrupt
    assert deep.read(FR, 4) & 0x10


@pytest.mark.parametrize(("select", "trigger"), [(0, 2), (1, 4), (2, 8), (3, 12), (4, 14)])
def test_the_receive_interrupt_rises_and_falls_at_the_trigger_level(deep, select, trigger):
    deep.write(IFLS, 4, select << 3)
    for count in range(1, 17):
        deep.receive(count)
        assert bool(deep.read(RIS, 4) & RX) == (count >= trigger)
    for left in range(15, -1, -1):
        deep.read(DR, 4)
        assert bool(deep.read(RIS, 4) & RX) == (left >= trigger)


def test_the_seventeenth_byte_is_lost_and_that_is_visible(deep):
    for byte in range(16):
        assert deep.room == 16 - byte
        assert deep.receive(byte)
    assert deep.read(FR, 4) & 0x40
    assert not deep.receive(99)
    assert deep.read(RIS, 4) & OE
    assert deep.read(RSR, 4) == 8
    assert deep.read(DR, 4) == 0
    deep.receive(100)
    received = [deep.read(DR, 4) for _ in range(16)]
    assert received == [*range(1, 16), 100 | 1 << 11]
    assert deep.read(DR, 4) == 0


def test_without_fifo_there_is_room_for_one(uart):
    assert uart.receive(1)
    assert uart.read(RIS, 4) == RX | RT
    assert not uart.receive(2)
    uart.write(RSR, 4, 0)
    assert uart.read(RSR, 4) == 0


def test_transmit_interrupt_follows_a_write_and_icr_clears_it(uart):
    uart.write(IMSC, 4, TX)
    assert not uart.interrupt
    uart.write(DR, 1, 65)
    assert uart.interrupt
    uart.write(ICR, 4, TX)
    assert not uart.interrupt


def test_the_line_is_raw_status_and_mask_for_every_mask(deep):
    deep.receive(1)
    deep.write(DR, 1, 1)
    for mask in range(0x800):
        deep.write(IMSC, 4, mask)
        assert deep.interrupt == bool(deep.read(RIS, 4) & mask)
        assert deep.read(MIS, 4) == deep.read(RIS, 4) & mask


def test_loopback_comes_back_and_is_not_sent(deep):
    deep.write(CR, 4, 0x381)
    deep.write(DR, 1, 0x5A)
    assert deep.sent == b""
    assert deep.read(DR, 4) == 0x5A


def test_no_access_raises_and_unknown_ones_do_nothing(deep):
    known = {0, 4, 0x18, 0x20, 0x24, 0x28, 0x2C, 0x30, 0x34, 0x38, 0x3C, 0x40, 0x44, 0x48, *range(0xFE0, 0x1000, 4)}
    before = deep.state()
    for offset in set(range(0x1000)) - known:
        for width in (1, 2, 4, 8):
            assert deep.read(offset, width) == 0
            deep.write(offset, width, 2**64 - 1)
    assert deep.state() == before
    rng = random.Random(11)
    for _ in range(5000):
        offset, width = rng.choice([*known, 0x1000, 5]), rng.choice((1, 2, 4, 8))
        deep.write(offset, width, rng.getrandbits(64))
        deep.receive(rng.getrandbits(8))
        assert 0 <= deep.read(offset, width) < 256**width


def test_a_snapshot_is_plain_and_brings_everything_back(deep):
    deep.write(IMSC, 4, RX | RT)
    for byte in range(20):
        deep.receive(byte)
    saved = json.loads(json.dumps(deep.state()))
    other = Pl011()
    other.load(saved)
    assert other.state() == deep.state()
    assert other.interrupt
    assert [other.read(DR, 4) for _ in range(16)] == list(range(16))
    assert other.state() != deep.state()
