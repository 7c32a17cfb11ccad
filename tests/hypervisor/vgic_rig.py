"""One vCPU, and four, run in the way the hypervisor does it, beside an interrupt controller without list registers."""

import random

from minivisor.hypervisor.list_registers import POLICIES, maintenance
from minivisor.hypervisor.vgic import Vgic
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
