"""The two-stage walk, as a function, against an oracle written from the manual.

Each generated case (walk_cases.py) is one access; `translate` and the oracle must give the same address or the same fault.
Cores that execute the same cases are in test_walk_executed.py.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from minivisor.machine import walk
from minivisor.machine.hot import span
from minivisor.machine.walk import FETCH, READ, WRITE, Ram, stage2, translate
from tests import naive_walk as naive
from tests.machine.walk_cases import RAM, Arena, Case, features, generate
from tests.naive_walk import Fault, Regime

SEED, CASES, MUTATED = 2011, 20_000, 2_500
KINDS = {"r": READ, "w": WRITE, "x": FETCH}
Outcome = tuple[object, ...]


def expected(case: Case, read: Callable[[int], int | None]) -> Outcome:
    """("ok", PA) or ("fault", FSC, stage, s1ptw, IPA or None), from the oracle."""
    try:
        return "ok", naive.translate_address(case.regime, read, case.va, case.kind, case.el)
    except Fault as fault:
        return "fault", fault.code, fault.stage, fault.s1ptw, fault.ipa


def steering(regime: Regime) -> walk.Regime:
    """The oracle's registers as the walk's."""
    registers = regime.sctlr, regime.tcr, regime.ttbr0, regime.ttbr1, regime.vttbr, regime.vtcr, regime.s2
    return walk.Regime(*map(np.uint64, registers))


def by_function(case: Case, arena: Arena) -> Outcome:
    """The same, from the walk."""
    where = Ram(*span(arena.memory.words), np.uint64(RAM)), steering(case.regime)
    access = np.uint64(case.va), KINDS[case.kind], np.uint64(case.el == 0)
    pa, _leaf, ipa, status, stage, s1ptw = map(int, translate(*where, *access, None, None))
    if status:
        return "fault", status & 0x3F, stage, bool(s1ptw), ipa if stage == 2 else None
    if arena.read(pa - pa % 8) is None:
        return "fault", naive.EXTERNAL, 1, False, None  # found by whoever makes the access
    return "ok", pa


def test_the_walk_agrees_with_the_manual() -> None:
    """All cases, and enough of each kind of result that agreement means something."""
    arena, rng, seen, touched = Arena(), random.Random(SEED), Counter[Outcome](), Counter[str]()
    for number in range(CASES):
        case = generate(rng, arena)
        touched.update(features(case))
        wanted = expected(case, arena.read)
        assert by_function(case, arena) == wanted, f"case {number}: {case}"
        seen[wanted[:1] if wanted[0] == "ok" else wanted[:3]] += 1
    assert seen["ok",] > CASES / 4
    for level in range(4):
        assert seen["fault", naive.TRANSLATION + level, 1] > 10 and seen["fault", naive.TRANSLATION + level, 2] > 10
        assert seen["fault", naive.EXTERNAL_ON_WALK + level, 1] > 3
    for level in (1, 2, 3):
        for status in (naive.ADDRESS_SIZE, naive.ACCESS_FLAG, naive.PERMISSION):
            assert seen["fault", status + level, 1] > 3 and seen["fault", status + level, 2] > 3, (status, level)
        assert seen["fault", naive.EXTERNAL_ON_WALK + level, 2] > 0
    assert seen["fault", naive.ADDRESS_SIZE, 1] > 10 and seen["fault", naive.EXTERNAL, 1] > 10
    assert [name for name in FEATURES if touched[name] < 20] == []


FEATURES = [f"T{half}SZ {size}" for half in (0, 1) for size in range(16, 40)]
FEATURES += ["EPD", "WXN", "TBI", "tag ignored", "tag not ignored", "stage 1 off", "unprivileged r", "unprivileged w"]
FEATURES += [f"{register} {size}" for register in ("IPS", "PS") for size in (2, 3, 4, 5)] + ["PS 1"]
FEATURES += [f"stage 2 from level {level}" for level in (0, 1, 2)] + ["one stage-2 root"]
FEATURES += [f"{tables} concatenated tables" for tables in (2, 4, 8, 16)]
FEATURES += [f"{name}, stage 1" for name in ("PXNTable", "UXNTable", "APTable[0]", "APTable[1]", "contiguous")]
FEATURES += ["contiguous, stage 2"]


def without(name: str, **bits: int) -> Callable[[Case, pytest.MonkeyPatch], Case]:
    """A machine that does not look at some bits of a register."""

    def mutate(case: Case, _patch: pytest.MonkeyPatch) -> Case:
        regime = {**vars(case.regime)}
        regime[name] = (regime[name] & ~bits.get("clear", 0) | bits.get("set", 0)) ^ bits.get("flip", 0)
        return replace(case, regime=Regime(**regime))

    return mutate


def without_table_attribute(argument: int, bit: int) -> Callable[[Case, pytest.MonkeyPatch], Case]:
    """A walk that forgets one attribute of the tables on the way."""
    honest = naive.s1_permissions

    def forgetful(*arguments: int) -> dict[int, str]:
        known = list(arguments)
        known[argument] &= ~bit
        return honest(known[0], known[1], known[2], known[3], bool(known[4]))

    def mutate(case: Case, patch: pytest.MonkeyPatch) -> Case:
        patch.setattr(naive, "s1_permissions", forgetful)
        return case

    return mutate


MUTANTS: dict[str, Callable[[Case, pytest.MonkeyPatch], Case]] = {
    "EPD": without("tcr", clear=1 << 7 | 1 << 23),
    "TBI": without("tcr", flip=3 << 37),
    "IPS": without("tcr", set=7 << 32),
    "PS": without("vtcr", set=7 << 16),
    "WXN": without("sctlr", clear=1 << 19),
    "M": without("sctlr", set=1),
    "APTable[0]": without_table_attribute(1, 1),
    "APTable[1]": without_table_attribute(1, 2),
    "UXNTable": without_table_attribute(2, 1),
    "PXNTable": without_table_attribute(3, 1),
    "unprivileged": lambda case, _patch: replace(case, el=1) if case.unprivileged else case,
}


def test_the_cases_would_notice_a_rule_that_is_not_kept() -> None:
    """Each mutant gives another result than the oracle, for some case: so agreement with the oracle excludes it."""
    arena, rng, noticed = Arena(), random.Random(SEED), Counter[str]()
    for _ in range(MUTATED):
        case = generate(rng, arena)
        wanted = expected(case, arena.read)
        for name, mutate in MUTANTS.items():
            with pytest.MonkeyPatch.context() as patch:
                noticed[name] += expected(mutate(case, patch), arena.read) != wanted
    assert [name for name in MUTANTS if noticed[name] == 0] == []


def test_any_vtcr_gives_a_translation_or_a_fault() -> None:
    """Whatever EL2 writes there: start levels that do not exist, sizes they cannot index, roots anywhere."""
    arena, rng = Arena(), random.Random(SEED)
    rubbish = [rng.getrandbits(64) & ~(0xFFFF << 32) | 3 << 6 for _ in range(0x10_0000 // 8)]
    arena.memory.words[: len(rubbish)] = rubbish
    statuses = set[int]()
    for _ in range(3000):
        vtcr = rng.randint(20, 39) | rng.randint(0, 3) << 6 | rng.choice((0, 2, 5)) << 16
        vttbr = rng.choice((RAM, RAM + 0x10_0000 - 4096, 1 << 33, 0, (1 << 48) - 4096)) + rng.randrange(0, 1 << 16, 2)
        ipa = rng.getrandbits(rng.randint(12, 48))
        regime = Regime(s2=True, vtcr=vtcr, vttbr=vttbr)
        where = Ram(*span(arena.memory.words), np.uint64(RAM)), steering(regime)
        found = stage2(*where, np.uint64(ipa), None, None)
        pa, _descriptor, _level, status = map(int, found)
        statuses.add(status)
        try:
            wanted = naive.s2_translate(regime, arena.read, ipa, "r", False), 0
        except Fault as fault:
            wanted = 0, fault.code | 0x100
        assert (pa, status) == wanted, f"VTCR {vtcr:#x} VTTBR {vttbr:#x} IPA {ipa:#x}"
    assert len(statuses) > 8
