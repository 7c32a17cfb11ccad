"""Shares, starvation and latency, on a machine that does nothing but keep time."""

import random

import pytest

from minivisor.hypervisor.scheduler import FairShare, RoundRobin
from minivisor.machine.clock import SPIN
from minivisor.stages import Vcpu
from tests.naive_scheduler import Load, simulate

MS = 1_000_000
SECOND = 1000 * MS


@pytest.mark.parametrize("scheduler", [RoundRobin, FairShare])
def test_nobody_runnable_means_none(scheduler):
    assert scheduler().next(0, []) is None
    assert scheduler().next(0, [Vcpu(0, "a", runnable=False), Vcpu(1, "b", runnable=False)]) is None


def test_round_robin_takes_turns_and_steps_over_sleepers():
    robin = RoundRobin(5)
    awake = {0: True, 1: True, 2: True, 3: True}
    order = []
    for turn in range(9):
        awake[2] = turn < 4
        order.append(robin.next(0, [Vcpu(n, "", runnable=on) for n, on in awake.items()]))
    assert order == [(n, 5) for n in (0, 1, 2, 3, 0, 1, 3, 0, 1)]


@pytest.mark.parametrize("scheduler", [RoundRobin, FairShare])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_equal_loads_get_equal_shares(scheduler, count):
    result = simulate(scheduler(), [Load() for _ in range(count)], SECOND)
    for consumed in result.consumed:
        assert consumed == pytest.approx(SECOND / count, rel=0.01)
    assert result.idle == 0


@pytest.mark.parametrize("weight", [1, 2, 3, 7, 10])
@pytest.mark.parametrize("others", [1, 3])
def test_the_foreground_gets_its_weight(weight, others):
    result = simulate(FairShare(), [Load(weight=weight), *(Load(weight=weight) for _ in range(others))], SECOND)
    assert result.consumed[0] == pytest.approx(SECOND * weight / (weight + others), rel=0.01)
    for consumed in result.consumed[1:]:
        assert consumed == pytest.approx(SECOND / (weight + others), rel=0.01)


@pytest.mark.parametrize("weight", [1, 3])
@pytest.mark.parametrize("cpus", [(1, 2), (4, 1), (2, 3, 8)])
def test_a_persona_has_one_share_however_many_vcpus_it_has(cpus, weight):
    loads = [Load(persona=f"p{n}", weight=weight) for n, count in enumerate(cpus) for _ in range(count)]
    result = simulate(FairShare(), loads, 4 * SECOND)
    shares = [weight, *[1] * (len(cpus) - 1)]
    first = 0
    for count, share in zip(cpus, shares, strict=True):
        mine = result.consumed[first : first + count]
        assert sum(mine) == pytest.approx(4 * SECOND * share / sum(shares), rel=0.01)
        assert min(mine) == pytest.approx(max(mine), rel=0.01), "and shares it alike"
        first += count


def test_a_vcpu_that_sleeps_leaves_its_part_to_its_siblings_and_not_to_others():
    loads = [Load(persona="a"), Load(MS, 9 * MS, persona="a"), Load(persona="b")]
    first, second, other = simulate(FairShare(), loads, 4 * SECOND).consumed
    assert first + second == pytest.approx(2 * SECOND, rel=0.01)
    assert other == pytest.approx(2 * SECOND, rel=0.01)
    assert second == pytest.approx(4 * SECOND / 10, rel=0.2)


def test_waking_one_vcpu_after_the_other_earns_a_persona_nothing():
    """Each of eight vCPUs sleeps now and then, but one is always ready: no credit, or many credits would be a share."""
    loads = [Load(), *(Load(2 * MS, MS, persona="many") for _ in range(8))]
    result = simulate(FairShare(), loads, 4 * SECOND)
    assert result.consumed[0] == pytest.approx(2 * SECOND, rel=0.01)


def test_when_one_persona_goes_the_others_accounts_stay_theirs():
    """The vCPUs after it have other indices from then on."""
    fair, consumed = FairShare(), {"a": 0, "b": 0, "c": 0}

    def turns(names, count):
        for _ in range(count):
            index, slice_ = fair.next(0, [Vcpu(n, name, consumed=consumed[name]) for n, name in enumerate(names)])
            consumed[names[index]] += slice_

    turns("abc", 300)
    turns("bc", 200)
    assert consumed == {"a": 100 * MS, "b": 200 * MS, "c": 200 * MS}


