"""The NS16550A of board B: what a driver does, FIFOs, interrupts by urgency, and every access in between."""

from __future__ import annotations

import random

import pytest

from minivisor.machine.ns16550 import Ns16550

RBR, IER, IIR, LCR, MCR, LSR, SCR = 0, 4, 8, 12, 16, 20, 28
THR, FCR = RBR, IIR


@pytest.fixture
def sent() -> bytearray:
    return bytearray()


@pytest.fixture
def uart(sent: bytearray) -> Ns16550:
    return Ns16550(sent.append)


def test_what_is_written_is_sent_at_once(uart: Ns16550, sent: bytearray) -> None:
    for value in (0x68, 0xFFFF_FF69):
        assert uart.read(LSR, 4) == 0x60
        uart.write(THR, 4, value)
    assert sent == b"hi"


def test_the_divisor_hides_behind_dlab(uart: Ns16550, sent: bytearray) -> None:
    uart.write(LCR, 1, 0x83)
    uart.write(THR, 1, 0x0D)
    uart.write(IER, 1, 0x02)
    assert (uart.read(RBR, 1), uart.read(IER, 1), sent) == (0x0D, 0x02, b"")
    uart.write(LCR, 1, 0x03)
    assert (uart.read(RBR, 1), uart.read(IER, 1), uart.interrupt) == (0, 0, False)


@pytest.mark.parametrize(("fifos", "depth"), [(0, 1), (1, 16)])
def test_what_does_not_fit_is_lost_and_said_once(uart: Ns16550, fifos: int, depth: int) -> None:
    uart.write(FCR, 1, fifos)
    assert [uart.receive(n) for n in range(depth + 1)] == [True] * depth + [False]
    assert [uart.read(LSR, 1), uart.read(LSR, 1)] == [0x63, 0x61]
    assert [uart.read(RBR, 1) for _ in range(depth)] == list(range(depth))
    assert (uart.read(LSR, 1), uart.read(RBR, 1)) == (0x60, 0)


def test_the_most_urgent_cause_is_named(uart: Ns16550) -> None:
    assert uart.read(IIR, 1) == 0b0001
    uart.write(IER, 1, 0b111)
    uart.receive(1)
    uart.receive(2)  # lost
    assert uart.read(IIR, 1) == 0b0110
    uart.read(LSR, 1)
    assert uart.read(IIR, 1) == 0b0100
    uart.read(RBR, 1)
    assert uart.interrupt and uart.read(IIR, 1) == 0b0010
    assert not uart.interrupt and uart.read(IIR, 1) == 0b0001, "to read that it is empty is enough"
    uart.write(THR, 1, 0)
    assert uart.interrupt


def test_loopback_and_emptying_the_fifo(uart: Ns16550, sent: bytearray) -> None:
    uart.write(MCR, 1, 0x10)
    uart.write(FCR, 1, 1)
    uart.write(THR, 1, 0x55)
    assert (sent, uart.read(LSR, 1), uart.read(IIR, 1)) == (b"", 0x61, 0xC1)
    uart.write(FCR, 1, 0b11)
    assert uart.read(LSR, 1) == 0x60


def test_any_access_is_answered_within_a_byte(uart: Ns16550) -> None:
    rng = random.Random(1)
    for _ in range(5000):
        uart.write(rng.randrange(64), rng.choice((1, 2, 4)), rng.getrandbits(32))
        uart.receive(rng.getrandbits(8))
        assert 0 <= uart.read(rng.randrange(64), 4) < 256
    assert uart.read(SCR + 4, 4) == uart.read(SCR + 1, 4) == 0
