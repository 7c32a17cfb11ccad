"""What fuzzing found, each made as small as it goes: seed, symptom, and what must hold since."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fuzz.generate import EXECUTE, RUN, Program
from tests.fuzz.harness import CHUNK, Arena

NOP, EL1H, AARCH32_USER = 0xD503_201F, 0x3C5, 0x10
EL0_STEP = 1 << 21 | 0x340  # PSTATE.SS


def program(*operations: tuple[int, int, int, int]) -> Program:
    return Program(list(operations), np.zeros(8, np.uint32), np.zeros((1, 32), np.uint64), mmu=True)


@pytest.mark.parametrize("mmu", ["minivisor", "unicorn"])
def test_seed_1_a_return_to_aarch32_moves_nobodys_clock(mmu: str) -> None:
    """PC stayed behind at EL1, the clock counted the distance and came out at 2**62 ns: no timer ever fired again."""
    arena = Arena(mmu)
    before = arena.hypervisor.now
    arena.run(program((EXECUTE, NOP, 0, AARCH32_USER), (EXECUTE, NOP, 0, EL1H)))
    assert arena.hypervisor.now - before < 10 * CHUNK
    assert list(arena.endings) == ["persona 'fuzz' stopped: it returned to AArch32, which this core does not have", "off"]
    assert arena.neighbour.lives >= 1


@pytest.mark.parametrize("mmu", ["minivisor", "unicorn"])
def test_seed_10051_a_step_over_a_far_branch_moves_nobodys_clock(mmu: str) -> None:
    """Software step: the exception is at the target, no block of which has begun. The clock counted 117 MB of it."""
    code, files = np.zeros(8, np.uint32), np.zeros((1, 32), np.uint64)
    code[0], code[2] = 0xD510_0241, 0x15BF_45A3  # MSR MDSCR_EL1, X1; B 0x6fd168c bytes on
    files[0, 1] = 1  # MDSCR_EL1.SS
    arena = Arena(mmu)
    before = arena.hypervisor.now
    arena.run(Program([(RUN, 0, 0, EL1H), (RUN, 8, 0, EL0_STEP)], code, files, mmu=True))
    assert arena.hypervisor.now - before < 10 * CHUNK
