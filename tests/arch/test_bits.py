"""The register machinery, and what every declared register must satisfy, found by walking the subclasses."""

from __future__ import annotations

import importlib
import pickle
import pkgutil
import random
from html.parser import HTMLParser

import numpy as np
import pytest

import minivisor.arch
from minivisor.arch.bits import Address, Bit, Bits, Register


def declared() -> list[type[Register]]:
    """Every Register class of minivisor.arch, whichever module declares it."""
    for module in pkgutil.iter_modules(minivisor.arch.__path__):
        importlib.import_module(f"minivisor.arch.{module.name}")
    found, queue = [], [Register]
    while queue:
        queue += (children := queue.pop().__subclasses__())
        found += [child for child in children if child.__module__.startswith("minivisor.arch.")]
    return sorted(set(found), key=lambda cls: (cls.__module__, cls.__name__))


REGISTERS = declared()
every_register = pytest.mark.parametrize("cls", REGISTERS, ids=lambda cls: f"{cls.__module__[15:]}.{cls.__name__}")


class Demo(Register, width=32, source="nowhere, 1"):
    TOP = Bit(31, "the top bit")
    RES1 = Bit(30)
    BASE = Address(23, 12, "a page")
    KIND = Bits(7, 4, "kind", {2: "two"})
    LOW = Bits(1, 0)


# ── every register ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_walk_finds_the_registers() -> None:
    assert len(REGISTERS) >= 30


@every_register
def test_a_thousand_random_values_decode_and_encode_to_themselves(cls: type[Register]) -> None:
    rng = random.Random(cls.__name__)
    for value in [0, (1 << cls.width) - 1, *(rng.getrandbits(cls.width) for _ in range(1000))]:
        register = cls(value)
        assert int(register) == value
        assert cls.of(**register.fields()) == register


@every_register
def test_fields_are_disjoint_inside_the_register_and_cover_it_with_res0(cls: type[Register]) -> None:
    assert sum(field.width for field in cls.layout.values()) <= cls.width
    covered = cls.reserved_mask
    for field in cls.layout.values():
        assert not covered & field.mask
        covered |= field.mask
    assert covered == (1 << cls.width) - 1
    assert [cell.lsb for cell in cls(0).cells()][-1] == 0
    assert sum(cell.msb - cell.lsb + 1 for cell in cls(0).cells()) == cls.width


@every_register
def test_every_class_cites_its_source(cls: type[Register]) -> None:
    documents = "DDI 0487", "IHI 0048B", "IHI 0069", "DDI 0183G", "DDI 0224B", "DEN0022", "DEN0028", "PC16550D"
    assert cls.source.startswith(documents)


@every_register
def test_tables_of_values_only_hold_values_that_fit(cls: type[Register]) -> None:
    for field in cls.layout.values():
        assert all(0 <= value < 1 << field.width for value in field.values), field.name


@every_register
def test_diagrams_stay_within_80_columns_and_name_every_field(cls: type[Register]) -> None:
    drawn = cls((1 << cls.width) - 1).diagram()
    assert max(map(len, drawn.splitlines())) <= 80
    for field in cls.layout.values():
        assert field.name in drawn
        assert field.range() in drawn


