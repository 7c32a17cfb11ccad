"""The register explorer knows every register of `arch/`, and says of any value what the class says."""

from __future__ import annotations

import pytest

from minivisor.arch.esr import ESR_EL2
from minivisor.arch.sysregs import HCR_EL2
from minivisor.errors import OptionError
from minivisor.views import RegisterExplorer
from minivisor.views.register import registers


def test_every_register_that_arch_declares_is_offered() -> None:
    names = set(registers())
    assert {"HCR_EL2", "ESR_EL2", "VTCR_EL2", "S2_PAGE", "GICH_LR", "PAR_EL1"} <= names and len(names) > 50
    offered = {each["name"] for each in RegisterExplorer("HCR_EL2").state["registers"]}
    assert offered == names


@pytest.mark.parametrize("value", [0x9380_0046_1234_5678, (1 << 64) - 1])
def test_a_value_means_what_the_class_says(value: int) -> None:
    for cls in registers().values():
        register = cls(value & ((1 << cls.width) - 1))
        cells = [cell for cell in register.cells() if cell.name in cls.layout]
        expected = [(cell.name, cls.layout[cell.name].range(), cell.value, cell.meaning) for cell in cells]
        assert RegisterExplorer(register, others=()).frame().rows == tuple(expected)


def test_a_step_is_a_field_and_another_value_is_another_picture() -> None:
    on, off = (RegisterExplorer(HCR_EL2(value), others=()) for value in (1, 0))
    assert "VM [0] = 1" in on.frame().say and on.step == len(HCR_EL2.layout) - 1
    assert "0 fields of 60 not zero" in off.frame().say
    assert on.frame(step=3).svg != off.frame(step=3).svg


def test_a_name_or_a_value_finds_its_register_and_no_other_does() -> None:
    assert RegisterExplorer(ESR_EL2, 0x93880046).register == ESR_EL2(0x93880046)
    with pytest.raises(OptionError, match="register: got HRC_EL2"):
        RegisterExplorer("HRC_EL2")
    with pytest.raises(ValueError, match="does not fit"):
        RegisterExplorer("ESR_EL2", 1 << 64)


def test_what_a_reader_edits_comes_back() -> None:
    view = RegisterExplorer("ESR_EL2")
    view._moved(1, {"register": "HCR_EL2", "value": "80000001"})
    assert view.register == HCR_EL2(0x8000_0001)
