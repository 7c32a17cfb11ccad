"""Stale code goes, whatever name it was changed under; and what cannot be stale costs nothing."""

import pytest

from minivisor.machine.state import STALE_PAGES
from tests.machine import a64
from tests.machine.rig import CODE, DATA, S1_RW, Rig

PAGE, ALIAS = 0x1000, 0x1_0000_0000
TARGET = CODE + PAGE


@pytest.fixture
def rig():
    return Rig()


def patch_and_run(rig, where, count=1):
    """Store an HVC in `count` pages through an alias that had entries before, say IC IVAU of `where` + n pages, run each."""
    words = []
    for n in range(count):
        words += [*a64.MOV(1, ALIAS + n * PAGE), a64.STRW(2, 1), *a64.MOV(5, where + n * PAGE), a64.sys("IC IVAU", 5)]
    rig.start(words, a64.DSB, a64.ISB, a64.BR(4), X4=TARGET)


@pytest.mark.parametrize("where", [TARGET, ALIAS], ids=["the address that runs it", "the address that wrote it"])
def test_code_is_dropped_by_either_of_its_addresses(rig, where):
    lower, _ = rig.mmu_on()
    rig.map(lower, ALIAS, TARGET | S1_RW, 3)
    patch_and_run(rig, where)
    for number in (0x11, 0x22, 0x33):
        rig.core.write("X2", a64.HVC(number))
        rig.core.write("PC", CODE)
        assert rig.hvc() == number


def test_more_pages_than_are_remembered_are_all_dropped(rig):
    lower, _ = rig.mmu_on()
    count = STALE_PAGES + 3
    for n in range(count):
        rig.map(lower, ALIAS + n * PAGE, (TARGET + n * PAGE) | S1_RW, 3)
    patch_and_run(rig, ALIAS, count)
    for number in (0x11, 0x22):
        rig.core.write("X2", a64.HVC(number))
        for n in range(count):
            rig.core.write("PC", CODE)
            rig.core.write("X4", TARGET + n * PAGE)
            assert rig.hvc() == number


def test_a_page_that_never_ran_costs_no_stop(rig):
    loop = [a64.sys("IC IVAU", 1), a64.SUBS(2, 2, 1), a64.CBNZ(2, -8)]
    rig.mmu_on()
    rig.start(loop, a64.HVC(1), X1=DATA, X2=1000)
    before = int(rig.core.record.restarts)
    assert rig.hvc() == 1
    assert int(rig.core.record.restarts) - before < 10


def test_a_page_that_runs_again_is_known_again(rig):
    """Dropping a page also drops Unicorn's entry for it, so that the next fetch is noticed: patch, run, patch, run."""
    lower, _ = rig.mmu_on()
    rig.map(lower, ALIAS, TARGET | S1_RW, 3)
    patch_and_run(rig, TARGET)
    for number in range(1, 6):
        rig.core.write("X2", a64.HVC(number))
        rig.core.write("PC", CODE)
        assert rig.hvc() == number
        rig.core.write("PC", TARGET)  # once more, without a patch
        assert rig.hvc() == number


def test_an_address_that_translates_to_nothing_changes_nothing(rig):
    rig.mmu_on()
    rig.start(a64.sys("IC IVAU", 1), a64.HVC(7), X1=0x55_0000_0000)
    assert rig.hvc() == 7