@every_register
def test_html_is_balanced_escaped_and_loads_nothing(cls: type[Register]) -> None:
    html = cls((1 << cls.width) - 1)._repr_html_()
    open_tags: list[str] = []

    class Balance(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    Balance().feed(html.replace("<rect", "<rect ").replace('"/>', '"></rect>'))
    assert not open_tags
    assert "http" not in html
    assert "<script" not in html


# ── the machinery ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_fields_decode_and_encode() -> None:
    register = Demo.of(TOP=1, BASE=0x5000, KIND=2)
    assert int(register) == 0xC0005020
    assert (register.TOP, register.BASE, register.KIND, register.LOW) == (1, 0x5000, 2, 0)
    assert register.fields() == {"LOW": 0, "KIND": 2, "BASE": 0x5000, "RES1": 1, "TOP": 1}
    assert register.meaning("KIND") == "two"
    assert int(register.replace(TOP=0)) == 0x40005020
    assert Demo(np.uint64(0xC0005020)) == register
    assert register != int(register)
    assert len({register, Demo(0xC0005020), Demo(1)}) == 2
    assert pickle.loads(pickle.dumps(register)) == register


def test_reserved_bits_are_kept_and_named() -> None:
    register = Demo(0x0F00_0304)
    assert register.fields()["RES0"] == 0x0F00_0304
    assert int(register.replace(LOW=3)) == 0x0F00_0307
    assert "RES0" in repr(register)
    assert int(Demo.of(RES0=0x300, RES1=0)) == 0x300


def test_a_class_attribute_is_the_description() -> None:
    assert (Demo.KIND.msb, Demo.KIND.lsb, Demo.KIND.description, Demo.KIND.range()) == (7, 4, "kind", "7:4")


def test_errors_name_register_field_value_and_width() -> None:
    with pytest.raises(ValueError, match=r"Demo\.KIND: 0x10 does not fit in 4 bits \[7:4\]"):
        Demo.of(KIND=16)
    with pytest.raises(ValueError, match=r"Demo\.KIND: -0x1 does not fit"):
        Demo.of(KIND=-1)
    with pytest.raises(ValueError, match=r"Demo\.BASE: 0x5008 is not aligned to 0x1000 bytes"):
        Demo.of(BASE=0x5008)
    with pytest.raises(ValueError, match=r"Demo\.BASE: 0x1000000 does not fit in 12 bits"):
        Demo.of(BASE=0x1000000)
    with pytest.raises(ValueError, match=r"Demo: 0x100000000 does not fit in 32 bits"):
        Demo(1 << 32)
    with pytest.raises(ValueError, match=r"Demo has no field 'NOPE'; it has LOW, KIND"):
        Demo.of(NOPE=1)
    with pytest.raises(ValueError, match=r"Demo\.RES0: 0x1 has bits outside"):
        Demo.of(RES0=1)
    with pytest.raises(TypeError):
        Demo(1.5)  # type: ignore[arg-type]


def test_an_instance_never_changes() -> None:
    register = Demo(0)
    with pytest.raises(AttributeError, match="replace"):
        register.KIND = 3
    with pytest.raises(AttributeError, match="replace"):
        register._value = 3


def test_a_wrong_declaration_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(TypeError, match="overlaps"):
        type("Bad", (Register,), {"A": Bits(7, 4), "B": Bit(7)}, width=8, source="x")
    with pytest.raises(TypeError, match="outside"):
        type("Bad", (Register,), {"A": Bits(8, 4)}, width=8, source="x")
    with pytest.raises(TypeError, match="msb down to lsb"):
        Bits(3, 4)


def test_a_subclass_adds_fields_to_its_parent() -> None:
    class More(Demo):
        EXTRA = Bit(29, "one more")

    assert More.of(EXTRA=1, KIND=2).fields() == {"LOW": 0, "KIND": 2, "BASE": 0, "EXTRA": 1, "RES1": 1, "TOP": 0}
    assert More.source == Demo.source


def test_repr_says_what_is_set() -> None:
    assert repr(Demo.of(KIND=2, RES1=0)) == "Demo(0x20: KIND=2 (two))"
    assert repr(Demo(0)) == "Demo(0x0)"


def test_the_text_diagram() -> None:
    assert Demo(0x80005020).diagram().splitlines() == [
        "Demo = 0x80005020",
        " 31  30   29:24 23:12  11:8 7:4  3:2  1:0",
        "┌───┬────┬─────┬──────┬────┬────┬────┬───┐",
        "│TOP│RES1│RES0 │BASE  │RES0│KIND│RES0│LOW│",
        "│1  │0   │0    │0x5000│0   │2   │0   │0  │",
        "└───┴────┴─────┴──────┴────┴────┴────┴───┘",
        " TOP = 1  the top bit",
        "BASE = 0x5000  a page",
        "KIND = 2  two",
    ]


def test_the_svg_uses_the_page_colours_and_says_every_field() -> None:
    html = Demo(0x80005020)._repr_html_()
    assert "currentColor" in html
    assert "<title>KIND [7:4] = 2: two</title>" in html
    assert html.count("<rect") == 8
    assert "nowhere, 1" in html
