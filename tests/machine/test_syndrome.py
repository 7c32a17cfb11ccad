"""The syndrome of a stage-2 data abort: ISS[24:14], rebuilt from the instruction, on both engines (DDI 0487, ESR_EL2).

What each form must give is read off capstone's spelling of it, so the oracle knows no encodings.
"""

from __future__ import annotations

import re

import capstone
import pytest

from tests.machine import a64
from tests.machine.rig import CODE, DATA_EC, RAM, SIZE, Rig
from tests.machine.test_exceptions import NOWHERE


@pytest.fixture(params=["minivisor", "unicorn"])
def rig(request: pytest.FixtureRequest) -> Rig:
    return Rig(request.param)


RT, RN, RM = 3, 1, 2
OFFSETS = {  # addressing mode -> bits beside size and opc
    "unsigned offset": 0x3900_0000,
    "unscaled": 0x3800_0000,
    "unprivileged": 0x3800_0800,
    "register offset": 0x3820_6800 | RM << 16,
}
ALLOCATED = [
    (size, opc) for size in range(4) for opc in range(4) if not (size >= 2 and opc == 3) and (size, opc) != (3, 2)
]
SINGLE = [base | size << 30 | opc << 22 | RN << 5 | RT for base in OFFSETS.values() for size, opc in ALLOCATED]
ORDERED = [0x0880_FC00 | size << 30 | load << 22 | 31 << 16 | RN << 5 | RT for size in range(4) for load in (0, 1)]
ZERO_REGISTER = [0xF900_0000 | RN << 5 | 31, 0x3940_0000 | RN << 5 | 31]
WRITEBACK = [
    base | size << 30 | opc << 22 | RN << 5 | RT for base in (0x3800_0400, 0x3800_0C00) for size, opc in ALLOCATED
]
UNDESCRIBED = [
    *(0xA940_0000 | 4 << 10 | RN << 5 | RT, 0xA900_0000 | 4 << 10 | RN << 5 | RT, 0x2940_0000 | 4 << 10 | RN << 5 | RT),
    # LDR, STR of B, Q, D
    *(0x3D40_0000 | RN << 5, 0x3D80_0000 | RN << 5, 0xFD40_0000 | RN << 5, 0xFD00_0000 | RN << 5),
    *(0xAD40_0000 | 4 << 10 | RN << 5, 0x4C40_7000 | RN << 5),  # LDP of Q, LD1
    *(a64.LDXR(RT, RN), 0xC85F_FC00 | RN << 5 | RT, a64.sys("DC ZVA", RN)),  # LDXR, LDAXR
]


def spelled(word: int) -> tuple[str, str]:
    (instruction,) = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM).disasm(word.to_bytes(4, "little"), CODE)
    return instruction.mnemonic, instruction.op_str


def syndrome(word: int) -> int:
    """ISS[24:14] and WnR, read off capstone's spelling: an oracle that knows no encodings."""
    mnemonic, operands = spelled(word)
    register = operands.split(",")[0]
    stem = re.fullmatch(r"(ldap?r?|ldt?r|ldur|stlr|str|stur|sttr|ldtr|ldar)(s?)([bhw]?)", mnemonic)
    assert stem, mnemonic
    _, signed, suffix = stem.groups()
    size = {"b": 0, "h": 1, "w": 2}.get(suffix, 3 if register[0] == "x" else 2)
    number = 31 if register.endswith("zr") else int(register[1:])
    ordered, write = mnemonic.startswith(("ldar", "stlr")), mnemonic.startswith("st")
    iss = 1 << 24 | size << 22 | bool(signed) << 21 | number << 16 | (register[0] == "x") << 15 | ordered << 14
    return iss | write << 6


def abort_of(rig: Rig, word: int) -> int:
    """The ISS of the stage-2 data abort that one instruction takes."""
    rig.start(word, X1=NOWHERE, X2=0, X3=0x55)
    ec, iss = rig.exit()
    assert ec == DATA_EC
    assert rig.core.read("PC") == CODE
    return iss


def test_the_syndrome_of_every_single_register_load_and_store(rig: Rig) -> None:
    for word in SINGLE + ORDERED + ZERO_REGISTER:
        assert abort_of(rig, word) == syndrome(word) | 5, spelled(word)
    assert rig.core.syndrome[1:] == (NOWHERE, NOWHERE >> 8)


def test_the_syndrome_of_literal_loads(rig: Rig) -> None:
    end = RAM + SIZE
    for word, iss in (
        (0x1800_0083, 2 << 22),
        (0x5800_0083, 3 << 22 | 1 << 15),
        (0x9800_0083, 2 << 22 | 1 << 21 | 1 << 15),
    ):
        rig.start(word, at=end - 16)
        assert rig.exit() == (DATA_EC, 1 << 24 | iss | 3 << 16 | 6)
        assert rig.core.syndrome[1:] == (end, end >> 8)


def test_pairs_vectors_and_exclusives_have_no_syndrome(rig: Rig) -> None:
    rig.core.write("CPACR_EL1", 3 << 20)
    for word in UNDESCRIBED:
        write = spelled(word)[0].startswith(("st", "dc"))
        assert abort_of(rig, word) == write << 6 | 5, spelled(word)


def test_writeback_has_no_syndrome_and_writes_nothing_back(rig: Rig) -> None:
    """Unicorn's own MMU describes these forms (ISV=1), and hardware does not: the run loop takes that away."""
    for word in WRITEBACK:
        assert abort_of(rig, word) == spelled(word)[0].startswith("st") << 6 | 5, spelled(word)
        assert rig.read("X1", "X3") == (NOWHERE, 0x55)


def test_a_prefetch_faults_nowhere(rig: Rig) -> None:
    rig.start(0xF980_0000 | RN << 5, a64.HVC(1), X1=NOWHERE)  # prfm pldl1keep, [x1]
    assert rig.hvc() == 1
