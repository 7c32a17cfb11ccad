"""A corpus of synchronous exceptions: every class that EL1 takes or EL2 receives here, generated, compared between engines.

With its own MMU Unicorn computes every syndrome; `Offsets.syndrome` is where it was measured to keep them. With our walk in the
path it reports no fault at all, and syndromes of aborts are rebuilt (`syndrome.py`, `exceptions.py`, `run.py`). Each case is an
instruction that does not go through, at EL0 or EL1, with random registers and immediates. Both engines must agree about who
takes it, ESR, FAR, HPFAR, the return address and the saved PSTATE.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from minivisor.arch.encoding import REGISTERS
from minivisor.machine.core import SYNC
from tests.machine import a64
from tests.machine.rig import (
    AF,
    CODE,
    DATA,
    EL0T,
    EL1H,
    EL1T,
    HCR,
    PXN,
    RAM,
    S1_EL0,
    S1_RO,
    S1_RW,
    SCTLR,
    VECTORS,
    XN,
    Rig,
)
from tests.machine.test_exceptions import EL1_ONLY, FLAGS, NOWHERE, UNMAPPED, user_rig
from tests.machine.test_syndrome import ORDERED, SINGLE, UNDESCRIBED, WRITEBACK
from tests.machine.test_walk_executed import walk_fault_of_stage_2

CASES, SEED = 3000, 42
VA = 0x1_0000_0000  # pages n below are at VA + n * 4096
HOLE_L2, HOLE_L1, BAD_TABLE = VA + 0x20_0000, UNMAPPED, 0x71_0000_0000
YOUNG, READ_ONLY, NO_L3, S2_HOLE, S2_READ_ONLY, S2_YOUNG, NO_BUS = (VA + n * 4096 for n in range(1, 8))
BLOCK, IPA_YOUNG, IPA_NO_BUS = RAM + 0x60_0000, 0x5000_0000, 0x4000_0000
DATA_ADDRESSES = (HOLE_L1, HOLE_L2, BAD_TABLE, YOUNG, READ_ONLY, NO_L3, S2_HOLE, S2_READ_ONLY, S2_YOUNG, EL1_ONLY, 1 << 55)
FETCH_ADDRESSES = (HOLE_L1, HOLE_L2, BAD_TABLE, YOUNG, NO_L3, S2_HOLE, S2_YOUNG, DATA, EL1_ONLY, 1 << 55)
LEVELS = (EL0T, EL1T, EL1H)
ACCESSES = [*SINGLE, *ORDERED, *WRITEBACK, *UNDESCRIBED]
TRAPS = {  # HCR_EL2 bit -> instructions at EL1 that it sends to EL2; Rt is added
    1 << 18: [a64.mrs(0, name) for name in ("ID_AA64PFR0_EL1", "ID_AA64MMFR0_EL1", "ID_AA64ISAR0_EL1", "ID_AA64DFR0_EL1")],
    1 << 26: [a64.msr(name, 0) for name in ("SCTLR_EL1", "TTBR0_EL1", "TTBR1_EL1", "TCR_EL1", "MAIR_EL1", "CONTEXTIDR_EL1")],
    1 << 30: [a64.mrs(0, name) for name in ("SCTLR_EL1", "TTBR0_EL1", "TCR_EL1", "ESR_EL1", "FAR_EL1")],
    1 << 25: [a64.sys(f"TLBI {form}", 0) for form in ("VMALLE1", "VAE1", "ASIDE1IS", "VAALE1IS")],
    1 << 28: [a64.sys("DC ZVA", 0)],
    1 << 22: [a64.sys(f"DC {form}", 0) for form in ("ISW", "CSW", "CISW")],
    1 << 21: [a64.mrs(0, "ACTLR_EL1"), a64.msr("ACTLR_EL1", 0)],
    1 << 24: [a64.sys("IC IVAU", 0), a64.sys("DC CVAU", 0)],
}
MONITORS = [a64.mrs(0, "PMCCNTR_EL0"), a64.msr("PMCR_EL0", 0), a64.mrs(0, "PMCNTENSET_EL0")]
AT_EL0 = [a64.mrs(0, "CTR_EL0"), a64.sys("DC ZVA", 0), a64.sys("IC IVAU", 0), a64.sys("DC CVAU", 0), a64.sys("DC CIVAC", 0)]
NOT_FOR_EL0 = [a64.mrs(0, "TTBR0_EL1"), a64.msr("VBAR_EL1", 0), a64.HVC(1), a64.SMC(1), a64.sys("TLBI VMALLE1")]
# HLT, DCPS1, LDADDAL (ARMv8.1), two that are nothing, and what is EL2's: TLBI ALLE2, TLBI IPAS2E1, AT S12E1R, HCR_EL2
UNALLOCATED = [0xD440_0000, 0xD4A0_0001, 0xB8E0_0020, 0x0000_0000, 0x0400_0000]
UNALLOCATED += [a64.sys((1, 4, 8, 7, 0)), a64.sys((1, 4, 8, 4, 1)), a64.sys((1, 4, 7, 8, 4)), a64.mrs(0, "HCR_EL2")]


@dataclass
class Case:
    """One instruction, and what is different from `user_rig` when it runs."""

    word: int
    pstate: int
    registers: dict[str, int] = field(default_factory=dict)


def any_level(rng: random.Random) -> int:
    return rng.choice(LEVELS) | rng.choice((0, FLAGS))


def numbered(make: Callable[[int], int], pstates: tuple[int, ...]) -> Callable[[random.Random], Case]:
    return lambda rng: Case(make(rng.getrandbits(16)), rng.choice(pstates))


def access(rng: random.Random) -> Case:
    return Case(rng.choice(ACCESSES), any_level(rng), {"X1": rng.choice(DATA_ADDRESSES) + 8 * rng.randrange(8), "X2": 0})


def fetch(rng: random.Random) -> Case:
    return Case(a64.BR(1), any_level(rng), {"X1": rng.choice(FETCH_ADDRESSES) + 4 * rng.randrange(64)})


def misaligned_branch(rng: random.Random) -> Case:
    return Case(a64.BR(1), any_level(rng), {"X1": rng.choice((CODE, UNMAPPED, YOUNG)) + rng.choice((1, 2, 3))})


def misaligned_exclusive(rng: random.Random) -> Case:
    return Case(rng.choice((a64.LDXR(3, 1), 0xC85F_FC23)), any_level(rng), {"X1": DATA + rng.randrange(1, 8)})


def trap(rng: random.Random) -> Case:
    bit = rng.choice(list(TRAPS))
    return Case(rng.choice(TRAPS[bit]) | rng.randrange(32), rng.choice((EL1T, EL1H)), {"HCR_EL2": HCR | bit})


def monitor(rng: random.Random) -> Case:
    return Case(rng.choice(MONITORS) | rng.randrange(32), rng.choice((EL1T, EL1H)), {"MDCR_EL2": 1 << 6 | 1 << 5})


def breakpoint(rng: random.Random) -> Case:
    registers = {"MDSCR_EL1": 1 << 15 | 1 << 13, "DBGBVR1_EL1": CODE, "DBGBCR1_EL1": 0xF << 5 | 3 << 1 | 1}
    return Case(a64.NOP, any_level(rng) & ~(1 << 9), registers)


def step(rng: random.Random) -> Case:
    target = rng.choice((EL0T, EL1H)) & ~(1 << 9) | 1 << 21
    return Case(a64.ERET, EL1H, {"MDSCR_EL1": 1 << 13 | 1, "SPSR_EL1": target, "ELR_EL1": CODE + 0x40})


MAKERS: dict[str, Callable[[random.Random], Case]] = {
    "load or store": access,
    "fetch": fetch,
    "branch to a misaligned address": misaligned_branch,
    "misaligned exclusive": misaligned_exclusive,
    "SVC": numbered(a64.SVC, LEVELS),
    "BRK": numbered(a64.BRK, LEVELS),
    "BRK for EL2": lambda rng: Case(a64.BRK(rng.getrandbits(16)), any_level(rng), {"MDCR_EL2": 1 << 8}),
    "HVC": numbered(a64.HVC, (EL1T, EL1H)),
    "SMC": numbered(a64.SMC, (EL1T, EL1H)),
    "WFI": lambda rng: Case(a64.WFI, any_level(rng)),
    "trapped to EL2": trap,
    "performance monitor": monitor,
    "EL0 without leave": lambda rng: Case(rng.choice(AT_EL0) | rng.randrange(31), EL0T, {"X1": EL1_ONLY}),
    "not for EL0": lambda rng: Case(rng.choice(NOT_FOR_EL0), EL0T),
    "unallocated": lambda rng: Case(rng.choice(UNALLOCATED), any_level(rng)),
    "breakpoint": breakpoint,
    "step": step,
}
TO_EL1 = {0x00, 0x01, 0x15, 0x18, 0x20, 0x21, 0x22, 0x24, 0x25, 0x30, 0x31, 0x32, 0x33, 0x3C}
TO_EL2 = {0x01, 0x16, 0x17, 0x18, 0x20, 0x24, 0x3C}
ABORTS = {0x20, 0x21, 0x22, 0x24, 0x25}


class Engine:
    """One engine, put back to the same state before each case."""

    def __init__(self, mmu: str) -> None:
        self.rig = user_rig(Rig(mmu))
        rig, lower = self.rig, self.rig.core.read("TTBR0_EL1")
        user = S1_EL0 | XN | PXN
        rig.map(lower, YOUNG, DATA | S1_RW & ~AF | S1_EL0, 3)
        for va, ipa, attributes in (
            (READ_ONLY, DATA, S1_RO | user),
            (S2_HOLE, NOWHERE, S1_RW | S1_EL0),
            (S2_READ_ONLY, BLOCK, S1_RW | user),
            (S2_YOUNG, IPA_YOUNG, S1_RO | S1_EL0),
        ):
            rig.map(lower, va, ipa | attributes, 3)
        rig.map(lower, NO_L3, 0, 3)
        rig.memory.write(rig.map(lower, NO_L3, 0, 3), 0)
        rig.memory.write(lower + 8 * (BAD_TABLE >> 30), NOWHERE + 0x4000 | 3)
        rig.map(rig.stage2, BLOCK, BLOCK | AF | 1 << 6 | XN, 2)
        rig.map(rig.stage2, IPA_YOUNG, BLOCK | 3 << 6, 2)
        self.defaults = {name: rig.core.read(name) for name in ("TTBR0_EL1", "TTBR1_EL1", "TCR_EL1", "MAIR_EL1", "VTCR_EL2")}
        self.defaults |= {"HCR_EL2": HCR, "MDCR_EL2": 0, "SCTLR_EL1": SCTLR | 1, "VBAR_EL1": VECTORS, "CPACR_EL1": 3 << 20}
        debug, taken = ("MDSCR_EL1", "DBGBVR1_EL1", "DBGBCR1_EL1"), ("ESR_EL1", "FAR_EL1", "ELR_EL1", "SPSR_EL1")
        self.defaults |= dict.fromkeys((*debug, *taken), 0)
        self.data = rig.memory.span(DATA, 0x4000).copy()

    def run(self, case: Case) -> tuple[object, ...]:
        """("EL1", offset, ESR, FAR of an abort, ELR, SPSR) or ("EL2", ESR, FAR and HPFAR of an abort, PC, PSTATE)."""
        rig, core = self.rig, self.rig.core
        rig.memory.span(DATA, 0x4000)[:] = self.data
        core.tlbi_all()
        general = {f"X{n}": DATA + 8 * n for n in range(31)}
        rig.start(case.word, a64.HVC(0x99), a64.SVC(0x99), pstate=case.pstate, **(self.defaults | general | case.registers))
        rig.load([a64.NOP, a64.HVC(0x98)], CODE + 0x40)
        assert rig.run(core.now + 100) == SYNC, case
        esr, far, hpfar = core.syndrome
        if VECTORS <= core.read("PC") <= VECTORS + 0x1000 and esr >> 26 == 0x16:
            taken = core.read("ESR_EL1")
            address = core.read("FAR_EL1") if taken >> 26 in ABORTS else 0
            return "EL1", (esr & 0xFFFF) - 0x100, taken, address, *rig.read("ELR_EL1", "SPSR_EL1")
        where = (far, hpfar) if esr >> 26 in ABORTS else ()
        return "EL2", walk_fault_of_stage_2(esr, far)[0], *where, *rig.read("PC", "PSTATE")


@pytest.fixture(scope="module")
def outcomes() -> list[tuple[Case, tuple[object, ...], tuple[object, ...]]]:
    """Every case, and what either engine did."""
    rng, ours, unicorns = random.Random(SEED), Engine("minivisor"), Engine("unicorn")
    kinds = list(MAKERS)
    cases = [MAKERS[kinds[n % len(kinds)] if n % 2 else rng.choice(("load or store", "fetch"))](rng) for n in range(CASES)]
    mine = [ours.run(case) for case in cases]
    return list(zip(cases, mine, map(unicorns.run, cases), strict=True))


def test_both_engines_agree_on_every_exception(outcomes: list[tuple[Case, tuple[object, ...], tuple[object, ...]]]) -> None:
    different = [f"{case} gave {ours}, and Unicorn {theirs}" for case, ours, theirs in outcomes if ours != theirs]
    assert different == []


def test_every_class_is_among_them(outcomes: list[tuple[Case, tuple[object, ...], tuple[object, ...]]]) -> None:
    """And aborts of every cause, at every level that can be reached."""
    seen, causes = Counter[tuple[object, int]](), Counter[tuple[object, int]]()
    for _case, (level, *rest), _theirs in outcomes:
        esr = rest[1] if level == "EL1" else rest[0]
        assert isinstance(esr, int)
        seen[level, esr >> 26] += 1
        if esr >> 26 in ABORTS - {0x22}:
            causes[level, esr & 0x3F] += 1
    assert {ec for level, ec in seen if level == "EL1"} == TO_EL1
    assert {ec for level, ec in seen if level == "EL2"} == TO_EL2
    assert {cause for level, cause in causes if level == "EL1"} >= {0x04, 0x05, 0x06, 0x07, 0x0B, 0x0F, 0x21}
    assert {cause for level, cause in causes if level == "EL2"} >= {0x06, 0x0A, 0x0E}
    assert min(seen.values()) > 5


def test_no_register_is_left_out() -> None:
    """What a case may write is a register that the core knows."""
    rng = random.Random(SEED)
    named = {name for make in MAKERS.values() for _ in range(20) for name in make(rng).registers if not name.startswith("X")}
    assert named and all(name in REGISTERS for name in named)
