"""The walk as steps, against the descriptors that the naive oracle reads, in its order and at its levels."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from minivisor.errors import MinivisorError
from minivisor.machine.steps import LEAF, TABLE, Walk, explain, record
from minivisor.trace.records import WalkRecord
from minivisor.trace.store import Trace
from tests import naive_walk as naive
from tests.machine.rig import DATA, RAM, S1_RO, SCTLR, Rig
from tests.machine.walk_cases import RAM as BASE
from tests.machine.walk_cases import Arena, Case, generate
from tests.naive_walk import Fault

SEED, CASES = 77, 500
STEERING = {
    "SCTLR_EL1": "sctlr",
    "TCR_EL1": "tcr",
    "TTBR0_EL1": "ttbr0",
    "TTBR1_EL1": "ttbr1",
    "VTTBR_EL2": "vttbr",
    "VTCR_EL2": "vtcr",
    "HCR_EL2": "s2",
}


class Observed:
    """The oracle, watched: which words it reads, what it takes them for, and by which IPA stage 1 names its descriptors."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, arena: Arena) -> None:
        self.arena = arena
        decode, fetch = naive.decode, naive.s1_fetch
        self.reads, self.levels, self.ipas = list[tuple[int, int | None]](), list[int](), list[int]()
        monkeypatch.setattr(naive, "decode", lambda word, level: (self.levels.append(level), decode(word, level))[1])
        monkeypatch.setattr(naive, "s1_fetch", lambda *args: (self.ipas.append(args[2]), fetch(*args))[1])

    def read(self, pa: int) -> int | None:
        self.reads.append((pa, self.arena.read(pa)))
        return self.reads[-1][1]

    def translate(self, case: Case) -> int | Fault:
        self.reads, self.levels, self.ipas = [], [], []
        try:
            pa = naive.translate_address(case.regime, self.read, case.va, case.kind, case.el)
        except Fault as fault:
            if fault.status == naive.EXTERNAL:
                self.reads.pop()
            return fault
        self.reads.pop()  # the access itself
        return pa


def explained(case: Case, arena: Arena) -> Walk:
    registers = {name: int(getattr(case.regime, field)) for name, field in STEERING.items()}
    return explain(arena.memory.words, BASE, case.va, case.kind, case.el, registers)


def test_the_steps_are_the_descriptors_that_the_oracle_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    arena, rng, seen = Arena(), random.Random(SEED), Counter[str]()
    oracle = Observed(monkeypatch, arena)
    for number in range(CASES):
        case = generate(rng, arena)
        wanted, walk = oracle.translate(case), explained(case, arena)
        where = f"case {number}: {case}\n{walk}"
        assert [(step.address, step.descriptor) for step in walk.steps] == oracle.reads, where
        assert [step.level for step in walk.steps if step.descriptor is not None] == oracle.levels, where
        named = [step.table_ipa + 8 * step.index for step in walk.steps if step.table_ipa is not None]
        assert named == oracle.ipas[: len(named)] and len(oracle.ipas) - len(named) <= 1, where
        assert all(step.table_pa + 8 * step.index == step.address for step in walk.steps), where
        assert walk.pa == wanted if isinstance(wanted, int) else _same(walk, wanted), where
        seen[walk.steps[-1].why if walk.steps else walk.result] += 1
    assert seen[LEAF] > CASES / 4 and len(seen) > 15


def test_what_is_recorded_cheaply_is_what_a_walk_records() -> None:
    arena, rng, seen = Arena(), random.Random(SEED), Counter[str]()
    cheap, readable = Trace(), Trace()
    for number in range(CASES):
        case = generate(rng, arena)
        registers = {name: int(getattr(case.regime, field)) for name, field in STEERING.items()}
        record(cheap, number, 1, arena.memory.words, BASE, case.va, case.kind, case.el, registers)
        explained(case, arena).record(readable, number, 1)
    assert cheap.digest() == readable.digest() and cheap.texts == readable.texts
    for row in cheap:
        seen[type(row).__name__ if isinstance(row, WalkRecord) else readable.texts[getattr(row, "why", 0)]] += 1
    assert seen["WalkRecord"] == CASES and seen[LEAF] > CASES / 4 and len(seen) > 15


def _same(walk: Walk, wanted: Fault) -> bool:
    if wanted.status == naive.EXTERNAL:  # translated, and nothing is there: found by whoever makes the access
        return walk.fault is None
    fault = walk.fault
    assert fault is not None
    found = fault.fsc, fault.stage, fault.s1ptw, fault.ipa
    return found == (wanted.code, wanted.stage, wanted.s1ptw, wanted.ipa) and walk.pa is None


# ── as text ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def registers(rig: Rig) -> dict[str, int]:
    return {name: rig.core.read(name) for name in STEERING}


def a_page(rig: Rig) -> tuple[int, int]:
    """A read-only page at a VA of its own: (VA, TTBR0)."""
    lower, _upper = rig.mmu_on()
    rig.map(lower, 0x12_3456_7000, DATA | S1_RO, 3)
    return 0x12_3456_7000, lower


