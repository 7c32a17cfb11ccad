"""Encodings against two assemblers that nobody here wrote: capstone always, binutils where it is installed."""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path

import capstone
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivisor.arch import encoding

WRITE_ONLY = {
    "OSLAR_EL1", "PMSWINC_EL0", "ICC_EOIR0_EL1", "ICC_EOIR1_EL1", "ICC_DIR_EL1", "ICC_SGI0R_EL1", "ICC_SGI1R_EL1",
    "ICC_ASGI1R_EL1",
}  # fmt: skip
CAPSTONE_HAS_NO_NAME = {"ID_DFR1_EL1"}

encodings = st.tuples(st.integers(0, 3), st.integers(0, 7), st.integers(0, 15), st.integers(0, 15), st.integers(0, 7))


def words() -> dict[str, int]:
    """One instruction a name: MRS of registers, MSR of write-only ones, and the system instructions."""
    found = {name: encoding.mrs(0, name) for name in encoding.REGISTERS}
    found |= {name: encoding.msr(name, 0) for name in WRITE_ONLY}
    return found | {name: encoding.sys(name, 0) for name in encoding.INSTRUCTIONS}


def spoken(mnemonic: str, operands: str) -> str:
    """The register or instruction that a disassembler names, upper case: "HCR_EL2", "TLBI VAE1IS"."""
    parts = [part.strip() for part in operands.upper().split(",")]
    if mnemonic in ("mrs", "msr"):
        return parts[1] if mnemonic == "mrs" else parts[0]
    return f"{mnemonic.upper()} {parts[0]}"


def test_every_name_agrees_with_capstone() -> None:
    engine = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)
    for name, word in words().items():
        (found,) = engine.disasm(struct.pack("<I", word), 0)
        if name not in CAPSTONE_HAS_NO_NAME:
            assert spoken(found.mnemonic, found.op_str) == name


@pytest.mark.needs("aarch64-linux-gnu-objdump")
def test_every_name_agrees_with_binutils(tmp_path: Path) -> None:
    image = tmp_path / "words.bin"
    expected = words()
    image.write_bytes(b"".join(struct.pack("<I", word) for word in expected.values()))
    command = ["aarch64-linux-gnu-objdump", "-D", "-b", "binary", "-m", "aarch64", str(image)]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = re.findall(r"^ +[0-9a-f]+:\t[0-9a-f]+ \t(\w+)\t([^\n/]*)", listing, re.MULTILINE)
    assert [spoken(mnemonic, operands) for mnemonic, operands in lines] == list(expected)


def test_the_table_is_large_and_has_no_two_names_for_one_encoding() -> None:
    numbers = [*encoding.REGISTERS.values(), *encoding.INSTRUCTIONS.values()]
    assert len(encoding.REGISTERS) >= 120
    assert len(numbers) == len(set(numbers))


@given(encodings)
def test_names_round_trip_even_when_the_architecture_gives_none(numbers: encoding.Encoding) -> None:
    assert encoding.encoding(encoding.name(numbers)) == numbers


@given(encodings, st.integers(0, 31), st.booleans())
def test_traps_and_words_round_trip(numbers: encoding.Encoding, rt: int, is_read: bool) -> None:
    expected = encoding.SystemAccess(numbers, rt, is_read)
    assert encoding.from_iss(encoding.iss(numbers, rt, is_read)) == expected
    if numbers[0]:
        assert encoding.from_word(encoding.access(numbers, rt, is_read)) == expected


def test_known_words_and_syndromes() -> None:
    assert encoding.mrs(3, "HCR_EL2") == 0xD53C1103  # GNU as: mrs x3, hcr_el2
    assert encoding.sys("TLBI VMALLE1IS") == 0xD508831F  # GNU as: tlbi vmalle1is
    assert encoding.msr("CNTV_CTL_EL0", 0) == 0xD51BE320  # GNU as: msr cntv_ctl_el0, x0
    assert encoding.iss("ID_AA64PFR0_EL1", 0, True) == 0x300009  # mrs x0, id_aa64pfr0_el1: op0 3, CRm 4, read


def test_what_is_no_system_access_is_none() -> None:
    for word in (0xD503201F, 0xD4000002, 0xD65F03C0, 0xD50342DF):  # nop, hvc, ret, msr daifset
        assert encoding.from_word(word) is None


def test_errors_say_what_would_do() -> None:
    with pytest.raises(KeyError, match="S3_0_C1_C0_0"):
        encoding.encoding("NO_SUCH_EL1")
    with pytest.raises(ValueError, match="CRn"):
        encoding.name((3, 0, 16, 0, 0))
    assert encoding.encoding("hcr_el2") == encoding.encoding("S3_4_C1_C1_0")
