"""The state of virtual interrupts, one rule at a time; `test_vgic_schedules` has all of them at once."""

import json

import pytest

from minivisor.hypervisor.list_registers import EMPTY
from minivisor.hypervisor.vgic import Vgic
from minivisor.stages import Vcpu
from tests.naive_vgic import SPURIOUS, ListRegisterInterface


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


def test_a_forwarded_edge_waits_until_the_one_before_is_completed(vgic):
    """LR.HW and state 3 together are UNPREDICTABLE (IHI 0048B, 5.3.8): the second edge stays outside meanwhile."""
    vgic.forward(40, 40)
    vgic.interrupt(40, 0).edge = True
    vgic.set_line(40, True)
    assert run(vgic, "ack") == [40]
    vgic.set_line(40, False)
    vgic.set_line(40, True)
    registers, _ = vgic.enter(0, 4)
    assert (registers[0].physical, registers[0].state) == (40, 2)
    vgic.leave(0, registers)
    assert run(vgic, 40) == [False]
    assert run(vgic, "ack", 40, "ack") == [40, False, SPURIOUS]


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
