"""flush, fold and target as pure functions: nothing lost, nothing doubled, the most urgent first."""

import random
from dataclasses import replace

import pytest

from minivisor.hypervisor.list_registers import (
    EMPTY,
    POLICIES,
    flush,
    flush_keep_active,
    fold,
    maintenance,
    target,
)
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


def test_groups_that_are_held_back_or_could_make_room_say_when_they_change():
    """GICH_HCR: VGrp0EIE 4, VGrp0DIE 5, VGrp1EIE 6, VGrp1DIE 7 (IHI 0048B, 5.3.1)."""
    full, waiting = [ListRegister(1, 40)], [Irq(41, 0)]
    assert [maintenance([EMPTY], [], 0, held_back) for held_back in range(4)] == [1, 1 | 1 << 4, 1 | 1 << 6, 1 | 5 << 4]
    assert [maintenance(full, waiting, groups) for groups in range(4)] == [9, 9 | 1 << 5, 9 | 1 << 7, 9 | 5 << 5]
    assert maintenance(full, [], 3) == 1
    assert maintenance(full, [replace(waiting[0], active=True, pending=False)], 3) == 1 | 4


@pytest.mark.parametrize("count", [1, 2, 4, 16])
def test_64_pending_into_any_number_of_list_registers(count):
    rng = random.Random(count)
    for _ in range(200):
        pending = some(rng, 64)
        registers, spilled = flush(pending, [EMPTY] * count)
        assert len(registers) == count
        ranked = sorted(pending, key=lambda irq: irq.priority)  # stable: equals as they came
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


BUSY = [Irq(40 + n, 0x20 * n, active=True, pending=False) for n in range(4)]
READY = [Irq(50 + n, 0x20 * n + 8) for n in range(4)]


@pytest.mark.parametrize(
    ("policy", "count", "listed", "outside"),
    [
        ("kvm", 1, [50], [51, 52, 53, 40, 41, 42, 43]),
        ("bao", 1, [50], [51, 52, 53, 40, 41, 42, 43]),
        ("kvm", 2, [50, 51], [52, 53, 40, 41, 42, 43]),
        ("bao", 2, [50, 40], [51, 52, 53, 41, 42, 43]),
        ("kvm", 6, [50, 51, 52, 53, 40, 41], [42, 43]),
        ("bao", 6, [50, 51, 40, 41, 42, 43], [52, 53]),
        ("kvm", 8, [50, 51, 52, 53, 40, 41, 42, 43], []),
        ("bao", 8, [50, 51, 52, 53, 40, 41, 42, 43], []),
    ],
)
def test_on_overflow_one_policy_keeps_pending_interrupts_in_and_the_other_active_ones(policy, count, listed, outside):
    registers, spilled = POLICIES[policy](BUSY + READY, [EMPTY] * count)
    assert [r.intid for r in registers] == listed
    assert [irq.intid for irq in spilled] == outside


def test_active_ones_alone_use_every_list_register():
    registers, spilled = flush_keep_active(BUSY, [EMPTY] * 3)
    assert ([r.intid for r in registers], spilled) == ([40, 41, 42], (BUSY[3],))


def test_active_and_pending_again_is_two_states_only_while_nobody_waits_outside():
    again = replace(BUSY[0], pending=True)
    (register,), _ = flush([again], [EMPTY])
    assert (register.state, register.eoi_maintenance) == (3, False)
    registers, _ = flush([again, *READY], [EMPTY] * 2)
    assert [r.state for r in registers] == [1, 1]
    registers, _ = flush_keep_active([again, *READY], [EMPTY] * 2)
    assert [(r.state, r.eoi_maintenance) for r in registers] == [(1, False), (2, True)]


UIE, LRENPIE, NPIE = 2, 4, 8
LISTED = (ListRegister(1, 33), ListRegister(2, 34))


@pytest.mark.parametrize(
    ("registers", "spilled", "control"),
    [
        (LISTED, [], 0),
        (LISTED, READY[:1], NPIE),
        (LISTED, READY[:2], NPIE | UIE),
        (LISTED[:1], READY[:2], NPIE),
        (LISTED, BUSY[:2], LRENPIE),
        (LISTED, [*READY[:1], BUSY[0]], NPIE | LRENPIE),
    ],
)
def test_what_is_outside_decides_which_maintenance_interrupt_brings_us_back(registers, spilled, control):
    assert maintenance(registers, spilled) == 1 | control


def test_list_registers_in_use_stay_and_their_interrupt_is_not_listed_twice():
    held = ListRegister(2, 40, 0x80)
    registers, spilled = flush([Irq(40, 0x80), Irq(41, 0x90)], [EMPTY, held, EMPTY])
    assert registers == (ListRegister(1, 41, 0x90), held, EMPTY)
    assert spilled == (Irq(40, 0x80),)


def test_one_sgi_from_two_senders_takes_one_list_register():
    registers, spilled = flush([Irq(3, 0, source=1), Irq(3, 0, source=0)], [EMPTY] * 4)
    assert [(r.state, r.source) for r in registers] == [(1, 1), (0, 0), (0, 0), (0, 0)]
    assert spilled == (Irq(3, 0, source=0),)


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
