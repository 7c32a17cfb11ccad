"""The batch of walks against the naive oracle: for each generated case, many addresses around the one it was made for."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter

import numpy as np

from minivisor.machine.batch import translate_batch
from tests import naive_walk as naive
from tests.machine.test_steps import STEERING
from tests.machine.walk_cases import RAM, Arena, Case, generate
from tests.naive_walk import Fault

SEED, CASES, ADDRESSES = 404, 640, 32


def addresses(rng: random.Random, case: Case) -> list[int]:
    """The case's own, others of its page, its neighbours at every level, one with each kind of damage."""
    near = [case.va ^ 1 << rng.randrange(12) for _ in range(12)]
    far = [case.va ^ rng.getrandbits(9) << 12 + 9 * rng.randrange(4) for _ in range(8)]
    flipped = [case.va ^ 1 << rng.randrange(64) for _ in range(10)]
    return [case.va, *near, *far, *flipped, rng.getrandbits(64)]


def by_oracle(case: Case, arena: Arena, va: int) -> tuple[int, ...]:
    """(PA, IPA, fault, FSC, stage, S1PTW)"""
    try:
        return naive.translate_address(case.regime, arena.read, va, case.kind, case.el), 0, 0, 0, 0, 0
    except Fault as fault:
        return 0, fault.ipa or 0, 1, fault.code, fault.stage, fault.s1ptw


def test_each_of_twenty_thousand_agrees_with_the_manual() -> None:
    arena, rng, seen = Arena(), random.Random(SEED), Counter[tuple[object, ...]]()
    for _ in range(CASES):
        case = generate(rng, arena)
        vas = addresses(rng, case)
        registers = {name: int(getattr(case.regime, field)) for name, field in STEERING.items()}
        found = translate_batch(arena.memory.words, RAM, np.array(vas, np.uint64), case.kind, case.el, registers)
        for at, va in enumerate(vas):
            wanted = by_oracle(case, arena, va)
            pa, fsc = int(found.pa[at]), int(found.fsc[at])
            if wanted[3:5] == (naive.EXTERNAL, 1) and not found.fault[at]:
                assert arena.read(pa - pa % 8) is None  # translated, and nothing is there: not the walk's to say
                seen["nothing there",] += 1
                continue
            ipa = int(found.ipa[at]) if found.stage[at] == 2 else 0
            got = pa, ipa, int(found.fault[at]), fsc, int(found.stage[at]), int(found.s1ptw[at])
            assert got == wanted, f"VA {va:#x}: {case}"
            seen[wanted[2:]] += 1
    assert seen.total() == CASES * ADDRESSES > 20_000
    assert seen[0, 0, 0, 0] > 3000 and len(seen) > 25


def test_no_addresses_are_no_translations() -> None:
    found = translate_batch(Arena().memory.words, RAM, np.array([], np.uint64))
    assert found.pa.shape == found.fault.shape == (0,)


def test_interpreted_it_is_the_same() -> None:
    """A few hundred addresses with MINIVISOR_JIT=0, where a parallel loop is a plain one."""
    program = (
        "import numpy as np; from minivisor.machine.batch import translate_batch as t\n"
        "m = np.zeros(2048, np.uint64); m[0], m[1] = 0x443, 0x4000_0441\n"
        "r = {'SCTLR_EL1': 1, 'TCR_EL1': 25 | 25 << 16 | 5 << 32, 'TTBR0_EL1': 0x8000_0000}\n"
        "f = t(m, 0x8000_0000, np.arange(300, dtype=np.uint64) << np.uint64(23), 'r', 1, r)\n"
        "print(f.pa.sum(), f.fsc.sum(), f.fault.sum())"
    )
    results = []
    for jit in ("0", "1"):
        environment = os.environ | {"MINIVISOR_JIT": jit}
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
        assert run.returncode == 0, run.stderr
        results.append(run.stdout)
    assert results[0] == results[1] and int(results[0].split()[2]) == 172