def test_a_walk_through_both_stages_reads_as_the_manual_draws_it() -> None:
    rig = Rig()
    va, lower = a_page(rig)
    walk = explain(rig.memory.words, RAM, va + 0x18, "r", 1, registers(rig))
    assert [(step.stage, step.level, step.why) for step in walk.steps] == [
        *((2, 1, TABLE), (2, 2, LEAF), (1, 1, TABLE)),
        *((2, 1, TABLE), (2, 2, LEAF), (1, 2, TABLE)),
        *((2, 1, TABLE), (2, 2, LEAF), (1, 3, LEAF)),
        *((2, 1, TABLE), (2, 2, LEAF)),
    ]
    assert walk.steps[2].table_ipa == walk.steps[2].table_pa == lower
    assert (walk.ipa, walk.pa, walk.fault) == (DATA + 0x18, DATA + 0x18, None)
    lines = str(walk).splitlines()
    assert lines[0] == f"VA {va + 0x18:#x}, a read at EL1: IPA {DATA + 0x18:#x}, PA {DATA + 0x18:#x}"
    assert lines[1].split("  ")[0] == "stage" and f"page at {DATA:#x}, EL1 read only" in lines[-3]
    assert walk._repr_html_().count("<tr>") == 1 + 11


def test_a_fault_is_at_the_step_that_ended_the_walk() -> None:
    rig = Rig()
    va, _lower = a_page(rig)
    denied = explain(rig.memory.words, RAM, va, "w", 1, registers(rig))
    assert denied.steps[-1].why == str(denied.fault) == "stage 1: permission fault, level 3"
    assert (denied.fault and denied.fault.level, denied.pa) == (3, None)
    absent = explain(rig.memory.words, RAM, va + 0x1000, "r", 0, registers(rig))
    assert absent.steps[-1].meaning == "invalid, a translation fault"
    far = explain(rig.memory.words, RAM, 1 << 50, "r", 1, registers(rig))
    assert far.steps == () and far.result == "stage 1: translation fault, level 0, before any table was read"


def test_a_table_that_stage_2_does_not_map_says_where_it_was_looked_for() -> None:
    rig = Rig()
    va, lower = a_page(rig)
    rig.memory.write(lower + 8 * (va >> 30), 0x7000_0003)
    walk = explain(rig.memory.words, RAM, va, "r", 1, registers(rig))
    assert [(step.stage, step.why) for step in walk.steps[-2:]] == [(1, TABLE), (2, str(walk.fault))]
    assert walk.fault is not None and walk.fault.s1ptw and walk.fault.ipa == 0x7000_0000 + 8 * (va >> 21 & 511)
    assert "on a stage-1 table walk, IPA 0x7000" in walk.result


def test_a_table_outside_memory_does_not_answer() -> None:
    """Stage 2 off: the level-1 descriptor is real, the table it points to is nowhere."""
    rig = Rig()
    root = rig.table()
    rig.memory.write(root, 0x3_0000_0003)
    steering = registers(rig) | {"TTBR0_EL1": root, "SCTLR_EL1": SCTLR | 1, "HCR_EL2": 0}
    walk = explain(rig.memory.words, RAM, 0x1000, "r", 1, steering)
    assert (walk.steps[-1].descriptor, walk.steps[-1].meaning) == (None, "no memory answers")
    assert walk.fault is not None and walk.fault.fsc == naive.EXTERNAL_ON_WALK + 2


def test_nothing_changes_when_one_looks() -> None:
    rig = Rig()
    va, _lower = a_page(rig)
    before = rig.memory.words.copy(), rig.core.state.copy()
    explain(rig.memory.words, RAM, va, "x", 1, registers(rig))
    assert (rig.memory.words == before[0]).all() and (rig.core.state == before[1]).all()


@pytest.mark.parametrize(("kind", "el"), [("rw", 1), ("", 0), ("r", 2)])
def test_other_accesses_are_refused(kind: str, el: int) -> None:
    with pytest.raises(MinivisorError, match='"r", "w" or "x" at 0 or 1'):
        explain(Rig().memory.words, RAM, 0, kind, el)


def test_the_contiguous_hint_changes_no_translation() -> None:
    """Bit 52 is a hint that sixteen entries may share a TLB entry; a core may ignore it, and this one does."""
    rig = Rig()
    va, lower = a_page(rig)
    plain = explain(rig.memory.words, RAM, va, "r", 1, registers(rig))
    rig.map(lower, va, DATA | S1_RO | 1 << 52, 3)
    hinted = explain(rig.memory.words, RAM, va, "r", 1, registers(rig))
    assert (hinted.pa, hinted.fault) == (plain.pa, None) == (DATA, None)
    neighbour = explain(rig.memory.words, RAM, va + 0x1000, "r", 1, registers(rig))
    assert neighbour.fault is not None and neighbour.fault.fsc == naive.TRANSLATION + 3
