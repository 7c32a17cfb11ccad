"""Random programs on both engines: the same registers, memory, exceptions and time, whatever they are made of.

Six words of noise, most of them loads, stores, branches and system instructions, at EL0 and at both kinds of EL1, with
pointers to pages of every permission. Most programs end in an exception soon; that is the point.
"""

from __future__ import annotations

import random

import capstone
import numpy as np

from tests.machine import a64
from tests.machine.rig import CODE, DATA, DATA_EC, EL0T, EL1H, EL1T, S1_EL0, S1_RW, VECTORS, Rig
from tests.machine.test_exceptions import EL0_TOO, EL1_ONLY, FLAGS, NOWHERE, UNMAPPED, user_rig

PROGRAMS, LENGTH, BUDGET = 2500, 6, 200
KINDS = (0x39, 0xB9, 0xF9, 0x38, 0xF8, 0x29, 0xA9, 0x08, 0x88, 0xC8, 0x3D, 0x18, 0x58, 0x54, 0xB4, 0xD5, 0xD6, 0x91)
KINDS += (0xCA, 0xD4, 0x4C)
HOLE = 0x1_0000_0000  # mapped by stage 1, not by stage 2
POINTERS = (0, 1, DATA + 0x100, EL1_ONLY, EL0_TOO - 8, EL0_TOO + 4, CODE, VECTORS, UNMAPPED, HOLE, HOLE + 0xFF8)
POINTERS += (1 << 55, (1 << 64) - 8)
STEERING = (
    "SCTLR_EL1",
    "TCR_EL1",
    "TTBR0_EL1",
    "TTBR1_EL1",
    "MAIR_EL1",
    "VBAR_EL1",
    "CNTKCTL_EL1",
    "HCR_EL2",
    "VTCR_EL2",
)
CLEARED = (
    "ESR_EL1",
    "FAR_EL1",
    "ELR_EL1",
    "SPSR_EL1",
    "FPSR",
    "FPCR",
    "TPIDR_EL0",
    "TPIDR_EL1",
    "PAR_EL1",
    "CSSELR_EL1",
)
CLEARED += ("CNTV_CTL_EL0", "CNTP_CTL_EL0", "CONTEXTIDR_EL1", "MDSCR_EL1", "TPIDRRO_EL0")
COMPARED = ("PC", "PSTATE", "SP_EL0", "SP_EL1", "ESR_EL1", "FAR_EL1", "ELR_EL1", "SPSR_EL1", "V0", "V1", "FPSR")
AREAS = ((CODE, 0x1000), (VECTORS, 0x1000), (DATA, 0x4000))
ISV_FIELDS = 0x1FF_C000
DISASSEMBLER = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)


class Twin:
    """One engine, put back to the same state before each program."""

    def __init__(self, mmu: str) -> None:
        self.rig = user_rig(Rig(mmu))
        self.rig.map(self.rig.core.read("TTBR0_EL1"), HOLE, NOWHERE | S1_RW | S1_EL0, 3)
        self.steering = {name: self.rig.core.read(name) for name in STEERING} | {"CPACR_EL1": 3 << 20}
        self.clean = [self.rig.memory.span(*area).copy() for area in AREAS]

    def run(self, words: list[int], pstate: int, pointers: list[int]) -> list[object]:
        rig, core = self.rig, self.rig.core
        for area, content in zip(AREAS, self.clean, strict=True):
            rig.memory.span(*area)[:] = content
        core.tlbi_all()
        rig.start(words, a64.HVC(0x77), a64.SVC(0x77), pstate=pstate, **self.steering, **dict.fromkeys(CLEARED, 0))
        for number, value in enumerate(pointers):
            core.write(f"X{number}", value)
            core.write(f"V{number}", value)
        core.write("SP_EL0", DATA + 0x800)
        core.write("SP_EL1", DATA + 0x900)
        started = core.now
        reason = rig.run(started + BUDGET)
        esr, far, hpfar = core.syndrome
        if esr >> 26 == DATA_EC:
            esr &= ~ISV_FIELDS  # test_syndrome.py: writeback forms differ
        told = [reason, esr, far, hpfar, core.now - started, core.general(), rig.read(*COMPARED)]
        return told + [rig.memory.span(*area).tobytes() for area in AREAS]


def noise(rng: random.Random) -> int:
    """A word of one of KINDS, nearly always one that is an instruction."""
    while True:
        word = rng.getrandbits(24) | rng.choice(KINDS) << 24
        if rng.random() < 0.02 or any(DISASSEMBLER.disasm_lite(word.to_bytes(4, "little"), 0)):
            return word


def test_random_programs_do_the_same_on_both_engines() -> None:
    rng, seen = random.Random(1), set[object]()
    ours, unicorns = Twin("minivisor"), Twin("unicorn")
    for number in range(PROGRAMS):
        words = [noise(rng) for _ in range(LENGTH)]
        pstate = rng.choice((EL0T, EL1T, EL1H)) | rng.choice((0, FLAGS))
        pointers = [rng.choice(POINTERS) for _ in range(31)]
        told = ours.run(words, pstate, pointers)
        assert told == unicorns.run(words, pstate, pointers), (number, [hex(word) for word in words], hex(pstate))
        seen.add((told[0], told[1], ours.rig.core.read("ESR_EL1") >> 26))
    assert len(seen) > 12  # ways to end


def test_the_comparison_would_notice() -> None:
    """One bit of one register, or of memory."""
    twin = Twin("minivisor")
    pointers = [DATA + 0x100] * 31
    first = twin.run([a64.NOP] * LENGTH, EL1H, pointers)
    assert twin.run([a64.NOP] * LENGTH, EL1H, pointers) == first
    assert twin.run([a64.ADD(7, 7, 1)] + [a64.NOP] * (LENGTH - 1), EL1H, pointers) != first
    assert twin.run([a64.STR(7, 7)] + [a64.NOP] * (LENGTH - 1), EL1H, pointers)[-1] != first[-1]
    assert isinstance(first[5], tuple) and np.uint64(first[5][0]) == DATA + 0x100
