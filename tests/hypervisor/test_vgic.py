"""The vGIC through list registers against an interrupt controller that needs none."""

import json
import random

import pytest

from minivisor.hypervisor.list_registers import EMPTY, POLICIES, maintenance
from minivisor.hypervisor.vgic import Vgic
from minivisor.stages import Vcpu
from tests.naive_vgic import SPURIOUS, Gic, ListRegisterInterface

IDS = [0, 1, 5, 15, *range(16, 32), *range(32, 76)]  # 64 interrupts of every kind
FORWARDED = {27, 30, 40}  # with LR.HW: the physical interrupt, not a maintenance interrupt, brings us back after EOI


class Rig:
    """One vCPU, run in the way the hypervisor does it, beside the controller without list registers.

    grouped: interrupts of both groups, which the guest and its distributor switch on and off.
    """

    def __init__(self, seed, count, policy="kvm", affinity=False, grouped=False):
        rng = self.rng = random.Random(seed)
        self.count = count
        self.vgic = Vgic(8, flush=POLICIES[policy], affinity=affinity)
        self.vgic.enabled = 3
        priority = {intid: rng.randrange(32) << 3 for intid in IDS}
        edge = {intid for intid in IDS if intid < 16 or (intid >= 32 and rng.random() < 0.5)}
        self.naive = Gic(edge, priority)
        self.naive.enabled = set(IDS)
        for intid in IDS:
            irq = self.vgic.interrupt(intid, 0)
            irq.priority, irq.edge, irq.enabled = priority[intid], intid in edge, True
            irq.group = self.naive.group[intid] = rng.randrange(2) if grouped else 0
        for intid in FORWARDED:
            self.vgic.forward(intid, intid)
        self.guest = ListRegisterInterface()
        self.handled, self.deepest, self.exits = [], 0, 0
        self.enter()

    def enter(self):
        groups = sum(1 << group for group in self.guest.groups)
        registers, spilled = self.vgic.enter(0, self.count, groups)
        listed = [r.intid for r in registers if r.state]
        assert len(set(listed)) == len(listed)
        assert not {irq.intid for irq in spilled} & set(listed)
        assert all(r.group == self.naive.group[r.intid] for r in registers if r.state)
        self.guest.enter(registers, maintenance(registers, spilled, groups, self.vgic.held_back(0, groups)))

    def switch_groups(self):
        """The guest enables and disables groups at its CPU interface, which is no exit unless EL2 wants to know."""
        self.guest.groups = self.naive.let_through = {group for group in (0, 1) if self.rng.random() < 0.7}
        if self.guest.maintenance():
            self.again()

    def switch_forwarding(self):
        """GICD_CTLR."""
        self.exit()
        self.vgic.enabled = self.rng.choice((0, 1, 2, 3, 3, 3))
        self.naive.forwarded = {group for group in (0, 1) if self.vgic.enabled >> group & 1}
        self.enter()

    def exit(self):
        self.vgic.leave(0, self.guest.registers, self.guest.eoi_count)

    def again(self):
        self.exits += 1
        self.exit()
        self.enter()

    def happen(self):
        """Something outside the guest: an exit, a change in both, and back."""
        rng, naive = self.rng, self.naive
        self.exit()
        running = min((naive.priority[intid] for intid, _ in naive.active), default=256)
        urgent = [intid for intid in IDS if naive.priority[intid] < running]
        intid = rng.choice(urgent if urgent and rng.random() < 0.5 else IDS)
        if intid < 16 and self.vgic.affinity:
            self.vgic.send(intid, rng.randrange(8), 1)
            naive.latched.add(intid)
        elif intid < 16:
            sender = rng.randrange(8)
            self.vgic.send(intid, sender, 1)
            naive.senders.setdefault(intid, set()).add(sender)
        elif rng.random() < 0.1:
            irq = self.vgic.interrupt(intid, 0)
            irq.enabled = not irq.enabled
            naive.enabled ^= {intid}
        else:
            level = rng.random() < 0.6
            self.vgic.set_line(intid, level)
            if level and intid not in naive.lines and intid in naive.edge:
                naive.latched.add(intid)
            naive.lines = naive.lines | {intid} if level else naive.lines - {intid}
        naive.settle()
        self.enter()

    def acknowledge(self):
        expected, found = self.naive.acknowledge(), self.guest.acknowledge()
        assert found == expected
        if found[0] != SPURIOUS:
            self.handled.append(found[0])
        self.deepest = max(self.deepest, len(self.naive.active))
        if self.guest.maintenance():
            self.again()

    def complete(self):
        if self.naive.active:
            intid = self.naive.complete()
            if self.guest.complete(intid) or self.guest.maintenance() or intid in FORWARDED:
                self.again()

    def finish(self, step):
        """Every line falls, and the guest works off what is left."""
        self.exit()
        for intid in IDS:
            if intid >= 16:
                self.vgic.set_line(intid, False)
        self.naive.lines.clear()
        self.naive.settle()
        self.enter()
        for _ in range(400):
            step()
        self.exit()
        assert self.naive.pending() == []
        assert not self.vgic.signals(0)


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


