"""Registers by name: each has a word of the record of its own, and reading one gives what was written."""

from __future__ import annotations

import pytest

from minivisor.errors import EngineError
from minivisor.hypervisor.world import REGISTERS
from minivisor.machine.board import Machine
from minivisor.machine.core import Core
from minivisor.machine.register_names import AT_ONCE, DIRTY_AT, LATER, VECTORS
from minivisor.machine.state import CP_NAMES, REG_NAMES, WRITE_BREAKPOINT, WRITE_GENERAL, WRITE_REGIME, WRITE_SYSTEM

EL1H, EL1T = 0x3C5, 0x3C4


@pytest.fixture(scope="module")
def core() -> Core:
    return Machine("a").core


def test_no_two_names_share_a_word() -> None:
    words = [*AT_ONCE.values(), *LATER.values(), *VECTORS.values(), *(word + 1 for word in VECTORS.values())]
    assert len(words) == len(set(words))
    assert set(REGISTERS) <= {*AT_ONCE, *LATER, *VECTORS}


def test_names_agree_with_the_fields_of_the_record(core: Core) -> None:
    core.record.reg[:] = range(1000, 1000 + len(REG_NAMES))
    core.record.cp["val"][:] = range(2000, 2000 + len(CP_NAMES))
    words = AT_ONCE | LATER
    assert [core.words[words[name]] for name in REG_NAMES] == list(range(1000, 1000 + len(REG_NAMES)))
    assert [core.words[words[name]] for name in CP_NAMES] == list(range(2000, 2000 + len(CP_NAMES)))


def test_every_register_of_a_world_switch_reads_back(core: Core) -> None:
    values = {name: 0x0123_4567_89AB_0000 + number for number, name in enumerate(REGISTERS)} | {"PSTATE": EL1H}
    values |= {f"V{n}": 0xFEDC_BA98_0000_0000_0000_0000_0000_0001 + n for n in range(32)}
    for name, value in values.items():
        core.write(name, value)
    assert {name: core.read(name) for name in REGISTERS} == values


@pytest.mark.parametrize(("pstate", "used", "banked"), [(EL1H, "SP_EL1", "SP_EL0"), (EL1T, "SP_EL0", "SP_EL1")])
def test_the_stack_pointer_in_use_is_sp(core: Core, pstate: int, used: str, banked: str) -> None:
    core.write("PSTATE", pstate)
    core.write(used, 0x1000)
    core.write(banked, 0x2000)
    assert (core.read("SP"), core.read(used), core.read(banked)) == (0x1000, 0x1000, 0x2000)


def test_a_name_that_no_register_has_is_an_error(core: Core) -> None:
    for attempt in (lambda: core.read("EAX"), lambda: core.write("EAX", 0), lambda: core.read_many(("X0", "EAX"))):
        with pytest.raises(EngineError, match="'EAX'"):
            attempt()


def fill(core: Core, start: int) -> dict[str, int]:
    """A different value in each register of a world switch; returns them."""
    values = {name: start + number for number, name in enumerate(REGISTERS)} | {"PSTATE": EL1H}
    values |= {f"V{n}": start << 64 | start + n for n in range(32)}
    core.write_many(values)
    return values


def test_what_is_read_at_once_is_a_mapping_of_that_moment(core: Core) -> None:
    values = fill(core, 0x0123_4567_89AB_0000)
    saved = core.read_many(REGISTERS)
    fill(core, 0x7777_0000_0000_0000)
    assert saved == values
    assert dict(saved) == {**saved} == values
    assert (tuple(saved), len(saved), saved.get("V7")) == (REGISTERS, len(REGISTERS), values["V7"])
    assert "EAX" not in saved
    assert saved.get("X0_EL1", 5) == 5


def test_it_goes_back_in_one_piece(core: Core) -> None:
    values = fill(core, 0x0123_4567_89AB_0000)
    saved = core.read_many(REGISTERS)
    fill(core, 0x7777_0000_0000_0000)
    core.write_many(saved)
    assert {name: core.read(name) for name in REGISTERS} == values


@pytest.mark.parametrize(("before", "after"), [(EL1H, EL1T), (EL1T, EL1H)])
def test_it_goes_to_the_same_names_whatever_sp_means_by_then(core: Core, before: int, after: int) -> None:
    core.write_many({"PSTATE": before, "SP_EL0": 0x1000, "SP_EL1": 0x2000})
    saved = core.read_many(("SP_EL0", "SP_EL1"))
    core.write_many({"PSTATE": after, "SP_EL0": 0x3000, "SP_EL1": 0x4000})
    core.write_many(saved)
    assert [core.read(name) for name in ("SP_EL0", "SP_EL1", "SP")] == [0x1000, 0x2000, 0x1000 if after == EL1T else 0x2000]


@pytest.mark.parametrize(("name", "flag"), [("TTBR0_EL1", WRITE_REGIME), ("DBGBCR3_EL1", WRITE_BREAKPOINT), ("X3", 0)])
def test_it_says_what_the_engine_must_be_told_of(core: Core, name: str, flag: int) -> None:
    """A translation regime or a breakpoint that comes back different: not if it is the same."""
    core.write(name, 1)
    saved = core.read_many(REGISTERS)
    for value in (1, 2):
        core.write(name, value)
        core.words[DIRTY_AT] = 0
        core.write_many(saved)
        found = core.words[DIRTY_AT]
        assert found & (WRITE_REGIME | WRITE_BREAKPOINT) == (flag if value == 2 else 0)
        assert found & WRITE_GENERAL and found & WRITE_SYSTEM
