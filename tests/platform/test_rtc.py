"""The virtual PL031 against a clock that is looked at every second."""

import json
import random

import pytest

from minivisor.platform.rtc import Rtc

DR, MR, LR, CR, IMSC, RIS, MIS, ICR = range(0, 0x20, 4)
SECOND = 10**9


class Clock:
    now = 0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def rtc(clock):
    return Rtc(clock, epoch=1_300_000_000)


def test_it_counts_seconds_of_virtual_time(rtc, clock):
    for now, seconds in ((0, 0), (SECOND - 1, 0), (SECOND, 1), (90 * SECOND, 90)):
        clock.now = now
        assert rtc.read(DR, 4) == 1_300_000_000 + seconds
    assert rtc.read(CR, 4) == 1
    assert [rtc.read(0xFE0 + 4 * n, 4) for n in range(8)] == [0x31, 0x10, 0x14, 0x00, 0x0D, 0xF0, 0x05, 0xB1]


def test_loading_sets_the_counter_and_it_wraps(rtc, clock):
    clock.now = 5 * SECOND
    rtc.write(LR, 4, 0xFFFF_FFFF)
    assert rtc.read(DR, 4) == rtc.read(LR, 4) == 0xFFFF_FFFF
    clock.now = 6 * SECOND
    assert rtc.read(DR, 4) == 0


def test_an_alarm_rings_at_its_second_and_not_before(rtc, clock):
    rtc.write(MR, 4, 1_300_000_003)
    assert rtc.deadline is None
    rtc.write(IMSC, 4, 1)
    assert rtc.deadline == 3 * SECOND
    clock.now = 3 * SECOND - 1
    assert not rtc.interrupt
    clock.now = 3 * SECOND
    assert rtc.interrupt
    assert (rtc.deadline, rtc.read(MIS, 4)) == (None, 1)
    rtc.write(ICR, 4, 1)
    assert not rtc.interrupt
    clock.now = 4 * SECOND
    assert not rtc.interrupt


def test_a_match_is_latched_while_masked(rtc, clock):
    rtc.write(MR, 4, 1_300_000_001)
    clock.now = 60 * SECOND
    assert (rtc.read(RIS, 4), rtc.read(MIS, 4), rtc.interrupt) == (1, 0, False)
    rtc.write(IMSC, 4, 1)
    assert rtc.interrupt


@pytest.mark.parametrize("late", [0, 5 * SECOND, 3 * 2**32 * SECOND + 1])
def test_the_counter_comes_to_the_same_match_one_turn_later(rtc, clock, late):
    rtc.write(MR, 4, 1_300_000_003)
    rtc.write(IMSC, 4, 1)
    clock.now = 3 * SECOND + late
    assert rtc.interrupt
    rtc.write(ICR, 4, 1)
    assert rtc.deadline == (3 + 2**32 * (late // (2**32 * SECOND) + 1)) * SECOND
    clock.now = rtc.deadline
    assert rtc.interrupt


def test_registers_at_other_widths(rtc):
    assert rtc.read(LR, 4) == rtc.read(DR, 8) == 1_300_000_000
    assert rtc.read(DR, 1) == 1_300_000_000 % 256
    rtc.write(MR, 1, 0x1FF)
    assert rtc.read(MR, 4) == 0xFF
    rtc.write(MR, 8, 0x1_2345_6789_ABCD)
    assert rtc.read(MR, 4) == 0x6789_ABCD


def test_a_snapshot_has_the_match_that_nobody_has_looked_at_yet(rtc, clock):
    rtc.write(MR, 4, 1_300_000_001)
    clock.now = 2 * SECOND
    assert rtc.state()["raw"] == 1


def test_setting_the_alarm_to_this_second_rings_at_once(rtc):
    rtc.write(IMSC, 4, 1)
    rtc.write(MR, 4, 1_300_000_000)
    assert rtc.interrupt


def test_deadline_is_the_first_second_that_rings():
    rng = random.Random(31)
    for _ in range(300):
        clock = Clock()
        clock.now = rng.randrange(100 * SECOND)
        rtc = Rtc(clock)
        rtc.write(LR, 4, rng.choice((0, 50, 2**32 - 3)))
        rtc.write(MR, 4, (rtc.read(DR, 4) + rng.randrange(1, 20)) % 2**32)
        rtc.write(ICR, 4, 1)
        rtc.write(IMSC, 4, 1)
        deadline = rtc.deadline
        while not rtc.interrupt:
            clock.now = (clock.now // SECOND + 1) * SECOND
        assert deadline == clock.now


def test_no_access_raises_and_unknown_ones_do_nothing(rtc):
    before = rtc.state()
    for offset in set(range(0x1000)) - {MR, LR, IMSC, ICR}:
        for width in (1, 2, 4, 8):
            rtc.write(offset, width, 2**64 - 1)
            assert 0 <= rtc.read(offset, width) < 256**width
    assert rtc.state() == before


def test_a_snapshot_is_plain_and_brings_everything_back(rtc, clock):
    clock.now = 7 * SECOND
    rtc.write(LR, 4, 100)
    rtc.write(MR, 4, 105)
    rtc.write(IMSC, 4, 1)
    other = Rtc(clock)
    other.load(json.loads(json.dumps(rtc.state())))
    assert other.state() == rtc.state()
    assert (other.deadline, other.read(DR, 4)) == (12 * SECOND, 100)