class Quad:
    """Four vCPUs on one core, each with a stack of active interrupts, and a ledger of what is owed to whom."""

    def __init__(self, seed, count):
        self.rng, self.count = random.Random(seed), count
        self.vgic = Vgic(4)
        self.vgic.enabled = True
        self.stacks = [[] for _ in range(4)]
        self.guests = [ListRegisterInterface() for _ in range(4)]
        self.owed = set()  # (id, sender, CPUs it may go to)
        for intid in range(32, 48):
            irq = self.vgic.interrupt(intid, 0)
            irq.enabled, irq.edge, irq.priority = True, True, self.rng.randrange(4) << 3
            irq.targets = self.rng.randrange(1, 16)

    def send(self):
        sgi, sender, targets = self.rng.randrange(4), self.rng.randrange(4), self.rng.randrange(16)
        self.vgic.send(sgi, sender, targets)
        self.owed |= {(sgi, sender, 1 << cpu) for cpu in range(4) if targets >> cpu & 1}

    def pulse(self):
        intid = self.rng.randrange(32, 48)
        self.vgic.set_line(intid, True)
        self.vgic.set_line(intid, False)
        self.owed.add((intid, 0, self.vgic.interrupt(intid, 0).targets))

    def run(self, cpu, steps):
        guest, stack = self.guests[cpu], self.stacks[cpu]
        registers, spilled = self.vgic.enter(cpu, self.count)
        guest.enter(registers, maintenance(registers, spilled))
        for _ in range(steps):
            if stack and self.rng.random() < 0.6:
                guest.complete(stack.pop())
            else:
                self.take(cpu, *guest.acknowledge())
            if guest.maintenance():
                break
        self.vgic.leave(cpu, guest.registers, guest.eoi_count)

    def take(self, cpu, intid, sender):
        if intid != SPURIOUS:
            (due,) = (due for due in self.owed if due[:2] == (intid, sender) and due[2] >> cpu & 1)
            self.owed.remove(due)
            self.stacks[cpu].append(intid)


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


@pytest.fixture
def vgic():
    vgic = Vgic(2)
    vgic.enabled = True
    for intid in (27, 33, 40):
        for cpu in (0, 1):
            vgic.interrupt(intid, cpu).enabled = True
    return vgic


def run(vgic, *actions, cpu=0, count=4):
    """Enter, let the guest do things, leave. Returns what its acknowledges returned."""
    guest = ListRegisterInterface()
    guest.enter(vgic.enter(cpu, count)[0], 0)
    guest.running = [r.priority for r in guest.registers if r.state & 2]
    seen = [guest.acknowledge()[0] if action == "ack" else guest.complete(action) for action in actions]
    vgic.leave(cpu, guest.registers, guest.eoi_count)
    return seen


def test_a_level_interrupt_returns_while_its_line_is_high(vgic):
    vgic.set_line(33, True)
    assert run(vgic, "ack", 33) == [33, True]
    assert run(vgic, "ack") == [33]
    vgic.set_line(33, False)
    assert run(vgic, 33, "ack") == [False, SPURIOUS]


def test_a_line_that_fell_before_the_guest_saw_it_is_gone(vgic):
    vgic.set_line(33, True)
    run(vgic)
    vgic.set_line(33, False)
    assert run(vgic, "ack") == [SPURIOUS]


def test_an_edge_while_the_last_one_is_handled_is_kept(vgic):
    vgic.interrupt(40, 0).edge = True
    vgic.set_line(40, True)
    assert run(vgic, "ack") == [40]
    vgic.set_line(40, False)
    vgic.set_line(40, True)
    assert [(irq.active, irq.pending) for irq in vgic.pending(0)] == [(True, True)]
    assert run(vgic, 40, "ack", 40, "ack") == [False, 40, False, SPURIOUS]


def test_only_what_may_come_again_asks_for_maintenance(vgic):
    vgic.interrupt(40, 0).edge = True
    vgic.set_line(40, True)
    vgic.set_line(33, True)
    vgic.send(2, 0, 1)
    vgic.send(3, 0, 1)
    vgic.send(3, 1, 1)
    registers, _ = vgic.enter(0, 4)
    assert {r.intid: r.eoi_maintenance for r in registers} == {2: False, 3: True, 33: True, 40: False}


