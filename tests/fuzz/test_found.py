"""What fuzzing found, each made as small as it goes: seed, symptom, and what must hold since."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fuzz.generate import EXECUTE, Program
from tests.fuzz.harness import CHUNK, Arena

NOP, EL1H, AARCH32_USER = 0xD503_201F, 0x3C5, 0x10


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
