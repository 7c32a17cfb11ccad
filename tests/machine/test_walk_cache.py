"""The walk cache: it answers for all but the last level, and never for another region, stage or permission."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from minivisor.machine.batch import PIECE, translate_batch
from minivisor.machine.hot import share, span
from minivisor.machine.walk import NOTE_WORDS, READ, Ram, translate
from minivisor.machine.walk_cache import WALK_CACHE_WORDS
from tests.machine.test_batch import by_oracle
from tests.machine.test_steps import STEERING
from tests.machine.test_walk import steering
from tests.machine.walk_cases import RAM, Arena, Case
from tests.naive_walk import Regime

PAGE, REGION, AF = 4096, 2 << 20, 1 << 10
READ_ONLY, FOR_EL0, NEVER_EL1 = 1 << 62, 1 << 6, 1 << 59
REGIMES = {
    "stage 1": Regime(sctlr=1, tcr=25 | 1 << 23 | 2 << 32, ttbr0=RAM),
    "stage 2": Regime(s2=True, vttbr=RAM + 16 * PAGE, vtcr=24 | 1 << 6 | 2 << 16),
    "both": Regime(1, 25 | 1 << 23 | 2 << 32, RAM, 0, True, RAM + 16 * PAGE, 24 | 1 << 6 | 2 << 16),
}


def table(arena: Arena, at: int, entries: dict[int, int]) -> None:
    """Descriptors of the table at page `at` of RAM, by index."""
    for index, descriptor in entries.items():
        arena.memory.words[at * 512 + index] = descriptor


@pytest.fixture
def regions() -> Arena:
    """Regions 0, 64 and 128 of 2 MiB, which are one slot of the cache: the second is read-only as its table says, the third a
    block. In each stage its own tables; those of stage 1, and what they map, lie in region 1,024, which is that slot again."""
    arena = Arena()
    arena.memory.words[:] = 0
    for root, attributes in ((0, AF | FOR_EL0), (16, AF | 3 << 6)):
        pages = {index: RAM + (32 + index) * PAGE | attributes | 3 for index in range(8)}
        again = {index: RAM + (40 + index) * PAGE | attributes | 3 for index in range(8)}
        read_only = READ_ONLY | NEVER_EL1 if root == 0 else 0
        table(arena, root, {0: RAM + (root + 2) * PAGE | 3})
        first, second = RAM + (root + 3) * PAGE | 3, RAM + (root + 4) * PAGE | 3 | read_only
        table(arena, root + 2, {0: first, 64: second, 128: RAM | attributes | 1})
        table(arena, root + 3, pages)
        table(arena, root + 4, again)
    table(arena, 0, {2: RAM + 5 * PAGE | 3})  # VA region 1,024 is another
    table(arena, 5, {0: RAM + 3 * PAGE | 3})
    table(arena, 16, {2: RAM + 21 * PAGE | 3})  # where RAM is, by level 1: an identity
    table(arena, 21, {0: RAM + 22 * PAGE | 3})
    table(arena, 22, {index: RAM + index * PAGE | AF | 3 << 6 | 3 for index in range(64) if index != 35})
    return arena


@pytest.mark.parametrize("name", REGIMES)
@pytest.mark.parametrize("kind", "rwx")
def test_regions_that_share_a_slot_do_not_answer_for_each_other(regions: Arena, name: str, kind: str) -> None:
    """In any order, at EL1 and EL0, with pages that are not there; more than one core takes at a time."""
    rng = np.random.default_rng(2011)
    vas = rng.choice([0, 64, 128, 192, 1024], PIECE + 300) * REGION + rng.integers(0, 10 * PAGE, PIECE + 300)
    for el in (0, 1):
        case = Case(REGIMES[name], 0, kind, el, False, 0)
        registers = {register: int(getattr(case.regime, field)) for register, field in STEERING.items()}
        found = translate_batch(regions.memory.words, RAM, vas.astype(np.uint64), kind, el, registers)
        seen = Counter[bool]()
        for at, va in enumerate(map(int, vas)):
            pa, _ipa, fault, fsc, stage, s1ptw = by_oracle(case, regions, va)
            got = [int(column[at]) for column in (found.pa, found.fault, found.fsc, found.stage, found.s1ptw)]
            assert got == [pa, fault, fsc, stage, s1ptw], f"VA {va:#x}"
            seen[bool(fault)] += 1
        assert seen[True] > 100 and (seen[False] > 100 or (kind == "x" and el == 1))


def test_a_known_region_costs_one_descriptor_for_each_walk_of_a_stage(regions: Arena) -> None:
    """Fifteen without a cache; with one, what leads to the tables of stage 1 is read once, and what leads to a region."""
    notes, cache = np.zeros(NOTE_WORDS * np.uint64(25), np.uint64), np.zeros(WALK_CACHE_WORDS, np.uint64)
    where = Ram(*span(regions.memory.words), np.uint64(RAM)), steering(REGIMES["both"])

    def read(va: int, walk_cache: np.uint64 | None) -> int:
        notes[0] = 0
        translate(*where, np.uint64(va), READ, np.uint64(0), notes, walk_cache)
        return int(notes[0])

    kept = np.uint64(share(cache))
    assert [read(va, None) for va in (0, PAGE, 64 * REGION, 0)] == [15, 15, 15, 15]
    assert [read(va, kept) for va in (0, PAGE, 64 * REGION, 0)] == [9, 3, 7, 7]
