"""Stage-2 tables against a dictionary of pages and a walk by the manual; and the order of every change."""

import random

import numpy as np
import pytest

from minivisor.hypervisor.stage2 import VTCR, Stage2, Stage2Error, descriptor, map_page, protection, unmap
from minivisor.hypervisor.tables import MemoryTables
from tests.naive_stage2 import Pages, walk

BASE, PAGE, MIB, GIB = 0x8000_0000, 4096, 1 << 20, 1 << 30
POOL = 256


@pytest.fixture
def log():
    return []


@pytest.fixture
def tables(log):
    return MemoryTables(np.zeros(POOL * PAGE, np.uint8), BASE, BASE, POOL, log=log)


@pytest.fixture
def stage2(tables):
    return Stage2(tables)


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("device", ["", "device-"])
@pytest.mark.parametrize("letters", ["", "r", "w", "x", "rw", "rx", "wx", "rwx"])
def test_protection_is_what_a_descriptor_was_made_from(level, device, letters):
    assert protection(descriptor(1 << 30, level, device + letters)) == device + letters


def test_vtcr_says_what_the_builder_does():
    assert VTCR == 0x8002_3559
    assert VTCR & 0x3F == 64 - 39
    assert VTCR >> 6 & 3 == 1
    assert VTCR >> 14 & 3 == 0
    assert VTCR >> 31 == 1
    assert VTCR >> 16 & 7 == 2


@pytest.mark.parametrize(
    ("pa", "level", "prot", "expected"),
    [
        (0x4000_0000, 1, "rwx", 0x0000_0000_4000_07FD),
        (0x4020_0000, 2, "rw", 0x0040_0000_4020_07FD),
        (0x4020_1000, 3, "rw", 0x0040_0000_4020_17FF),
        (0x4020_1000, 3, "r", 0x0040_0000_4020_177F),
        (0x4020_1000, 3, "rx", 0x0000_0000_4020_177F),
        (0x0801_0000, 3, "device-rw", 0x0040_0000_0801_04C7),
    ],
)
def test_descriptors_bit_by_bit(pa, level, prot, expected):
    assert descriptor(pa, level, prot) == expected


@pytest.mark.parametrize(("pa", "level", "prot"), [(0x1000, 2, "rw"), (1, 3, "rw"), (0, 0, "rw"), (0, 3, "rwq")])
def test_impossible_descriptors_are_refused(pa, level, prot):
    with pytest.raises(Stage2Error):
        descriptor(pa, level, prot)


def test_the_largest_fitting_blocks_are_used(stage2):
    stage2.map(GIB - 2 * MIB - PAGE, GIB - 2 * MIB - PAGE, GIB + 4 * MIB + 2 * PAGE, "rw")
    assert [(ipa, size) for ipa, _, size, _ in stage2.mappings()] == [
        (GIB - 2 * MIB - PAGE, PAGE),
        (GIB - 2 * MIB, 2 * MIB),
        (GIB, GIB),
        (2 * GIB, 2 * MIB),
        (2 * GIB + 2 * MIB, PAGE),
    ]


def test_a_block_needs_an_aligned_output_too(stage2):
    stage2.map(0x4000_0000, 0x8000_1000, 2 * MIB, "rw")
    assert {size for _, _, size, _ in stage2.mappings()} == {PAGE}


def test_splitting_a_block_breaks_before_it_makes(stage2, tables, log):
    stage2.map(0x4000_0000, 0x8000_0000, 2 * MIB, "rwx")
    log.clear()
    stage2.unmap(0x4000_5000, PAGE)
    kinds = [event[0] for event in log]
    assert kinds == ["alloc", *["write"] * 512, "write", "tlbi", "write", "write", "tlbi"]
    table = log[0][1]
    assert [event[1] for event in log[1:513]] == [table + 8 * n for n in range(512)]
    block = log[513][1]
    assert log[513:516] == [("write", block, 0), ("tlbi", 0x4000_0000), ("write", block, table | 3)]
    assert log[516:] == [("write", table + 8 * 5, 0), ("tlbi", 0x4000_5000)]


def test_changing_a_live_page_breaks_before_it_makes(tables, log):
    map_page(tables, 0x4000_0000, 0x8000_0000, "rw")
    log.clear()
    map_page(tables, 0x4000_0000, 0x8000_1000, "rw")
    slot = log[0][1]
    new = descriptor(0x8000_1000, 3, "rw")
    assert log == [("write", slot, 0), ("tlbi", 0x4000_0000), ("write", slot, new)]


def test_a_first_map_needs_no_invalidation_and_an_equal_one_no_write(tables, log):
    map_page(tables, 0x4000_0000, 0x8000_0000, "rw")
    assert "tlbi" not in [event[0] for event in log]
    log.clear()
    map_page(tables, 0x4000_0000, 0x8000_0000, "rw")
    assert log == []


