"""The virtual timer against a count-up, one tick at a time."""

import random

from minivisor.hypervisor.vtimer import vtimer


def line(cval, ctl, offset, now):
    return ctl % 4 == 1 and (now - offset) % 2**64 >= cval


def test_level_and_deadline_against_counting_up():
    rng = random.Random(1)
    for _ in range(2000):
        now, offset, cval, ctl = (
            rng.randrange(100),
            rng.randrange(-50, 50) % 2**64,
            rng.randrange(150),
            rng.randrange(8),
        )
        level, deadline = vtimer(cval, ctl, offset, now)
        assert level == line(cval, ctl, offset, now)
        rises = None if level else next((t for t in range(now, now + 300) if line(cval, ctl, offset, t)), None)
        assert deadline == rises


def test_the_largest_compare_value_never_comes_and_does_not_wrap():
    assert vtimer(2**64 - 1, 1, 0, 5) == (False, 2**64 - 1)
    assert vtimer(2**64 - 1, 1, 6, 5) == (True, None)
