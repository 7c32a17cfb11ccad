"""Device accesses without a valid syndrome, made by a real guest: the same trace on both engines."""

from __future__ import annotations

import numpy as np

from tests.fuzz.generate import RUN, Program
from tests.fuzz.harness import Arena

UART, FREE_RAM = 0x0900_0000, 0x4034_0000
CODE = (
    0xB800_8423,  # str  w3, [x1], #8        the transmit register, and on to the next but one
    0x2942_1424,  # ldp  w4, w5, [x1, #16]   UARTFR, and a register that is not there
    0x3D80_0026,  # str  q6, [x1]            eight bytes and eight more that the device ignores
    0x885F_7C27,  # ldxr w7, [x1]            an external abort: skipped
    0xA900_1041,  # stp  x1, x4, [x2]
    0x3C01_0426,  # str  b6, [x1], #16
    0xF900_0841,  # str  x1, [x2, #16]
)


def program() -> Program:
    code, files = np.zeros(16, np.uint32), np.zeros((1, 32), np.uint64)
    code[: len(CODE)] = CODE
    files[0, 1:4] = UART, FREE_RAM, ord("H")
    return Program([(RUN, 0, 0, 0x3C5)], code, files, mmu=True)


def run(mmu: str) -> tuple[str, list[int], bytes, int]:
    arena = Arena(mmu)
    arena.run(program())
    ram = arena.fuzz.span(FREE_RAM, 24).view(np.uint64).tolist()
    skipped = int(arena.fuzz.span(0x4010_0018, 8).view(np.uint64)[0])
    return arena.hypervisor.trace.digest(), ram, bytes(arena.fuzz.console), skipped


def test_pairs_writeback_and_simd_on_a_device_are_the_same_on_both_engines() -> None:
    ours, theirs = run("minivisor"), run("unicorn")
    assert ours[1:] == ([UART + 8, 0x90, UART + 24], b"H", 1)
    assert ours == theirs
