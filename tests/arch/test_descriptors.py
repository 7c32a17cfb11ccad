"""Descriptors against words that Linux and KVM are known to write, and the geometry of the 4 KiB granule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivisor.arch import descriptors as d


def test_a_kvm_stage_2_page() -> None:
    word = 0x0040_0000_4123_47FF  # KVM: normal memory, read and write, inner shareable, execute-never (bit 54)
    page = d.S2_PAGE(word)
    assert page.fields() == {
        "Type": 3, "MemAttr": 0xF, "S2AP": 3, "SH": 3, "AF": 1, "FnXS": 0, "OA": 0x41234000, "DBM": 0, "Contiguous": 0,
        "XN": 2, "Software": 0, "PBHA": 0,
    }  # fmt: skip
    assert page.meaning("XN") == "execute-never"
    assert d.S2_PAGE.of(OA=0x41234000, Type=3, MemAttr=15, S2AP=3, SH=3, AF=1, XN=2) == page


def test_a_linux_stage_1_page() -> None:
    word = 0x0068_0000_4123_4F13  # Linux PAGE_KERNEL: UXN, PXN, Write (bit 51), nG... attributes 4
    page = d.S1_PAGE(word)
    assert (page.UXN, page.PXN, page.DBM, page.nG, page.AF, page.SH, page.AP, page.AttrIndx) == (1, 1, 1, 1, 1, 3, 0, 4)
    assert page.OA == 0x41234000


def test_device_block_of_stage_2() -> None:
    block = d.S2_BLOCK_L2.of(OA=0x0900_0000 & ~0x1FFFFF, Type=1, MemAttr=1, S2AP=3, AF=1)
    assert block.meaning("MemAttr") == "Device-nGnRE"
    with pytest.raises(ValueError, match="aligned to 0x200000"):
        d.S2_BLOCK_L2.of(OA=0x0900_1000)
    with pytest.raises(ValueError, match="aligned to 0x40000000"):
        d.S1_BLOCK_L1.of(OA=0x0020_0000)


def test_hierarchical_attributes_of_a_table() -> None:
    table = d.S1_TABLE(0x9000_0000_4000_5003)
    assert (table.NSTable, table.UXNTable, table.PXNTable, table.APTable, table.Table) == (1, 1, 0, 0, 0x40005000)
    assert d.S1_TABLE(3 << 61 | 3).meaning("APTable") == "read only, no EL0 access"


def test_spans_and_indices() -> None:
    assert [d.span(level) for level in range(4)] == [512 << 30, 1 << 30, 2 << 20, 4096]
    address = 0x0000_FFFF_FFFF_F000
    assert [d.index(address, level) for level in range(4)] == [511] * 4
    assert [d.index(0x4020_1000, level) for level in range(4)] == [0, 1, 1, 1]
    with pytest.raises(ValueError, match="level 4"):
        d.span(4)


@given(st.integers(0, (1 << 48) - 1))
def test_the_indices_of_an_address_give_the_address_back(address: int) -> None:
    page = sum(d.index(address, level) * d.span(level) for level in range(4))
    assert page == address & ~0xFFF


CLASSES = {
    (0b00, 1, 1): None, (0b10, 2, 2): None, (0b01, 0, 1): None, (0b01, 3, 2): None,
    (0b11, 0, 1): d.S1_TABLE, (0b11, 2, 1): d.S1_TABLE, (0b11, 3, 1): d.S1_PAGE,
    (0b01, 1, 1): d.S1_BLOCK_L1, (0b01, 2, 1): d.S1_BLOCK_L2,
    (0b11, 1, 2): d.S2_TABLE, (0b11, 3, 2): d.S2_PAGE, (0b01, 1, 2): d.S2_BLOCK_L1, (0b01, 2, 2): d.S2_BLOCK_L2,
}  # fmt: skip


@pytest.mark.parametrize(("case", "expected"), CLASSES.items())
def test_the_low_two_bits_and_the_level_say_what_a_descriptor_is(case: tuple[int, int, int], expected: object) -> None:
    assert d.descriptor_class(*case) is expected


def test_descriptors_in_words() -> None:
    assert d.describe(0, 3, 2) == "level 3: invalid, a translation fault"
    assert d.describe(1, 3, 2) == "level 3: reserved, a translation fault"
    assert d.describe(0x40005003, 1, 2) == "level 1: table at 0x40005000"
    assert d.describe(0x412347FF, 3, 2) == "level 3: page at 0x41234000, read and write, Normal, write-back"
    assert d.describe(0x412343FF, 3, 2).endswith("access flag clear")
    assert d.describe(0x40000711, 2, 1) == "level 2: 2 MiB block at 0x40000000, EL1 read and write, attributes 4"


@given(st.integers(0, (1 << 64) - 1), st.integers(0, 3), st.sampled_from([1, 2]))
def test_any_descriptor_has_words(word: int, level: int, stage: int) -> None:
    assert d.describe(word, level, stage).startswith(f"level {level}: ")
