"""Programs for the `fuzz` guest: what a hostile or broken guest might do, weighted, from a seed.

Most of a program is straight-line code that the interpreter enters by ERET (guest-kernels/fuzz/fuzz.h has the layout). Pure
noise would hardly ever hit anything, so most instructions are of a kind that can: a system register with a name, a load
from an address where something is, a hypercall with a function id. About one in ten is noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np

from minivisor.arch.encoding import INSTRUCTIONS, REGISTERS, mrs, msr, sys

__all__ = ["EDIT", "EXECUTE", "RUN", "Program", "generate"]

RUN, EXECUTE, EDIT = range(3)
CODE_WORDS, FILES, OPERATIONS = 0x7F000 // 4, 1024, 4096
EL1H, EL1H_UNMASKED, EL0 = 0x3C5, 0x345, 0x340
RUN_LENGTH = 24

# What the interpreter itself stands on: touched rarely, because it ends the boot more often than not.
DELICATE = {"VBAR_EL1", "SCTLR_EL1", "TCR_EL1", "TTBR0_EL1", "TTBR1_EL1", "MAIR_EL1"}
NAMED = [register for name, register in REGISTERS.items() if name not in DELICATE]
FRAGILE = [REGISTERS[name] for name in sorted(DELICATE)]
ICC = [register for name, register in REGISTERS.items() if name.startswith("ICC_") and name.endswith("_EL1")]
TIMERS = [REGISTERS[f"CNT{kind}_{what}_EL0"] for kind in "PV" for what in ("CTL", "CVAL", "TVAL")]
MAINTENANCE = [encoding for name, encoding in INSTRUCTIONS.items() if name != "DC ZVA"]
PSCI = [0x8400_0000 + n for n in (0, 1, 3, 4, 6, 7, 10, 15)] + [0xC400_0000 + n for n in (1, 3, 4, 7, 14)]
ENDINGS = [0x8400_0002, 0x8400_0008, 0x8400_0009]  # CPU_OFF, SYSTEM_OFF, SYSTEM_RESET
LOADS_AND_STORES = (
    0x3900_0000, 0x3940_0000, 0x3980_0000, 0x7900_0000, 0x7940_0000, 0xB900_0000, 0xB940_0000, 0xF900_0000, 0xF940_0000,
    0x3D00_0000, 0x3DC0_0000, 0xFD40_0000,
)  # fmt: skip
INDEXED = (0x3800_0400, 0x3840_0C00, 0xB800_0C00, 0xB840_0400, 0xF800_0400, 0xF840_0C00, 0xB840_0800, 0xF800_0800)
PAIRS = (0x2900_0000, 0x2940_0000, 0xA940_0000, 0xA8C0_0000, 0xA980_0000, 0x6940_0000, 0xAD40_0000, 0x6D00_0000)
EXCLUSIVES = (
    0x085F_7C00, 0x885F_7C00, 0xC85F_7C00, 0x0800_7C00, 0x8800_7C00, 0xC800_7C00, 0xC87F_0000, 0x08DF_FC00, 0x889F_FC00,
)  # fmt: skip
WFI = 0xD503_207F
HINTS = (0xD503_201F, 0xD503_203F, 0xD503_205F, 0xD503_209F, 0xD503_20BF, 0xD503_305F, 0xD503_3FDF, 0xD503_3F9F)


@dataclass(frozen=True)
class Program:
    """operations: (kind, a, b, c) each; code: uint32 words; files: uint64[FILES, 32], X0..X30 and SP_EL0. seed: or -1."""

    operations: list[tuple[int, int, int, int]]
    code: np.ndarray
    files: np.ndarray
    mmu: bool
    seed: int = -1

    def words(self, first: int, last: int) -> int:
        """How many instructions and edits the operations from `first` up to, not including, `last` are."""
        ends = np.flatnonzero(self.code == 0)
        starts = [a // 4 for kind, a, *_ in self.operations[first:last] if kind == RUN]
        runs = int((ends[np.searchsorted(ends, starts)] - starts).sum()) if starts else 0
        return runs + max(last - first, 0) - len(starts)


def _address(random: Random) -> int:
    """Where something is, or just is not: devices, RAM, the playground, tables, edges, holes, noise."""
    kind = random.randrange(16)
    if kind < 3:
        return 0x0800_0000 + random.randrange(0x1000)  # distributor
    if kind < 5:
        return 0x0801_0000 + random.choice((0, 4, 8, 0xC, 0x10, 0x14, 0x18, 0x1000, 0xFFC)) + random.choice((0, 0, 0, 1))
    if kind < 7:
        return random.choice((0x0900_0000, 0x0901_0000)) + random.randrange(0x50)
    if kind < 10:
        return 0x4034_0000 + random.randrange(0x1_0000)
    if kind < 12:
        return 0x8000_0000 + random.randrange(0x20_0000)
    if kind < 13:
        return 0x4030_4000 + 8 * random.randrange(1024)
    if kind < 14:
        return random.choice((0x0800_0FF8, 0x0800_1000, 0x4040_0000, 0x0900_0FFC, 0x4034_0FFC, 0x8000_0FFC, 0x0A00_0000))
    return random.getrandbits(random.choice((16, 36, 48, 64)))


def _value(random: Random) -> int:
    kind = random.randrange(8)
    if kind < 4:
        return _address(random)
    if kind < 6:
        return random.getrandbits(random.choice((4, 8, 16, 64)))
    return random.choice((0, (1 << 64) - 1, _descriptor(random)))


def _descriptor(random: Random) -> int:
    """A stage-1 descriptor: some right, some to where nothing is, some nonsense."""
    known = 0x4018_0000, 0x4034_0000, 0x4030_5000, 0x0800_0000, 0x0900_0000, 0x8000_0000
    output = random.choice((*known, random.getrandbits(48)))
    return random.choice((0, 1, 3, 3, 3)) | (output & -4096) | random.choice((1 << 10, 0)) | random.getrandbits(4) << 5


def _memory(random: Random) -> int:
    """A load or store of any form; the base is a low register, which register files fill with addresses."""
    kind, rn, rt = random.randrange(10), random.randrange(1, 20), random.randrange(32)
    if kind < 5:
        return random.choice(LOADS_AND_STORES) | random.choice((0, 0, 1, 2)) << 10 | rn << 5 | rt
    if kind < 6:
        return random.choice(INDEXED) | random.randrange(-8, 8) % 512 << 12 | rn << 5 | rt
    if kind < 7:
        return random.choice(PAIRS) | random.randrange(128) << 15 | random.randrange(32) << 10 | rn << 5 | rt
    if kind < 9:
        return random.choice(EXCLUSIVES) | random.randrange(32) << 16 | rn << 5 | rt
    return 0x0800_0000 | random.getrandbits(32) & 0xF5FF_FC00 | rn << 5 | rt


def _system(random: Random) -> int:
    kind, rt = random.randrange(20), random.randrange(20)
    if kind < 8:
        return mrs(rt, random.choice(NAMED))
    if kind < 14:
        return msr(random.choice(NAMED), rt)
    if kind < 15:
        return msr(random.choice(TIMERS), rt)
    if kind < 18:
        return sys(random.choice(MAINTENANCE), rt)
    if kind < 19 or random.random() < 0.95:
        return 0xD500_0000 | random.getrandbits(22)
    return msr(random.choice(FRAGILE), rt)


def _gicv3_word(random: Random) -> int:
    """A register of its CPU interface, most of which work without an exit."""
    register, rt = random.choice(ICC), random.randrange(20)
    return mrs(rt, register) if random.random() < 0.4 else msr(register, rt)


def _gicv3_address(random: Random) -> int:
    """GICD with its routes, and the redistributors up to the one that is not there."""
    routes = 0x0800_6000 + 8 * random.randrange(1024)
    return random.choice((0x0800_0000 + random.randrange(0x1_0000), routes, 0x080A_0000 + random.randrange(0x3_0000)))


def _call(random: Random) -> int:
    return (0xD400_0000 | random.choice((1, 2, 2, 2, 3, 0x20_0000))) | random.choice((0, 0, 0, random.getrandbits(16))) << 5


def _word(random: Random) -> int:
    kind = random.random()
    if kind < 0.40:
        return _memory(random)
    if kind < 0.75:
        return _system(random)
    if kind < 0.83:
        return _call(random)
    if kind < 0.88:
        return random.choice(HINTS) if random.random() < 0.97 else WFI
    if kind < 0.92:
        return 0x8B00_0000 | random.randrange(20) << 16 | random.randrange(20) << 5 | random.randrange(20)
    return random.getrandbits(32)


def _file(random: Random) -> list[int]:
    function = random.choice(PSCI) if random.random() < 0.998 else random.choice(ENDINGS)
    return [function, *(_value(random) for _ in range(31))]


def _pstate(random: Random) -> int:
    """Mostly where the interpreter itself runs; sometimes EL0; now and then anything at all."""
    if random.random() < 0.03:
        return random.getrandbits(32)
    return random.choice((EL1H, EL1H, EL1H_UNMASKED, EL1H_UNMASKED, EL0, EL1H & ~1)) | random.getrandbits(4) << 28


def generate(seed: int, length: int = 10_000, gic: int = 2) -> Program:
    """A program of about `length` instructions and edits. gic: which interrupt controller it knows best."""
    random = Random(seed)
    code = np.zeros(CODE_WORDS, np.uint32)
    operations: list[tuple[int, int, int, int]] = []
    at = 0
    while at < min(length, CODE_WORDS - RUN_LENGTH - 1) and len(operations) < OPERATIONS:
        file, pstate, kind = random.randrange(FILES), _pstate(random), random.random()
        if kind < 0.05:
            operations.append((EDIT, 0x4000 + 8 * random.randrange(1024), _descriptor(random), random.randrange(4)))
        elif kind < 0.08:
            operations.append((EXECUTE, _word(random), file, pstate))
        else:
            words = [_word(random) or 1 for _ in range(random.randrange(1, RUN_LENGTH))]
            if gic == 3:
                words = [_gicv3_word(random) if random.random() < 0.15 else word for word in words]
            code[at : at + len(words)] = words
            operations.append((RUN, 4 * at, file, pstate))
            at += len(words) + 1
    contents = [_file(random) for _ in range(FILES)]
    if gic == 3:
        contents = [[_gicv3_address(random) if random.random() < 0.1 else each for each in file] for file in contents]
    files = np.array(contents, np.uint64)
    return Program(operations, code, files, random.random() < 0.7, seed)
