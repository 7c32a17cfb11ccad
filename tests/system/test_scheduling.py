"""What the scheduler is worth, in numbers from the trace of real guests."""

from __future__ import annotations

import struct

import pytest

from minivisor.hypervisor.cost import CostModel, cost_model
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import RAM, Persona, PersonaSettings
from minivisor.hypervisor.scheduler import FairShare, RoundRobin
from minivisor.machine.board import Machine
from minivisor.machine.clock import HostClock
from minivisor.platform.image import Image
from minivisor.trace.kinds import Kind
from minivisor.trace.store import Trace
from minivisor.trace.usage import Usage, usage
from tests.conftest import CI
from tests.system.test_smp import add

MS = 1_000_000
SECOND = 1000 * MS
EXIT_OF_100_US = CostModel("an exit is 100 us", exit=100_000)
EXIT_OF_1_MS = CostModel("an exit is 1 ms", exit=MS)

# CPU_ON for the second vCPU at `loop`, if there is one (DEN0022, 5.1.4); then a loop of its own for each kind of storm.
CPU_ON = [0x5280_0060, 0x72B8_8000, 0xD280_0021, 0x1000_0042, 0xD400_0002]  # MOV W0, #0xC4000003; MOV X1, #1; ADR X2; HVC #0
LOOPS = {
    "hvc": [0x52B0_8000, 0xD400_0002, 0x17FF_FFFE],  # MOV W0, #0x84000000 (PSCI_VERSION); HVC #0; B .-8
    "mmio": [0x52A1_2000, 0xB940_1801, 0x17FF_FFFF],  # MOV W0, #0x09000000; LDR W1, [X0, #0x18] (UARTFR); B .-4
    "compute": [0x9100_0400, 0x17FF_FFFF],  # ADD X0, X0, #1; B .-4
}


def loop(hypervisor: Hypervisor, kind: str, cpus: int = 1, weight: int = 1) -> Persona:
    """A guest that does one thing for ever, on one or two vCPUs."""
    words = [*CPU_ON, *LOOPS[kind]]
    image = Image(kind, RAM + 0x8_0000, ((RAM + 0x8_0000, struct.pack(f"<{len(words)}I", *words), 4 * len(words)),), tree=RAM)
    name = f"{kind} {len(hypervisor.personas)}"
    return hypervisor.add(PersonaSettings(name, memory=16 << 20, cpus=cpus, weight=weight), image)


def shares(usages: tuple[Usage, ...], *cpus: int) -> list[float]:
    """Of each persona, which have so many vCPUs."""
    each = iter(usages)
    return [sum(next(each).share for _ in range(count)) for count in cpus]


def between(hypervisor: Hypervisor, start: int, end: int) -> tuple[Usage, ...]:
    hypervisor.run(end)
    return usage(hypervisor.trace.rows(), start, end)


def test_two_that_compute_hold_their_shares() -> None:
    """Ten seconds in CI: there is nothing in them but instructions."""
    end = 10 * SECOND if CI else SECOND // 2
    hypervisor = Hypervisor(Machine())
    for persona in (add(hypervisor, 1, "persona"), add(hypervisor, 1, "persona")):
        hypervisor.key(persona, ord("S"), at=50 * MS)
    front, back = between(hypervisor, 100 * MS, end)
    assert front.share == pytest.approx(0.75, abs=0.01)
    assert back.share == pytest.approx(0.25, abs=0.01)
    assert back.longest_wait <= 4 * MS, "slow, but never starving"


@pytest.mark.parametrize("weight", [1, 3])
@pytest.mark.parametrize("cpus", [(2, 1), (1, 2)])
def test_two_vcpus_are_not_two_shares_over_ten_seconds(cpus: tuple[int, int], weight: int) -> None:
    hypervisor = Hypervisor(Machine(), cost=EXIT_OF_1_MS)
    for count in cpus:
        loop(hypervisor, "hvc", count, weight)
    used = between(hypervisor, 0, 10 * SECOND)
    assert shares(used, *cpus) == pytest.approx([weight / (weight + 1), 1 / (weight + 1)], abs=0.01)
    pair = used[:2] if cpus[0] == 2 else used[1:]
    assert pair[0].share == pytest.approx(pair[1].share, abs=0.01)


def test_two_vcpus_that_compute_are_not_two_shares() -> None:
    """Their slices are short while a sibling is ready; there are the more of them."""
    hypervisor = Hypervisor(Machine())
    loop(hypervisor, "compute", 2)
    loop(hypervisor, "compute", 1)
    assert shares(between(hypervisor, 0, 100 * MS), 2, 1) == pytest.approx([0.5, 0.5], abs=0.01)


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


