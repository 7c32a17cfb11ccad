"""What the scheduler is worth, in numbers from the trace of real guests."""

from __future__ import annotations

import pytest

from minivisor.hypervisor.cost import CostModel, cost_model
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.scheduler import FairShare, RoundRobin
from minivisor.machine.board import Machine
from minivisor.trace.usage import Usage, usage
from tests.system.test_smp import add

MS = 1_000_000
SECOND = 1000 * MS
EXIT_OF_100_US = CostModel("an exit is 100 us", exit=100_000)


def between(hypervisor: Hypervisor, start: int, end: int) -> tuple[Usage, ...]:
    hypervisor.run(end)
    return usage(hypervisor.trace.rows(), start, end)


def test_two_that_compute_hold_their_shares() -> None:
    hypervisor = Hypervisor(Machine())
    for persona in (add(hypervisor, 1, "persona"), add(hypervisor, 1, "persona")):
        hypervisor.key(persona, ord("S"), at=50 * MS)
    front, back = between(hypervisor, 100 * MS, SECOND // 2)
    assert front.share == pytest.approx(0.75, abs=0.01)
    assert back.share == pytest.approx(0.25, abs=0.01)
    assert back.longest_wait <= 4 * MS, "slow, but never starving"


@pytest.mark.parametrize("weight", [1, 3])
def test_shares_hold_over_ten_seconds_and_follow_the_foreground(weight: int) -> None:
    """Most of the time is what exits cost, which is charged like any other, and takes the host little."""
    hypervisor = Hypervisor(Machine(), cost=EXIT_OF_100_US)
    first, second = (add(hypervisor, 1, "bench", bootargs="hvc 9999999", weight=weight) for _ in range(2))
    front, back = between(hypervisor, 0, 5 * SECOND)
    expected = weight / (weight + 1)
    assert front.share == pytest.approx(expected, abs=0.01)
    assert back.share == pytest.approx(1 - expected, abs=0.01)
    hypervisor.bring_to_front(second)
    back, front = between(hypervisor, 5 * SECOND, 10 * SECOND)
    assert (first.status, second.status) == ("running", "running")
    assert front.share == pytest.approx(expected, abs=0.01)
    assert back.share == pytest.approx(1 - expected, abs=0.01)


def test_a_storm_of_hypercalls_takes_nothing_from_the_other() -> None:
    """An exit is charged to who made it: 2.7 us each under the published model, and half of the core all the same."""
    hypervisor = Hypervisor(Machine(), cost=cost_model("kvm-arm-2016"))
    add(hypervisor, 1, "bench", bootargs="mixed 10", weight=1)
    add(hypervisor, 1, "bench", bootargs="hvc 9999999")
    quiet, storm = between(hypervisor, 20 * MS, 150 * MS)
    assert quiet.share == pytest.approx(0.5, abs=0.01)
    assert storm.share == pytest.approx(0.5, abs=0.01)


def test_idle_personas_retire_about_nothing() -> None:
    """A hundred ticks a second each, and a clock to draw."""
    hypervisor = Hypervisor(Machine())
    for _ in range(2):
        add(hypervisor, 1, "persona")
    hypervisor.run(SECOND)
    before = hypervisor.core.retired
    idle = between(hypervisor, SECOND, 3 * SECOND)
    assert hypervisor.core.retired - before < 2 * 2 * 150_000
    for each in idle:
        assert 0 < each.share < 0.001
        assert len(each.latencies) == pytest.approx(200, abs=5)


def test_who_wakes_beside_one_that_computes_runs_at_once() -> None:
    hypervisor = Hypervisor(Machine(), cost=cost_model("kvm-arm-2016"))
    add(hypervisor, 1, "bench", bootargs="mixed 99", weight=3)
    add(hypervisor, 1, "persona")
    _, sleeper = between(hypervisor, 50 * MS, 350 * MS)
    assert len(sleeper.latencies) >= 25
    assert 4328 <= sleeper.latency(0) <= sleeper.latency(0.99) < 100_000, "the switch itself, and hardly more"


def test_smaller_slices_cost_what_their_switches_cost() -> None:
    taken = {}
    for slice_ in (50_000, MS):
        hypervisor = Hypervisor(Machine(), scheduler=RoundRobin(slice_), cost=cost_model("kvm-arm-2016"))
        for _ in range(2):
            add(hypervisor, 1, "bench", bootargs="mixed 1")
        taken[slice_] = hypervisor.run()
    assert taken[50_000] > 1.1 * taken[MS]


def test_longer_slices_make_others_wait_longer() -> None:
    waits = []
    for slice_ in (MS, 10 * MS):
        hypervisor = Hypervisor(Machine(), scheduler=FairShare(slice_))
        for _ in range(3):
            add(hypervisor, 1, "bench", bootargs="mixed 99")
        waits.append(max(each.longest_wait for each in between(hypervisor, 0, 100 * MS)))
    assert waits[0] < 6 * MS < 15 * MS < waits[1]
