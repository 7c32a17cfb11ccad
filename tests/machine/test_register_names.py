"""Registers by name: each has a word of the record of its own, and reading one gives what was written."""

from __future__ import annotations

import pytest

from minivisor.errors import EngineError
from minivisor.hypervisor.world import REGISTERS
from minivisor.machine.board import Machine
from minivisor.machine.core import AT_ONCE, LATER, VECTORS, Core
from minivisor.machine.state import CP_NAMES, REG_NAMES

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
    for attempt in (lambda: core.read("EAX"), lambda: core.write("EAX", 0)):
        with pytest.raises(EngineError, match="'EAX'"):
            attempt()