def test_shares_follow_the_foreground():
    loads = [Load(weight=4), Load(weight=4)]
    result = simulate(FairShare(), loads, 2 * SECOND, foreground=lambda now: 0 if now < SECOND else 1)
    assert result.consumed[0] == pytest.approx(SECOND, rel=0.01)
    result = simulate(FairShare(), [Load(weight=4), Load(weight=4)], 2 * SECOND, foreground=lambda now: now // MS % 2)
    assert result.consumed[0] == pytest.approx(SECOND, rel=0.02)


@pytest.mark.parametrize("slice_", [100_000, MS, 7 * MS])
def test_slices_are_as_long_as_asked(slice_):
    views = [Vcpu(0, "")]
    assert RoundRobin(slice_).next(0, views) == (0, slice_)
    assert FairShare(slice_).next(0, views) == (0, slice_)


def test_who_sleeps_runs_at_once_when_it_wakes():
    loads = [Load(weight=3), Load(burst=200_000, sleep=9 * MS)]
    result = simulate(FairShare(), loads, SECOND)
    assert len(result.latencies[1]) > 90
    assert max(result.latencies[1]) == 0
    assert result.consumed[1] == pytest.approx(len(result.latencies[1]) * 200_000, rel=0.02)


@pytest.mark.parametrize("scheduler", [RoundRobin, FairShare])
def test_latency_is_bounded_without_preemption_too(scheduler):
    loads = [Load(weight=3), Load(), Load(burst=100_000, sleep=9 * MS)]
    result = simulate(scheduler(), loads, SECOND, preempt_on_wake=False)
    assert max(result.latencies[2]) <= 2 * MS


def test_a_long_sleep_earns_no_long_turn():
    loads = [Load(), Load(burst=SECOND, sleep=SECOND)]
    loads[1].wakes, loads[1].left = 500 * MS, SECOND
    at_wake = {}

    class Watch(FairShare):
        def next(self, now, vcpus):
            if vcpus[1].runnable:
                at_wake.setdefault("now", now)
                at_wake.setdefault("other", vcpus[0].consumed)
                if now >= at_wake["now"] + 20 * MS:
                    at_wake.setdefault("later", (vcpus[0].consumed - at_wake["other"], vcpus[1].consumed))
            return super().next(now, vcpus)

    simulate(Watch(), loads, SECOND)
    first, second = at_wake["later"]
    assert abs(first - second) <= 2 * MS


@pytest.mark.parametrize("turn", [MS, 20 * MS, SECOND])
@pytest.mark.parametrize("weight", [1, 3])
def test_a_long_turn_alone_is_no_credit_for_who_slept_meanwhile(turn, weight):
    """Whoever is alone may have had the core since the last look, however long ago that is."""
    fair, consumed, turns = FairShare(MS), [0, 0], 0
    views = lambda: [  # noqa: E731 - the sleeper comes first, so that nobody has been charged when it is looked at
        Vcpu(0, "sleeper", runnable=bool(consumed[1]), consumed=consumed[0], since=consumed[1] and 1),
        Vcpu(1, "alone", foreground=True, weight=weight, consumed=consumed[1]),
    ]
    assert fair.next(0, views()) == (1, MS)
    consumed[1] += turn
    while fair.next(0, views())[0] == 0:
        consumed[0] += MS
        turns += 1
    assert 1 <= turns <= 4, "a slice of credit, two of slack, and its own"


@pytest.mark.parametrize("credit", [0, 5, 20])
def test_credit_is_how_far_a_sleeper_may_catch_up(credit):
    fair = FairShare(MS, credit * MS)
    busy = 0
    for _ in range(50):
        assert fair.next(busy, [Vcpu(0, "", consumed=busy), Vcpu(1, "", runnable=False)]) == (0, MS)
        busy += MS
    turns = 0
    while fair.next(0, [Vcpu(0, "", consumed=busy), Vcpu(1, "", consumed=turns * MS, since=busy)]) == (1, MS):
        turns += 1
    assert credit <= turns <= credit + 2


def test_among_siblings_a_sleeper_is_ahead_by_a_turn_or_two():
    """It wakes, and spins for the one that worked: with a slice of credit that would wait for fifty turns of 20 us."""
    fair, consumed, order = FairShare(MS), [SECOND, 0], []
    views = lambda awake: [  # noqa: E731
        Vcpu(0, "both", consumed=consumed[0]),
        Vcpu(1, "both", runnable=awake, consumed=consumed[1], since=int(awake)),
    ]
    for turn in range(200):
        index, _slice = fair.next(0, views(awake=turn > 100))
        consumed[index] += SPIN
        order.append(index)
    assert order[:101] == [0] * 101 and order[101] == 1
    after = "".join(map(str, order[101:]))
    assert "11111" not in after and "000" not in after and abs(after.count("0") - after.count("1")) <= 4


def test_nobody_starves_under_random_loads():
    rng = random.Random(6)
    for _ in range(20):
        count = rng.randrange(2, 7)
        loads = [
            Load(rng.choice((None, rng.randrange(50_000, 5 * MS))), rng.randrange(10_000, 20 * MS), rng.randrange(1, 9))
            for _ in range(count)
        ]
        loads.append(Load())
        front = rng.randrange(count)
        weight = loads[front].weight
        fair = SECOND // 2 / (count + weight)
        for scheduler, least in ((RoundRobin(), 1), (FairShare(), 0.95 * fair)):
            for load in loads:
                load.consumed, load.since, load.wakes, load.left = 0, 0, None, load.burst or 0
            result = simulate(scheduler, loads, SECOND // 2, foreground=lambda now, front=front: front)
            assert result.consumed[-1] >= least
            assert all(result.consumed)
            assert result.idle == 0
