"""What identification registers say is so: a feature they have runs, one they have not is UNDEFINED, on either engine.

A guest reads the registers and executes one instruction of each feature that has instructions, or registers, of its own.
What has none is tried where it belongs: granules, ASIDs and address sizes in `tests/machine/test_walk_executed.py` and
`test_tlb.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from tests.machine import a64
from tests.system.bare import DATA, VECTORS, boot, words_at

ID_SPACE = {
    "PFR0": (4, 0),
    "PFR1": (4, 1),
    "DFR0": (5, 0),
    "ISAR0": (6, 0),
    "ISAR1": (6, 1),
    "MMFR1": (7, 1),
    "MMFR2": (7, 2),
}
UNDEFINED, RAN = 0xDEAD, 0


def system(op0: int, op1: int, crn: int, crm: int, op2: int) -> int:
    """MRS X0 of a register by its five numbers (DDI 0487, C5.1.2)."""
    return 0xD530_0000 | (op0 - 2) << 19 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5


class Feature(NamedTuple):
    """It is there when the field of four bits at `lsb` of ID_AA64<register>_EL1 is at least `least` (DDI 0487, D17.2)."""

    name: str
    register: str
    lsb: int
    least: int
    word: int
    signed: bool = False


FEATURES = [
    Feature("FADD D", "PFR0", 16, 0, 0x1E602800, signed=True),
    Feature("FADD H", "PFR0", 16, 1, 0x1EE02800, signed=True),
    Feature("ADD V.4S", "PFR0", 20, 0, 0x4EA08400, signed=True),
    Feature("FADD V.8H", "PFR0", 20, 1, 0x4E401400, signed=True),
    Feature("MRS ICC_CTLR_EL1", "PFR0", 24, 1, system(3, 0, 12, 12, 4)),
    Feature("MRS ERRIDR_EL1", "PFR0", 28, 1, system(3, 0, 5, 3, 0)),
    Feature("RDVL", "PFR0", 32, 1, 0x04BF5020),
    Feature("MRS MPAM1_EL1", "PFR0", 40, 1, system(3, 0, 10, 5, 0)),
    Feature("MRS AMCR_EL0", "PFR0", 44, 1, system(3, 3, 13, 2, 0)),
    Feature("MSR DIT", "PFR0", 48, 1, 0xD503415F),
    Feature("MRS SCXTNUM_EL1", "PFR0", 56, 2, system(3, 0, 13, 0, 7)),
    Feature("MRS SSBS", "PFR1", 4, 2, system(3, 3, 4, 2, 6)),
    Feature("IRG", "PFR1", 8, 1, 0x9ADF1020),
    Feature("MRS PMCR_EL0", "DFR0", 8, 1, system(3, 3, 9, 12, 0)),
    Feature("MRS TRFCR_EL1", "DFR0", 40, 1, system(3, 0, 1, 2, 1)),
    Feature("MRS PMSIDR_EL1", "DFR0", 32, 1, system(3, 0, 9, 9, 7)),
    *(Feature(f"MRS DBGBVR{n}_EL1", "DFR0", 12, n, system(2, 0, 0, n, 4)) for n in range(16)),
    *(Feature(f"MRS DBGBCR{n}_EL1", "DFR0", 12, n, system(2, 0, 0, n, 5)) for n in range(16)),
    *(Feature(f"MRS DBGWVR{n}_EL1", "DFR0", 20, n, system(2, 0, 0, n, 6)) for n in range(16)),
    *(Feature(f"MRS DBGWCR{n}_EL1", "DFR0", 20, n, system(2, 0, 0, n, 7)) for n in range(16)),
    Feature("AESE", "ISAR0", 4, 1, 0x4E284820),
    Feature("PMULL 1Q", "ISAR0", 4, 2, 0x0EE2E020),
    Feature("SHA1C", "ISAR0", 8, 1, 0x5E020020),
    Feature("SHA256H", "ISAR0", 12, 1, 0x5E024020),
    Feature("SHA512H", "ISAR0", 12, 2, 0xCE628020),
    Feature("CRC32B", "ISAR0", 16, 1, 0x1AC24020),
    Feature("LDADD", "ISAR0", 20, 2, 0xB8200041),
    Feature("CAS", "ISAR0", 20, 2, 0x88A07C41),
    Feature("SQRDMLAH", "ISAR0", 28, 1, 0x6E828420),
    Feature("EOR3", "ISAR0", 32, 1, 0xCE020C20),
    Feature("SM3SS1", "ISAR0", 36, 1, 0xCE420C20),
    Feature("SM4E", "ISAR0", 40, 1, 0xCEC08420),
    Feature("UDOT", "ISAR0", 44, 1, 0x6E829420),
    Feature("FMLAL", "ISAR0", 48, 1, 0x4E22EC20),
    Feature("CFINV", "ISAR0", 52, 1, 0xD500401F),
    Feature("AXFLAG", "ISAR0", 52, 2, 0xD500405F),
    Feature("TLBI VMALLE1OS", "ISAR0", 56, 1, 0xD508811F),
    Feature("MRS RNDR", "ISAR0", 60, 1, system(3, 3, 2, 4, 0)),
    Feature("DC CVAP", "ISAR1", 0, 1, 0xD50B7C22),
    Feature("PACIA", "ISAR1", 4, 1, 0xDAC10020),
    Feature("FJCVTZS", "ISAR1", 12, 1, 0x1E7E0000),
    Feature("FCADD", "ISAR1", 16, 1, 0x6E82E420),
    Feature("LDAPR", "ISAR1", 20, 1, 0xB8BFC040),
    Feature("LDAPUR", "ISAR1", 20, 2, 0x99400040),
    Feature("FRINT32Z", "ISAR1", 32, 1, 0x1E684000),
    Feature("SB", "ISAR1", 36, 1, 0xD50330FF),
    Feature("MRS LORC_EL1", "MMFR1", 16, 1, system(3, 0, 10, 4, 3)),
    Feature("MSR PAN", "MMFR1", 20, 1, 0xD500419F),
    Feature("AT S1E1RP", "MMFR1", 20, 2, 0xD5087902),
    Feature("MSR UAO", "MMFR2", 4, 1, 0xD500417F),
    Feature("MRS CCSIDR2_EL1", "MMFR2", 20, 1, system(3, 1, 0, 0, 2)),
]
WORTH_A_LOOK = {"ADD V.4S", "AESE", "PMULL 1Q", "SHA1C", "SHA256H", "CRC32B", "MRS DBGBVR5_EL1", "MRS DBGWVR3_EL1"}


def id_register(name: str) -> int:
    crm, op2 = ID_SPACE[name]
    return system(3, 0, 0, crm, op2)


def program() -> list[int]:
    """X20: where the next result goes. The handler of an UNDEFINED instruction leaves word of it in X9 and goes on."""
    words = [*a64.MOV(0, VECTORS), a64.msr("VBAR_EL1", 0), a64.ISB, *a64.MOV(20, DATA), *a64.MOV(2, DATA + 0x8000)]
    words += [*a64.MOV(0, 3 << 20), a64.msr("CPACR_EL1", 0), a64.ISB]
    for name in ID_SPACE:
        words += [id_register(name), a64.STR(0, 20), a64.ADD(20, 20, 8)]
    for feature in FEATURES:
        words += [a64.MOVZ(9, RAN), feature.word, a64.STR(9, 20), a64.ADD(20, 20, 8)]
    return [*words, a64.MOVZ(9, 0x600D), a64.STR(9, 20), a64.B(0)]


def handler() -> list[int]:
    """Current EL with SP_ELx, synchronous, at 0x200: EC 0 is an UNDEFINED instruction, anything else ends the run."""
    words = [a64.mrs(10, "ESR_EL1"), 0xD35AFD4A, a64.CBNZ(10, 0)]  # lsr x10, x10, #26
    words += [a64.MOVZ(9, UNDEFINED), a64.mrs(11, "ELR_EL1"), a64.ADD(11, 11, 4), a64.msr("ELR_EL1", 11), a64.ERET]
    return words


@pytest.mark.parametrize("gic", [2, 3])
@pytest.mark.parametrize("mmu", ["minivisor", "unicorn"])
def test_each_feature_is_there_if_and_only_if_its_register_says_so(mmu: str, gic: int) -> None:
    hypervisor, persona = boot(program(), (VECTORS + 0x200, handler(), np.uint32), mmu=mmu, gic=gic)
    hypervisor.run(1_000_000)
    count = len(ID_SPACE)
    *found, last = words_at(persona, DATA, count + len(FEATURES) + 1)
    assert last == 0x600D, persona.report
    values = dict(zip(ID_SPACE, found, strict=False))
    wrong, there = [], set()
    for feature, came in zip(FEATURES, found[count:], strict=True):
        field = values[feature.register] >> feature.lsb & 0xF
        says = (field - 16 if feature.signed and field > 7 else field) >= feature.least
        there |= {feature.name} if came == RAN else set()
        if says != (came == RAN):
            wrong.append(
                f"{feature.name}: {'runs' if came == RAN else 'UNDEFINED'}, field {field} of {feature.register}"
            )
    assert not wrong, "\n".join(wrong)
    assert there >= WORTH_A_LOOK and ("MRS ICC_CTLR_EL1" in there) == (gic == 3)


def test_what_the_id_space_has_beyond_these_reads_as_zero() -> None:
    """op0 3, op1 0, CRn 0, CRm 1 to 7: AArch32's registers, and those that were not yet there (DDI 0487, D17.2)."""
    shown = {(4, 0), (5, 0), (6, 0), (7, 0)}
    places = [(crm, op2) for crm in range(1, 8) for op2 in range(8)]
    words = [*a64.MOV(20, DATA)]
    for crm, op2 in places:
        words += [system(3, 0, 0, crm, op2), a64.STR(0, 20), a64.ADD(20, 20, 8)]
    hypervisor, persona = boot([*words, a64.B(0)])
    hypervisor.run(1_000_000)
    found = dict(zip(places, words_at(persona, DATA, len(places)), strict=True))
    assert {place for place, value in found.items() if value} == shown
