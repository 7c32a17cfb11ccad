"""The virtual timer against a count-up, one tick at a time."""

import random
from types import SimpleNamespace

from minivisor.hypervisor.vcpu import VirtualCpu
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


def test_a_sleeping_vcpus_timers_are_worked_out_again_at_their_deadline_and_for_another_state():
    """Each exit of a sibling asks for them; between two deadlines nothing about them can change."""
    asked = []

    def watched(*arguments):
        asked.append(arguments)
        return vtimer(*arguments)

    persona = SimpleNamespace(stages=SimpleNamespace(vtimer=watched))
    vcpu = VirtualCpu(0, 0, persona, state={"CNTV_CTL_EL0": 1, "CNTV_CVAL_EL0": 100})
    assert [vcpu.timers(now) for now in (0, 1, 1599)] == [(False, False, 1600)] * 3
    assert len(asked) == 2  # both timers, once
    assert [vcpu.timers(now) for now in (1600, 10**9)] == [(True, False, None)] * 2
    assert len(asked) == 4
    vcpu.state = {}
    assert vcpu.timers(0) == (False, False, None)
