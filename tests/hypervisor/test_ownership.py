"""The ledger of pages: nothing changes hands without its owner, nothing becomes free unscrubbed."""

import random

import numpy as np
import pytest

from minivisor.hypervisor.ownership import DEVICE, FREE, HYPERVISOR, SHARED, Ownership, OwnershipError
from minivisor.hypervisor.stage2 import Stage2
from minivisor.hypervisor.tables import MemoryTables

RAM, PAGE, GICV = 0x8000_0000, 4096, 0x2C02_F000


@pytest.fixture
def scrubbed():
    return []


@pytest.fixture
def ledger(scrubbed):
    return Ownership([(RAM, 64 * PAGE), (GICV, 2 * PAGE)], lambda pa, size: scrubbed.append((pa, size)))


@pytest.fixture
def personas(ledger):
    return ledger.register("personal"), ledger.register("work")


def test_everything_starts_free(ledger):
    assert ledger.count(FREE) == 66
    assert ledger.owner(RAM + 5) == FREE


def test_personas_are_new_owners_with_a_name(ledger, personas):
    assert len({FREE, HYPERVISOR, SHARED, DEVICE, *personas}) == 6
    assert [ledger.names[number] for number in personas] == ["personal", "work"]
    assert ledger.register("work") == personas[1]


def test_a_page_is_claimed_once(ledger, personas):
    personal, work = personas
    ledger.claim(personal, RAM, 4 * PAGE)
    with pytest.raises(OwnershipError, match="0x80002000 belongs to personal"):
        ledger.claim(work, RAM + 2 * PAGE, 8 * PAGE)
    assert (ledger.count(personal), ledger.count(work)) == (4, 0)


def test_only_the_owner_gives_away_and_releases(ledger, personas, scrubbed):
    personal, work = personas
    ledger.claim(personal, RAM, 2 * PAGE)
    with pytest.raises(OwnershipError):
        ledger.transfer(work, SHARED, RAM, PAGE)
    with pytest.raises(OwnershipError):
        ledger.release(work, RAM, PAGE)
    assert scrubbed == []
    ledger.transfer(personal, SHARED, RAM, PAGE)
    assert ledger.owner(RAM) == SHARED
    assert scrubbed == []


def test_a_page_is_scrubbed_before_it_is_free(ledger, personas):
    seen = []
    watched = Ownership([(RAM, 8 * PAGE)], lambda pa, _size: seen.append(watched.owner(pa)))
    watched.claim(HYPERVISOR, RAM, 2 * PAGE)
    watched.release(HYPERVISOR, RAM, 2 * PAGE)
    assert seen == [HYPERVISOR]
    assert watched.owner(RAM) == FREE


def test_who_may_map_what(ledger, personas):
    personal, work = personas
    ledger.claim(personal, RAM, PAGE)
    ledger.claim(work, RAM + PAGE, PAGE)
    ledger.claim(SHARED, RAM + 2 * PAGE, PAGE)
    ledger.claim(HYPERVISOR, RAM + 3 * PAGE, PAGE)
    ledger.claim(DEVICE, GICV, PAGE)
    allowed = {
        (pa, prot)
        for pa in (RAM, RAM + PAGE, RAM + 2 * PAGE, RAM + 3 * PAGE, RAM + 4 * PAGE, GICV, GICV + PAGE)
        for prot in ("rw", "rwx", "device-rw")
        if may_map(ledger, personal, pa, prot)
    }
    assert allowed == {
        (RAM, "rw"), (RAM, "rwx"), (RAM + 2 * PAGE, "rw"), (RAM + 2 * PAGE, "rwx"), (GICV, "device-rw")
    }  # fmt: skip


def may_map(ledger, owner, pa, prot):
    try:
        ledger.check(owner, pa, PAGE, prot)
    except OwnershipError:
        return False
    return True


@pytest.mark.parametrize(
    ("pa", "size"), [(RAM - PAGE, PAGE), (RAM, 65 * PAGE), (RAM + 1, PAGE), (RAM, 1), (RAM, 0), (0, PAGE)]
)
def test_what_is_not_whole_pages_of_the_phone_is_refused(ledger, pa, size):
    with pytest.raises(OwnershipError):
        ledger.claim(HYPERVISOR, pa, size)
    with pytest.raises(OwnershipError):
        ledger.check(HYPERVISOR, pa, size)


def test_a_mapping_the_ledger_refuses_is_not_written(ledger, personas):
    personal, work = personas
    ledger.claim(personal, RAM, 4 * PAGE)
    ledger.claim(work, RAM + 4 * PAGE, PAGE)
    tables = MemoryTables(np.zeros(16 * PAGE, np.uint8), 0, 0, 16)
    stage2 = Stage2(tables, ledger.checker(personal))
    with pytest.raises(OwnershipError, match="belongs to work"):
        stage2.map(0x4000_0000, RAM, 5 * PAGE, "rw")
    assert list(stage2.mappings()) == []
    stage2.map(0x4000_0000, RAM, 4 * PAGE, "rw")
    assert len(list(stage2.mappings())) == 4


def test_no_history_of_maps_reaches_a_page_of_somebody_else(ledger, personas):
    rng = random.Random(8)
    spaces = {
        owner: Stage2(MemoryTables(np.zeros(16 * PAGE, np.uint8), 0, 0, 16), ledger.checker(owner))
        for owner in personas
    }
    for page in range(64):
        ledger.claim(rng.choice((HYPERVISOR, SHARED, *personas)), RAM + page * PAGE, PAGE)
    ledger.claim(DEVICE, GICV, 2 * PAGE)
    refused = 0
    for _ in range(1500):
        pa = rng.choice((RAM + rng.randrange(64) * PAGE, GICV))
        ipa, size = 0x4000_0000 + rng.randrange(128) * PAGE, rng.choice((1, 1, 2, 3)) * PAGE
        try:
            spaces[rng.choice(personas)].map(ipa, pa, size, rng.choice(("rw", "rwx", "device-rw")))
        except OwnershipError:
            refused += 1
    assert 100 < refused < 1400
    for owner, space in spaces.items():
        mappings = list(space.mappings())
        assert len(mappings) > 20
        for _, pa, size, prot in mappings:
            owners = {ledger.owner(page) for page in range(pa, pa + size, PAGE)}
            assert owners <= ({DEVICE} if prot == "device-rw" else {owner, SHARED})


def test_random_histories_keep_one_owner_a_page(ledger, personas, scrubbed):
    rng = random.Random(5)
    naive = [FREE] * 64
    owners = (HYPERVISOR, SHARED, *personas)
    for _ in range(2000):
        first, count = rng.randrange(64), rng.randrange(1, 6)
        pages, source, target = range(first, first + count), rng.choice((FREE, *owners)), rng.choice(owners)
        legal = first + count <= 64 and all(naive[page] == source for page in pages)
        scrubbed.clear()
        release = source != FREE and rng.random() < 0.4
        try:
            if release:
                ledger.release(source, RAM + first * PAGE, count * PAGE)
            else:
                ledger.transfer(source, target, RAM + first * PAGE, count * PAGE)
        except OwnershipError:
            assert not legal
        else:
            assert legal
            assert scrubbed == ([(RAM + first * PAGE, count * PAGE)] if release else [])
            for page in pages:
                naive[page] = FREE if release else target
        assert [ledger.owner(RAM + page * PAGE) for page in range(64)] == naive
