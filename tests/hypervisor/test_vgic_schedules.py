"""The vGIC through list registers against an interrupt controller that needs none, under random schedules."""

import random

import pytest

from minivisor.hypervisor.list_registers import POLICIES
from tests.hypervisor.vgic_rig import IDS, Quad, Rig


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("count", [1, 2, 4, 16])
@pytest.mark.parametrize("seed", range(5))
def test_random_schedules_of_64_interrupts(seed, count, policy):
    """However few list registers, the guest acknowledges what a controller without any would give it, in that order."""
    rig = Rig(seed, count, policy)
    for _ in range(600):
        rig.rng.choices([rig.happen, rig.acknowledge, rig.complete, rig.again], [6, 6, 3, 1])[0]()
    rig.finish(lambda: (rig.acknowledge(), rig.complete()))
    assert len(rig.handled) > 80
    assert rig.deepest > 1, "some preempted others"


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("count", [1, 2, 4, 16])
@pytest.mark.parametrize("affinity", [False, True])
def test_two_groups_neither_in_the_others_way(affinity, count, policy):
    """A group that its CPU interface holds back takes no list register from the other, and comes when it is enabled."""
    rig = Rig(count, count, policy, affinity, grouped=True)
    actions = [rig.happen, rig.acknowledge, rig.complete, rig.again, rig.switch_groups, rig.switch_forwarding]
    for _ in range(900):
        rig.rng.choices(actions, [6, 6, 3, 1, 1, 0.3])[0]()
    rig.guest.groups = rig.naive.let_through = {0, 1}
    rig.exit()
    rig.vgic.enabled, rig.naive.forwarded = 3, {0, 1}
    rig.enter()
    rig.finish(lambda: (rig.acknowledge(), rig.complete()))
    assert {rig.naive.group[intid] for intid in rig.handled} == {0, 1} and len(rig.handled) > 60


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("count", [1, 2, 4, 16])
def test_twenty_interrupts_deep(count, policy):
    """Each preempts the one before, so all are active at once; then they end in turn, and each exactly once."""
    rig = Rig(0, count, policy)
    nest = range(32, 52)
    for depth, intid in enumerate(nest):
        rig.exit()
        rig.vgic.interrupt(intid, 0).priority = rig.naive.priority[intid] = (31 - depth) << 3
        rig.vgic.interrupt(intid, 0).edge = True
        rig.naive.edge |= {intid}
        rig.vgic.set_line(intid, True)
        rig.naive.latched.add(intid)
        rig.naive.settle()
        rig.enter()
        rig.acknowledge()
    assert rig.handled == list(nest)
    assert sum(rig.vgic.interrupt(intid, 0).active for intid in nest) >= len(nest) - count
    rig.exits = 0
    for left in reversed(range(len(nest))):
        rig.complete()
        rig.again()
        assert [rig.vgic.interrupt(intid, 0).active for intid in nest].count(True) <= left + 1
    rig.exit()
    assert not any(rig.vgic.interrupt(intid, 0).active for intid in nest)
    assert not rig.vgic.busy(0)


@pytest.mark.parametrize("policy", POLICIES)
def test_all_64_pending_at_once_come_out_by_priority_and_then_in_the_order_they_came(policy):
    exits = {}
    for count in (1, 2, 4, 16):
        rig = Rig(1, count, policy)
        for intid in random.Random(count).sample(IDS, 64):
            rig.exit()
            if intid < 16:
                rig.vgic.send(intid, 0, 1)
                rig.naive.senders[intid] = {0}
            else:
                rig.vgic.set_line(intid, True)
                rig.vgic.set_line(intid, intid not in rig.naive.edge)
                (rig.naive.latched if intid in rig.naive.edge else rig.naive.lines).add(intid)
            rig.naive.settle()
            rig.enter()
        rig.exits = 0
        for _ in range(64):
            rig.acknowledge()
            if rig.naive.active[-1][0] not in rig.naive.edge and rig.naive.active[-1][0] >= 16:
                rig.exit()
                rig.vgic.set_line(rig.naive.active[-1][0], False)
                rig.naive.lines.discard(rig.naive.active[-1][0])
                rig.naive.settle()
                rig.enter()
            rig.complete()
        assert sorted(rig.handled) == sorted(IDS)
        exits[count] = rig.exits
    assert exits[1] > exits[4] > exits[16], "what few list registers cost is exits, and nothing else"


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("count", [1, 2, 4, 16])
@pytest.mark.parametrize("seed", range(3))
def test_completion_in_two_steps_and_in_any_order(seed, count, policy):
    """EOImode: the priority drops at once, DIR comes later, for whichever: more are active than there are list registers."""
    rig = Rig(seed, count, policy)
    rng, naive = rig.rng, rig.naive

    def drop():
        if naive.active:
            naive.drop()
            rig.guest.drop()

    def deactivate():
        if naive.dropped:
            rig.exit()
            intid, sender = naive.deactivate(rng.randrange(len(naive.dropped)))
            rig.vgic.deactivate(intid, sender, 0)
            rig.enter()

    most = 0
    for _ in range(900):
        rng.choices([rig.happen, rig.acknowledge, drop, deactivate, rig.again], [5, 5, 5, 4, 1])[0]()
        most = max(most, len(naive.dropped))
    rig.finish(lambda: (rig.acknowledge(), drop(), deactivate()))
    assert len(rig.handled) > 80
    assert most > 4


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("seed", range(6))
def test_four_cpus_handle_each_event_once(seed, count):
    quad = Quad(seed, count)
    for _ in range(800):
        quad.rng.choice([quad.send, quad.pulse, lambda: quad.run(quad.rng.randrange(4), quad.rng.randrange(6))])()
    assert quad.owed
    for _ in range(100):
        for cpu in range(4):
            quad.run(cpu, 6)
    assert quad.owed == set()
    assert not any(quad.vgic.signals(cpu) for cpu in range(4))
