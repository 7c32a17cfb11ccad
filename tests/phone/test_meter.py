"""Rates and shares, against counts taken from the whole trace."""

import pytest

from minivisor.phone.meter import Meter
from minivisor.phone.phone import Phone
from minivisor.trace.records import Kind


class Clock:
    time = 0.0

    def __call__(self):
        return self.time


@pytest.fixture(scope="module")
def measured():
    phone, clock = Phone(), Clock()
    phone.run("300ms")
    meter = Meter(phone.hypervisor, clock)
    start, snapshots = phone.now, []
    for _ in range(16):
        phone.session.advance(phone.now + 62_500_000)
        clock.time += 1 / 16  # exact in binary
        snapshots.append(meter.look())
    return phone, start, snapshots


def test_rates_are_what_the_trace_counts_in_a_second(measured):
    phone, start, snapshots = measured
    exits = phone.trace.select(Kind.EXIT)
    elapsed = (phone.now - start) / 1e9
    for owner in range(2):
        counted = ((exits["time"] >= start) & (exits["vcpu"] == owner)).sum() / elapsed
        assert sum(rates[owner] for _name, rates in snapshots[-1].exits) == pytest.approx(counted, rel=0.02)
    switches = (phone.trace.select(Kind.SWITCH)["time"] >= start).sum() / elapsed
    assert snapshots[-1].switches == pytest.approx(switches, rel=0.02)
    assert snapshots[-1].speed == pytest.approx(1.0, rel=0.05)


def test_shares_and_their_history(measured):
    _phone, _start, snapshots = measured
    last = snapshots[-1]
    assert all(0 < persona.share < 0.01 for persona in last.personas)
    assert [len(persona.history) for persona in last.personas] == [2, 2]  # a second, one point each half
    assert [len(persona.history) for persona in snapshots[0].personas] == [0, 0]


def test_a_computing_persona_shows(measured):
    phone, _start, _snapshots = measured
    clock = Clock()
    meter = Meter(phone.hypervisor, clock)
    phone.type("S", phone.work)
    phone.session.advance(phone.now + 20_000_000)
    clock.time += 1
    shares = [persona.share for persona in meter.look().personas]
    assert shares[1] > 0.9 > shares[0]


def test_what_a_guest_prints_cannot_drive_the_terminal(measured):
    phone, _start, _snapshots = measured
    phone.personal.console += b"\x1b[2J\x07evil\xff\n"
    line = Meter(phone.hypervisor).look().personas[0].console[-1]
    assert line.isprintable() and "evil" in line