def test_a_second_request_of_the_same_kind_waits_until_the_first_is_completed(vgic):
    vgic.send(3, 1, 1)
    assert run(vgic, "ack") == [3]
    vgic.send(3, 1, 1)
    assert run(vgic, 3, "ack") == [True, SPURIOUS]
    assert run(vgic, "ack", 3) == [3, False]
    vgic.interrupt(33, 0).latch = True
    vgic.settle(vgic.interrupt(33, 0), 0)
    assert run(vgic, "ack") == [33]
    vgic.interrupt(33, 0).latch = True
    assert run(vgic, 33, "ack") == [True, SPURIOUS]
    assert run(vgic, "ack", 33) == [33, False]
    assert not vgic.signals(0)


def test_an_edge_between_enter_and_leave_is_not_lost(vgic):
    vgic.interrupt(40, 0).edge = True
    vgic.set_line(40, True)
    guest = ListRegisterInterface()
    guest.registers = list(vgic.enter(0, 4)[0])
    guest.acknowledge()
    vgic.set_line(40, False)
    vgic.set_line(40, True)
    vgic.leave(0, guest.registers)
    assert run(vgic, 40, "ack") == [False, 40]


def test_a_forwarded_interrupt_carries_its_physical_id_and_no_second_state(vgic):
    vgic.forward(27, 27)
    vgic.set_line(27, True, cpu=1)
    registers, _ = vgic.enter(1, 4)
    assert (registers[0].physical, registers[0].state, registers[0].eoi_maintenance) == (27, 1, False)
    vgic.leave(1, registers)
    assert run(vgic, "ack", cpu=1) == [27]
    assert vgic.enter(1, 4)[0][0].state == 2
    assert vgic.enter(0, 4)[0] == (EMPTY,) * 4


def test_an_active_shared_interrupt_stays_with_its_cpu(vgic):
    vgic.set_line(33, True)
    vgic.interrupt(33, 0).targets = 2
    assert run(vgic, "ack", cpu=0) == [SPURIOUS]
    assert run(vgic, "ack", cpu=1) == [33]
    vgic.interrupt(33, 0).targets = 1
    assert run(vgic, "ack", cpu=0) == [SPURIOUS]
    assert run(vgic, 33, cpu=1) == [True]
    assert run(vgic, "ack", cpu=0) == [33]


def test_a_shared_interrupt_avoids_a_cpu_that_is_off():
    online = [False, True]
    vgic = Vgic(2, vcpus=lambda: [Vcpu(n, "work", online=online[n]) for n in range(2)])
    vgic.enabled = vgic.interrupt(33, 0).enabled = True
    vgic.interrupt(33, 0).targets = 3
    vgic.set_line(33, True)
    assert (vgic.signals(0), vgic.signals(1)) == (False, True)
    online[0] = True
    assert (vgic.signals(0), vgic.signals(1)) == (True, False)


def test_only_cpus_with_something_to_list_are_busy(vgic):
    assert (vgic.busy(0), vgic.busy(1)) == (False, False)
    vgic.set_line(27, True, cpu=1)
    assert (vgic.busy(0), vgic.busy(1), vgic.line(27, 0), vgic.line(27, 1)) == (False, True, False, True)
    assert run(vgic, "ack", cpu=1) == [27]
    vgic.set_line(27, False, cpu=1)
    assert vgic.busy(1)
    run(vgic, 27, cpu=1)
    assert (vgic.busy(1), vgic.line(27, 1)) == (False, False)


def test_disabled_means_not_signalled(vgic):
    vgic.set_line(33, True)
    vgic.enabled = False
    assert not vgic.signals(0)
    vgic.enabled = True
    vgic.interrupt(33, 0).enabled = False
    assert not vgic.signals(0)


def test_replacing_a_part_changes_what_the_guest_sees():
    vgic = Vgic(1, flush=lambda pending, registers: (tuple(registers), tuple(pending)))
    vgic.enabled = vgic.interrupt(33, 0).enabled = True
    vgic.set_line(33, True)
    assert run(vgic, "ack") == [SPURIOUS]
    assert vgic.signals(0)


@pytest.mark.parametrize("intid", [0, 15, 128, 1023, -1])
def test_only_ppis_and_spis_have_lines(vgic, intid):
    with pytest.raises(ValueError, match="expected a PPI or SPI"):
        vgic.set_line(intid, True)


@pytest.mark.parametrize("cpus", [0, 9])
def test_one_to_eight_cpus(cpus):
    with pytest.raises(ValueError, match="1 to 8"):
        Vgic(cpus)


def test_a_snapshot_is_plain_and_brings_everything_back(vgic):
    vgic.set_line(33, True)
    vgic.send(3, 1, 0b11)
    run(vgic, "ack")
    other = Vgic(2)
    other.load(json.loads(json.dumps(vgic.state())))
    for cpu in (0, 1):
        assert other.pending(cpu) == vgic.pending(cpu)
    assert other.state() == vgic.state()