def test_unmapping_a_hole_does_nothing(tables, log):
    log.clear()
    unmap(tables, 0x4000_0000)
    assert log == []


def test_random_operations_against_a_dictionary_of_pages(tables, log):
    rng = random.Random(2)
    stage2, naive = Stage2(tables), Pages()
    starts = [0x4000_0000 + n * PAGE for n in (0, 1, 511, 512, 513, 1024, 2047)]
    for _ in range(150):
        ipa, size = rng.choice(starts), rng.choice((1, 2, 511, 512, 513, 1024)) * PAGE
        prot = rng.choice(("r", "rw", "rwx", "rx", "device-rw"))
        pa = 0x1_0000_0000 + rng.choice((0, 2 * MIB, PAGE, 5 * PAGE)) + ipa % (2 * MIB)
        match rng.randrange(4):
            case 0 | 1:
                stage2.map(ipa, pa, size, prot), naive.map(ipa, pa, size, prot)
            case 2:
                stage2.unmap(ipa, size), naive.unmap(ipa, size)
            case 3:
                stage2.protect(ipa, size, prot), naive.protect(ipa, size, prot)
        for page in (*rng.sample(range(3072), 30), 0, 511, 512, 1023):
            address = 0x4000_0000 + page * PAGE
            expected, found = naive.pages.get(address), walk(tables.read, tables.root, address)
            assert (found is None) == (expected is None)
            if expected is not None:
                pa_found, entry, level = found
                assert pa_found == expected[0]
                assert entry == descriptor(pa_found & -{2: 2 * MIB, 3: PAGE}[level], level, expected[1])
                assert stage2.translate(address + 0x123) == (expected[0] + 0x123, expected[1])
    assert sum(size // PAGE for _, _, size, _ in stage2.mappings()) == len(naive.pages)
    _no_live_change_in_one_step(log)


def _no_live_change_in_one_step(log):
    """Between a valid descriptor and another valid one in the same slot there is an invalid one and a TLBI."""
    live, broken = {}, {}
    for position, event in enumerate(log):
        if event[0] == "write":
            _, slot, value = event
            if value & 1 and slot in broken:
                assert any(other[0] == "tlbi" for other in log[broken.pop(slot) : position])
            assert not (value & 1 and live.get(slot, 0) & 1)
            if not value & 1 and live.get(slot, 0) & 1:
                broken[slot] = position
            live[slot] = value


@pytest.mark.parametrize(
    ("ipa", "pa", "size"),
    [
        (1, 0, PAGE),
        (0, 1, PAGE),
        (0, 0, 1),
        (0, 0, 0),
        (1 << 39, 0, PAGE),
        ((1 << 39) - PAGE, 0, 2 * PAGE),
        (-PAGE, 0, PAGE),
    ],
)
def test_what_cannot_be_mapped_is_refused_before_anything_is_written(stage2, log, ipa, pa, size):
    log.clear()
    with pytest.raises(Stage2Error):
        stage2.map(ipa, pa, size, "rw")
    assert log == []


def test_the_ownership_check_comes_first(tables, log):
    def refuse(pa, size, prot):
        raise KeyError(pa, size, prot)

    log.clear()
    with pytest.raises(KeyError) as refused:
        Stage2(tables, refuse).map(0x4000_0000, 0x8000_0000, 2 * PAGE, "rw")
    assert refused.value.args == (0x8000_0000, 2 * PAGE, "rw")
    assert log == []


def test_replaced_parts_are_called_page_by_page_after_the_check(tables):
    calls = []
    stage2 = Stage2(
        tables,
        lambda *what: calls.append(("check", *what)),
        lambda where, *what: calls.append(("map", where is tables, *what)),
        lambda where, *what: calls.append(("unmap", where is tables, *what)),
    )
    stage2.map(0x4000_0000, 0x8000_0000, 2 * PAGE, "rw")
    stage2.unmap(0x4000_0000, 2 * PAGE)
    assert calls == [
        ("check", 0x8000_0000, 2 * PAGE, "rw"),
        ("map", True, 0x4000_0000, 0x8000_0000, "rw"),
        ("map", True, 0x4000_1000, 0x8000_1000, "rw"),
        ("unmap", True, 0x4000_0000),
        ("unmap", True, 0x4000_1000),
    ]


def test_the_last_page_of_the_space(stage2):
    stage2.map((1 << 39) - PAGE, 0x8000_0000, PAGE, "rw")
    assert stage2.translate((1 << 39) - 1) == (0x8000_0FFF, "rw")
    assert stage2.translate((1 << 39) - PAGE - 1) is None
