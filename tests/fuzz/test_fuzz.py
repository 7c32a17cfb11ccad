"""Hostile guests, in the time a test run has: 200,000 operations on our walk, some more on Unicorn's own.

`make soak` does fifty times as many. What either finds is kept, made small, in test_found.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from minivisor.errors import MinivisorError
from minivisor.hypervisor import list_registers
from minivisor.stages import ListRegister
from tests.fuzz.generate import RUN, Program, generate
from tests.fuzz.harness import Arena, Violation, _watch_flush, _watch_fold

PROGRAMS = 22


@pytest.mark.parametrize("part", range(2))
def test_no_program_breaks_what_must_hold(part: int) -> None:
    arena = Arena()
    for seed in range(part, PROGRAMS, 2):
        arena.run(generate(seed))
    assert arena.operations >= 100_000
    assert arena.exits > 10_000 and arena.lives > PROGRAMS // 2, "it did get somewhere, and so did the neighbour"


def test_nor_on_the_engines_own_walk() -> None:
    arena = Arena("unicorn")
    for seed in (1000, 1001):
        arena.run(generate(seed))
    assert arena.operations >= 15_000


def test_a_program_is_a_function_of_its_seed_and_its_run_of_both() -> None:
    digests = []
    for _ in range(2):
        arena = Arena()
        arena.run(generate(5, length=2000))
        digests.append(arena.hypervisor.trace.digest())
    assert digests[0] == digests[1]
    assert (generate(5).code != generate(6).code).any()


# ── the checks can fail ──────────────────────────────────────────────────────────────────────────────────────────────


def hvc() -> Program:
    """One hypercall, and the end."""
    code = np.zeros(8, np.uint32)
    code[0] = 0xD400_0002
    return Program([(RUN, 0, 0, 0x3C5)], code, np.zeros((1, 32), np.uint64), True)


def write(name: str) -> Callable[[Arena], None]:
    return lambda arena: arena.hypervisor.core.write(name, arena.hypervisor.core.read(name) ^ 1 << 13)


def map_the_neighbours(arena: Arena) -> None:
    arena.fuzz.stage2._check = lambda _pa, _size, _prot: None
    arena.fuzz.stage2.map(0x8000_0000, arena.neighbour.pa, 4096, "rw")


def touch_the_neighbour(arena: Arena) -> None:
    arena.neighbour.span(0x4020_0000, 4)[:] = 1


def wrong_vmid(arena: Arena) -> None:
    arena.hypervisor.core.record.vmid += 1


@pytest.mark.parametrize(
    ("breach", "words"),
    [
        (write("HCR_EL2"), "HCR_EL2"),
        (write("VTTBR_EL2"), "VTTBR_EL2"),
        (wrong_vmid, "VMID"),
        (map_the_neighbours, "belongs to hello"),
        (touch_the_neighbour, "neighbour's life"),
    ],
    ids=["HCR_EL2", "VTTBR_EL2", "VMID", "mapping", "memory"],
)
def test_a_breach_is_noticed(breach: Callable[[Arena], None], words: str) -> None:
    arena = Arena()
    watched, broken = arena.look, []

    def look(thoroughly: bool) -> None:
        if arena.hypervisor._loaded is arena.fuzz.vcpus[0] and not broken:
            breach(arena)
            broken.append(True)
            thoroughly = True
        watched(thoroughly)

    arena.look = look  # type: ignore[method-assign]
    with pytest.raises((Violation, MinivisorError), match=words):
        for _ in range(3):
            arena.run(hvc())


def test_a_lost_and_a_doubled_interrupt_are_noticed() -> None:
    pending = ListRegister(1, 40)

    def lose(*_arguments: Any) -> Any:
        return (), ()

    with pytest.raises(Violation, match="flush"):
        _watch_flush(lose)(list_registers.fold([pending])[1], ())
    with pytest.raises(Violation, match="fold"):
        _watch_fold(lose)([pending])
    with pytest.raises(Violation, match="fold"):
        _watch_fold(lambda registers: ((40,), list_registers.fold(registers)[1]))([pending, replace(pending, intid=41)])
