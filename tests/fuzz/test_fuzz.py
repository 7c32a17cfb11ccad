"""Hostile guests, in the time a test run has: 200,000 operations in CI, fewer elsewhere, a tenth on Unicorn's own walk.

`make soak` does fifty times as many. What either finds is kept, made small, in test_found.py.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from minivisor import guests
from minivisor.hypervisor import list_registers, world
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import RAM, PersonaSettings
from minivisor.hypervisor.vgic import Vgic
from minivisor.machine.board import Machine
from minivisor.platform.image import load_image
from minivisor.stages import ListRegister
from tests.conftest import CI
from tests.fuzz.generate import generate
from tests.fuzz.harness import Arena
from tests.fuzz.ledger import Ledger, watch_flush, watch_fold
from tests.fuzz.neighbour import Violation
from tests.fuzz.soak import lives
from tests.fuzz.watch import Registers

ROOT = Path(__file__).parents[2]
OPERATIONS = 200_000 if CI else 10_000


@pytest.mark.parametrize(("engine", "operations"), [("minivisor", OPERATIONS), ("unicorn", OPERATIONS // 10)])
def test_no_program_breaks_what_must_hold(engine: str, operations: int) -> None:
    arena, seed = Arena(engine), 0
    while arena.operations < operations:
        arena.run(generate(seed))
        seed += 1
        assert seed <= 1 + operations // 4000, "a program is nine thousand operations, most of which are carried out"
    assert arena.exits > operations // 20 and arena.neighbour.lives > seed // 2, "it got somewhere, and so did the neighbour"
    assert arena.letters["home"] > 100 * seed, "as outside, compiled code answers them"
    assert all(ledger.entries > seed for ledger in arena.ledgers)
    assert all(each.checked > seed for each in arena.registers)


@pytest.mark.parametrize(("engine", "programs"), [("minivisor", 12 if CI else 1), ("unicorn", 2 if CI else 1)])
def test_nor_does_one_with_a_gicv3(engine: str, programs: int) -> None:
    """Its CPU interface, distributor and redistributors, beside a neighbour with a GICv2 on the same core."""
    arena, length = Arena(engine, gic=3), 10_000 if CI else 2_500
    for seed in range(programs):
        arena.run(generate(seed, length, gic=3))
    assert arena.operations > programs * length * 0.7
    assert arena.exits > arena.operations // 20 and arena.neighbour.lives > programs // 2
    assert arena.fuzz.vgic.affinity


def test_a_program_is_a_function_of_its_seed_and_its_run_of_both() -> None:
    digests = []
    for _ in range(2):
        arena = Arena()
        arena.run(generate(5, length=2000))
        digests.append(arena.hypervisor.trace.digest())
    assert digests[0] == digests[1]
    assert (generate(5).code != generate(6).code).any()


# ── the checks can fail ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_lost_and_a_doubled_interrupt_are_noticed() -> None:
    pending = ListRegister(1, 40)

    def lose(*_arguments: Any) -> Any:
        return (), ()

    with pytest.raises(Violation, match="flush"):
        watch_flush(lose)(list_registers.fold([pending])[1], ())
    with pytest.raises(Violation, match="fold"):
        watch_fold(lose)([pending])
    with pytest.raises(Violation, match="fold"):
        watch_fold(lambda registers: ((40,), list_registers.fold(registers)[1]))([pending, replace(pending, intid=41)])


def watched_vgic() -> tuple[Vgic, Ledger]:
    """SPI 40 is pending by its latch, SPI 41 by its line, SGI 2 from CPU 0; SPI 42 is active."""
    vgic = Vgic()
    vgic.enabled = 1
    for intid in (2, 40, 41, 42):
        interrupt = vgic.interrupt(intid, 0)
        assert interrupt is not None
        interrupt.enabled, interrupt.edge = True, intid in (2, 40)
        interrupt.latch, interrupt.line, interrupt.active = intid == 40, intid == 41, intid == 42
        interrupt.senders = int(intid == 2)
        vgic.settle(interrupt, 0)
    return vgic, Ledger(vgic)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_ledger_closes_whatever_the_guest_does(count: int) -> None:
    for taken in range(4):
        vgic, ledger = watched_vgic()
        registers, _spilled = vgic.enter(0, count)
        after = [replace(each, state=2 if n < taken and each.state == 1 else each.state) for n, each in enumerate(registers)]
        vgic.leave(0, after)
        again, _spilled = vgic.enter(0, count)
        vgic.leave(0, [replace(each, state=0) for each in again])
        assert ledger.entries == 2


def forget(vgic: Vgic) -> None:
    vgic._put_back = lambda *_arguments: None  # type: ignore[method-assign]


def double(vgic: Vgic) -> None:
    """What is in a list register stays pending in the distributor, too."""
    leave = vgic.leave

    def doubled(cpu: int, registers: Any, completed_outside: int = 0) -> None:
        leave(cpu, registers, completed_outside)
        interrupt = vgic.interrupt(40, cpu)
        assert interrupt is not None
        interrupt.latch = True
        vgic.settle(interrupt, cpu)

    vgic.leave = doubled  # type: ignore[method-assign]


def never_list(vgic: Vgic) -> None:
    vgic.pending = lambda _cpu, _groups: []  # type: ignore[method-assign]


@pytest.mark.parametrize(("bug", "words"), [(forget, "interrupt 2 "), (double, "interrupt 40 "), (never_list, "wants")])
def test_a_vgic_that_loses_or_doubles_is_found_out(bug: Callable[[Vgic], None], words: str) -> None:
    """Acknowledged: 40 must be gone and active. Not acknowledged: 40 must be pending again."""
    with pytest.raises(Violation, match=words):
        for state in (1, 2):
            vgic, ledger = watched_vgic()
            vgic.enter, vgic.leave = ledger._enter, ledger._leave  # type: ignore[method-assign]
            bug(vgic)
            Ledger(vgic)
            registers, _spilled = vgic.enter(0, 4)
            vgic.leave(0, [replace(each, state=state if each.state == 1 else each.state) for each in registers])


def test_a_list_register_that_changes_by_itself_is_noticed() -> None:
    vgic, _ledger = watched_vgic()
    registers, _spilled = vgic.enter(0, 4)
    with pytest.raises(Violation, match="a list register went from"):
        vgic.leave(0, [replace(registers[0], intid=50), *registers[1:]])


@pytest.mark.parametrize("name", ["", "X7", "V31", "FPSR", "TPIDR_EL0", "CNTV_CVAL_EL0", "DBGBVR3_EL1", "SP_EL1", "PAR_EL1"])
def test_a_register_that_is_not_switched_is_noticed(name: str) -> None:
    """Another vCPU leaves 8 more in it, and `load` leaves it alone."""
    core, left = Machine().core, {}

    def forgetful(core: Any, state: Any) -> None:
        world.load(core, {**state, **left} if left else state)

    guest = Hypervisor(Machine()).add(PersonaSettings("any", memory=4 << 20), load_image(guests.path("hello"), RAM, 4 << 20))
    registers = Registers(replace(guest.stages, load=forgetful))
    world.load(core, {"PSTATE": 0x3C5, "V31": 1 << 100})
    state = registers.save(core)
    if name:
        left[name] = core.read(name) + 8
        with pytest.raises(Violation, match=rf"registers: {name} came back"):
            registers.load(core, state)
    else:
        registers.load(core, state)
        assert registers.checked == 1


def test_a_guest_that_is_not_stopped_in_time_is_noticed() -> None:
    arena = Arena()
    arena.budget.slice = 100
    with pytest.raises(Violation, match="instructions in one stay"):
        arena.run(generate(0))


def test_a_key_that_never_arrives_is_noticed() -> None:
    arena = Arena()
    arena.neighbour.persona.uart.receive = lambda _byte: None
    with pytest.raises(Violation, match="lost, or starved"):
        for _ in range(1000):
            arena.hypervisor.run(arena.hypervisor.now + 500_000)
            arena.neighbour.look()


# ── the soak ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def soak(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz.soak", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)


def test_a_soak_names_the_seeds_that_break_crash_and_hang_and_fails() -> None:
    result = soak("5_000", "--first", "0", "--patience", "5", "--arena", "tests.fuzz.broken:BrokenArena", "--jobs", "1")
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    assert lines[:3] == [
        "seed 1: on minivisor, AssertionError: it does not hold",
        "seed 2: the process died with status 7",
        "seed 3: no answer for 5 s",
    ]
    assert lines[3].startswith("8 programs, 5,000 operations, 50 exits in ")
    assert lines[4] == "broken: 1, 2, 3"


def test_programs_that_share_a_machine_go_to_one_child() -> None:
    groups = lives(45)
    assert [next(groups) for _ in range(3)] == [range(45, 60), range(60, 80), range(80, 100)]


def test_a_soak_ends_well_when_nothing_breaks() -> None:
    result = soak("1_500", "--first", "39", "--arena", "tests.fuzz.broken:BrokenArena", "--jobs", "2")
    assert (result.returncode, result.stderr) == (0, "")
    assert re.match(r"([23]) programs, \1,000 operations, (?:\1)0 exits in ", result.stdout)
    assert "all that must hold held" in result.stdout


if CI:

    def test_so_does_the_real_one() -> None:
        assert soak("1_000", "--first", "40").returncode == 0
