"""Syndromes against words that other people's hypervisors and kernels print, and against the encodings of traps."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivisor.arch import encoding, esr
from minivisor.arch.esr import EC, FSC, DataAbort, InstructionAbort, SysregTrap, WFx, describe

KNOWN = {
    0x00000000: "Unknown reason",
    0x02000000: "Unknown reason",
    0x07E00000: "Trapped WFI or WFE: WFI",
    0x07E00001: "Trapped WFI or WFE: WFE",
    0x1FE00000: "Trapped SVE, SIMD or floating point: ISS 0x1e00000",
    0x3A000000: "Illegal Execution state",
    0x56000000: "SVC: #0x0",
    0x5600002A: "SVC: #0x2a",
    0x5A000000: "HVC: #0x0",
    0x5A00FFFF: "HVC: #0xffff",
    0x5E000000: "Trapped SMC: #0x0",
    0x62300009: "Trapped MSR, MRS or system instruction: mrs x0, ID_AA64PFR0_EL1",
    0x82000006: "Instruction Abort from a lower EL: translation fault, level 2",
    0x8600000F: "Instruction Abort without a change of EL: permission fault, level 3",
    0x8A000000: "PC alignment fault",
    0x92000046: "Data Abort from a lower EL: translation fault, level 2, write",
    0x92000004: "Data Abort from a lower EL: translation fault, level 0, read",
    0x920001C7: "Data Abort from a lower EL: translation fault, level 3, on a stage-1 table walk, cache maintenance",
    0x93810047: "Data Abort from a lower EL: translation fault, level 3, write of 4 bytes from w1",
    0x93DF804F: "Data Abort from a lower EL: permission fault, level 3, write of 8 bytes from xzr",
    0x93208010: "Data Abort from a lower EL: synchronous external abort, read of 1 byte to x0, sign extended",
    0x96000045: "Data Abort without a change of EL: translation fault, level 1, write",
    0x96000061: "Data Abort without a change of EL: alignment fault, write",
    0x9A000000: "SP alignment fault",
    0xF2000001: "BRK: #0x1",
    0x7E000001: "Reserved exception class 0x1f: ISS 0x1",
}


@pytest.mark.parametrize("word", KNOWN, ids=hex)
def test_known_syndromes_in_words(word: int) -> None:
    assert describe(word) == KNOWN[word]


def test_encode_helpers() -> None:
    assert esr.esr(EC.SVC64, 42) == 0x56000000 | 42
    assert esr.esr(EC.HVC64) == 0x5A000000
    assert esr.esr(EC.UNKNOWN) == 0x02000000
    assert esr.esr(EC.DABT_LOWER, DataAbort.of(WnR=1, DFSC=FSC.TRANSLATION | 2)) == 0x92000046
    assert esr.esr(EC.IABT_LOWER, InstructionAbort.of(IFSC=FSC.PERMISSION | 3)) == 0x8200000F
    assert esr.esr(EC.WFX, WFx.of(CV=1, COND=14)) == 0x07E00000
    assert esr.esr(EC.SVC32, 0, il=0) == 0x44000000


def test_a_data_abort_is_decoded() -> None:
    abort = esr.ESR_EL2(0x93C50047).syndrome
    assert isinstance(abort, DataAbort)
    assert (abort.ISV, abort.size, abort.SRT, abort.SF, abort.WnR, abort.register) == (1, 8, 5, 0, 1, "w5")


@given(
    st.tuples(st.integers(0, 3), st.integers(0, 7), st.integers(0, 15), st.integers(0, 15), st.integers(0, 7)),
    st.integers(0, 31),
    st.booleans(),
)
def test_the_form_of_a_trapped_access_agrees_with_the_encoding_module(
    register: encoding.Encoding, rt: int, is_read: bool
) -> None:
    trap = SysregTrap(encoding.iss(register, rt, is_read))
    assert (trap.Op0, trap.Op1, trap.CRn, trap.CRm, trap.Op2) == register
    assert (trap.Rt, trap.Direction) == (rt, is_read)


@given(st.integers(0, (1 << 56) - 1))
def test_any_word_has_a_description_of_one_line(word: int) -> None:
    assert describe(word)
    assert "\n" not in describe(word)


def test_fault_levels() -> None:
    assert [esr.fault_level(status) for status in (0x04, 0x07, 0x0D, 0x16)] == [0, 3, 1, 2]
    assert [esr.fault_level(status) for status in (0x10, 0x21, 0x30, 0x3F)] == [None] * 4
    assert esr.fault_level(0x2B) == -1
    for status, words in esr.FSC_NAMES.items():
        assert (f"level {esr.fault_level(status)}" in words) == (esr.fault_level(status) is not None)


def test_every_class_and_form_is_named() -> None:
    assert set(esr.EC_NAMES) == set(EC)
    assert set(esr.FORMS) <= set(EC)


def test_the_example_in_the_module() -> None:
    assert doctest.testmod(esr).failed == 0