@pytest.mark.parametrize("storm", ["hvc", "mmio"])
@pytest.mark.parametrize("weight", [1, 3])
def test_a_storm_of_exits_takes_nothing_from_the_other(storm: str, weight: int) -> None:
    """An exit is charged to who made it: 2.7 us each under the published model, and no more of the core all the same."""
    hypervisor = Hypervisor(Machine(), cost=cost_model("kvm-arm-2016"), trace=Trace(limit=4_000_000))
    loop(hypervisor, "compute", weight=weight)
    loop(hypervisor, storm)
    quiet, stormy = between(hypervisor, 20 * MS, (10 * SECOND if CI and (storm, weight) == ("hvc", 3) else 120 * MS))
    assert quiet.share == pytest.approx(weight / (weight + 1), abs=0.01)
    assert stormy.share == pytest.approx(1 / (weight + 1), abs=0.01)


def test_a_storm_on_two_vcpus_takes_no_more_than_one() -> None:
    hypervisor = Hypervisor(Machine(), cost=cost_model("kvm-arm-2016"))
    loop(hypervisor, "compute")
    loop(hypervisor, "hvc", 2)
    assert shares(between(hypervisor, 20 * MS, 120 * MS), 1, 2) == pytest.approx([0.5, 0.5], abs=0.01)


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
    assert waits[0] < 7 * MS < 15 * MS < waits[1]


def on_a_host_that_stands_still() -> Hypervisor:
    """Time is the host's, but nothing goes by there: what the guests do is all, and the same each time."""
    hypervisor = Hypervisor(Machine())
    hypervisor.clock = HostClock(hypervisor.core, monotonic=lambda: 0)
    return hypervisor


def slices(hypervisor: Hypervisor) -> list[tuple[int, int, int]]:
    """(vCPU, ns, ready) of each choice."""
    chosen = hypervisor.trace.select(Kind.SCHED)
    return list(zip(chosen["vcpu"].tolist(), chosen["value"].tolist(), chosen["number"].tolist(), strict=True))


def test_by_the_hosts_clock_who_is_alone_is_not_interrupted() -> None:
    """In virtual time a slice is what it is: who looks at a run sees every decision."""
    alone, virtual = on_a_host_that_stands_still(), Hypervisor(Machine())
    for hypervisor in (alone, virtual):
        loop(hypervisor, "compute")
        hypervisor.run(60 * MS)
    assert slices(alone) == [(0, 20 * MS, 1)] * 3
    assert slices(virtual) == [(0, MS, 1)] * 60


def test_by_the_hosts_clock_two_that_are_ready_take_turns_as_ever() -> None:
    """Siblings too: to end a slice takes longer than a spin that it would cut short."""
    for cpus in ((1, 1), (2,)):
        hypervisor = on_a_host_that_stands_still()
        for count in cpus:
            loop(hypervisor, "compute", count)
        first, second = between(hypervisor, 10 * MS, 60 * MS)
        assert {choice[1:] for choice in slices(hypervisor) if choice[2] == 0b11} == {(MS, 0b11)}
        assert (first.share, second.share) == (pytest.approx(0.5, abs=0.02), pytest.approx(0.5, abs=0.02))


def test_by_the_hosts_clock_who_wakes_beside_one_that_is_alone_runs_at_once() -> None:
    hypervisor = on_a_host_that_stands_still()
    add(hypervisor, 1, "bench", bootargs="mixed 99", weight=3)
    add(hypervisor, 1, "persona")
    busy, sleeper = between(hypervisor, 50 * MS, 350 * MS)
    assert any(slice_ == 20 * MS for _, slice_, _ in slices(hypervisor))
    assert len(sleeper.latencies) >= 25 and sleeper.latency(0.99) < 100_000 and busy.share > 0.9


def test_by_the_hosts_clock_who_is_switched_on_beside_one_that_is_alone_waits_for_no_slice() -> None:
    hypervisor = on_a_host_that_stands_still()
    loop(hypervisor, "compute")
    hypervisor.run(5 * MS)
    loop(hypervisor, "compute")
    hypervisor.run(8 * MS)
    assert slices(hypervisor)[:2] == [(0, 20 * MS, 1), (1, MS, 0b11)]
    assert hypervisor.vcpus[1].consumed > 0
