"""flush, fold and target as pure functions: nothing lost, nothing doubled, the most urgent first."""

import random
from dataclasses import replace

import pytest

from minivisor.hypervisor.list_registers import EMPTY, flush, fold, target
from minivisor.stages import Irq, ListRegister, Vcpu


def some(rng, count):
    ids = rng.sample(range(128), count)
    return [
        Irq(
            intid,
            rng.randrange(32) << 3,
            source=rng.randrange(8) if intid < 16 else 0,
            physical=27 if intid == 27 else None,
            level=rng.random() < 0.3,
        )
        for intid in ids
    ]


@pytest.mark.parametrize("count", [1, 2, 4, 16])
def test_64_pending_into_any_number_of_list_registers(count):
    rng = random.Random(count)
    for _ in range(200):
        pending = some(rng, 64)
        registers, spilled = flush(pending, [EMPTY] * count)
        assert len(registers) == count
        ranked = sorted(pending, key=lambda irq: (irq.priority, irq.intid))
        assert [r.intid for r in registers] == [irq.intid for irq in ranked[:count]]
        assert list(spilled) == ranked[count:]
        for register, irq in zip(registers, ranked, strict=False):
            expected = (1, irq.intid, irq.priority, irq.source, irq.physical)
            assert (register.state, register.intid, register.priority, register.source, register.physical) == expected
            assert register.eoi_maintenance == (irq.level and irq.physical is None)


def test_what_goes_in_comes_out_unless_the_guest_touches_it():
    rng = random.Random(3)
    for _ in range(200):
        pending = [replace(irq, active=rng.random() < 0.2, level=False) for irq in some(rng, 10)]
        registers, spilled = flush(pending, [EMPTY] * 16)
        completed, still = fold(registers)
        assert (completed, spilled) == ((), ())
        assert sorted(still, key=lambda irq: irq.intid) == sorted(pending, key=lambda irq: irq.intid)


def test_active_interrupts_are_listed_before_more_urgent_pending_ones():
    busy, urgent = Irq(40, 0xA0, active=True, pending=False), Irq(41, 0x10)
    registers, spilled = flush([urgent, busy], [EMPTY])
    assert (registers[0].intid, registers[0].state, spilled) == (40, 2, (urgent,))


def test_list_registers_in_use_stay_and_their_interrupt_is_not_listed_twice():
    held = ListRegister(2, 40, 0x80)
    registers, spilled = flush([Irq(40, 0x80), Irq(41, 0x90)], [EMPTY, held, EMPTY])
    assert registers == (ListRegister(1, 41, 0x90), held, EMPTY)
    assert spilled == (Irq(40, 0x80),)


def test_one_sgi_from_two_senders_takes_one_list_register():
    registers, spilled = flush([Irq(3, 0, source=1), Irq(3, 0, source=0)], [EMPTY] * 4)
    assert [(r.state, r.source) for r in registers] == [(1, 0), (0, 0), (0, 0), (0, 0)]
    assert spilled == (Irq(3, 0, source=1),)


def test_fold_tells_completed_from_empty():
    registers = [
        ListRegister(0, 0),
        EMPTY,
        ListRegister(0, 33),
        ListRegister(2, 34, 0x80),
        ListRegister(3, 35, 0x88),
        ListRegister(1, 2, 0x90, source=5),
    ]
    completed, still = fold(registers)
    assert completed == (0, 33)
    assert [(irq.intid, irq.active, irq.pending, irq.source) for irq in still] == [
        (34, True, False, 0),
        (35, True, True, 0),
        (2, False, True, 5),
    ]


def test_an_interrupt_goes_to_the_first_online_cpu():
    cpus = [Vcpu(n, "work", online=n in (2, 3), runnable=n == 3) for n in range(4)]
    assert target(Irq(33, 0), cpus) == 2
    assert target(Irq(33, 0), cpus[3:]) == 3
    assert target(Irq(33, 0), cpus[:2]) == 0
