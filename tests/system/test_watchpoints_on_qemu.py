"""The same guest under QEMU, which has watchpoints of its own making: the same exceptions for a thousand random accesses.

One watchpoint at a time: of two that match, either address may be reported.

Aligned ones: QEMU splits a misaligned load of a watched page into two aligned ones, and compares bytes that nobody loads.
"""

from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.machine import a64
from tests.machine.test_access import FORMS, INDEX9
from tests.machine.test_debug import KDE, MDE
from tests.machine.watching import EL0, EL1, LOAD, STORE, E, mask
from tests.system.bare import CODE, DATA, VECTORS, boot

UART, LOG = 0x0900_0000, DATA + 0x4_0000
CASES, ROW = 1000, 24
SAY = [a64.LDRB(3, 1), a64.STRW(3, 4), a64.ADD(1, 1, 1), a64.SUBS(2, 2, 1), a64.CBNZ(2, -16)]
OFF = [*a64.MOV(0, 0x8400_0008), a64.HVC(0)]
# A row of the log: ESR_EL1, FAR_EL1, X19, which is the number of the case
NOTE = [a64.mrs(21, "ESR_EL1"), a64.STR(21, 20), a64.mrs(21, "FAR_EL1"), a64.STR(21, 20, 8), a64.STR(19, 20, 16)]
SKIP = [a64.ADD(20, 20, ROW), a64.mrs(21, "ELR_EL1"), a64.ADD(21, 21, 4), a64.msr("ELR_EL1", 21), a64.ERET]


def control(rng: random.Random) -> int:
    """Mostly armed; bytes side by side, or a range."""
    first = rng.randrange(8)
    chosen = ((1 << rng.randint(1, 8 - first)) - 1) << first
    value = rng.choice((LOAD, STORE, LOAD | STORE)) | rng.choice((EL0, EL1, EL1, EL0 | EL1)) | (E if rng.random() < 0.9 else 0)
    return mask(rng.randrange(3, 11)) & ~0x1E | value if rng.random() < 0.5 else chosen << 5 | value


def case(rng: random.Random, number: int) -> list[int]:
    """A watchpoint near an access, the access, and no watchpoint."""
    value, which = control(rng), rng.randrange(4)
    va = DATA + 0x1000 + rng.randrange(0, 128, 8) & -(1 << (value >> 24 & 31))
    words = [*a64.MOV(19, number), *a64.MOV(1, va), *a64.MOV(2, value)]
    words += [a64.msr(f"DBGWVR{which}_EL1", 1), a64.msr(f"DBGWCR{which}_EL1", 2)]
    fixed, free = FORMS[rng.choice([name for name in FORMS if "literal" not in name])]
    offset = rng.getrandbits(32) & free & (~(0xF << 12) if free == INDEX9 else -1)
    word = fixed | offset & ~(0x38 << 10 if free == 0x3F << 10 else 0x78 << 15 if free == 0x7F << 15 else 0)
    words += [*a64.MOV(1, DATA + 0x1000 + rng.randrange(0, 128, 16)), *a64.MOV(2, 16 * rng.randrange(4)), a64.ISB]
    word |= 1 << 5 | 3 | (4 << 10 if word >> 27 & 7 == 5 or word & 0x3F20_0000 == 0x0820_0000 else 0)
    return [*words, word, a64.msr(f"DBGWCR{which}_EL1", 31)]


def program(seed: int) -> list[int]:
    rng = random.Random(seed)
    words = [*a64.MOV(3, VECTORS), a64.msr("VBAR_EL1", 3), *a64.MOV(3, 3 << 20), a64.msr("CPACR_EL1", 3), a64.ISB]
    words += [*a64.MOV(20, LOG), *a64.MOV(4, MDE | KDE), a64.msr("OSLAR_EL1", 31), a64.msr("MDSCR_EL1", 4), a64.MSR_DAIFCLR(8)]
    for number in range(CASES):
        words += case(rng, number)
    words += [*a64.MOV(1, LOG), *a64.MOV(4, UART)]
    return [*words, *a64.MOV(2, CASES * ROW), *SAY, *OFF]


def rows(said: bytes) -> list[tuple[int, ...]]:
    found = [struct.unpack_from("<3Q", said, at) for at in range(0, CASES * ROW, ROW)]
    return [row for row in found if row != (0, 0, 0)]


@pytest.mark.needs("qemu")
@pytest.mark.parametrize("seed", range(2))
def test_the_same_accesses_are_watched(tmp_path: Path, seed: int) -> None:
    words = program(seed)
    hypervisor, persona = boot(words, (VECTORS + 0x200, [*NOTE, *SKIP], np.uint32))
    hypervisor.run(1_000_000_000)
    assert persona.status == "off"
    ours = rows(persona.console)
    image = tmp_path / "image.bin"
    code = np.array(words, np.uint32).tobytes()
    handler = np.array([*NOTE, *SKIP], np.uint32).tobytes()
    image.write_bytes(code.ljust(VECTORS + 0x200 - CODE, b"\0") + handler)
    machine = "-machine virt -cpu cortex-a72 -m 64 -nodefaults -display none -monitor none -serial stdio".split()
    command = ["qemu-system-aarch64", *machine, "-kernel", str(image)]
    theirs = rows(subprocess.run(command, capture_output=True, timeout=120, check=True).stdout)
    assert {esr >> 26 for esr, _, _ in ours} == {0x35}
    assert 0.1 * CASES < len(ours) < 0.9 * CASES
    assert ours == theirs
