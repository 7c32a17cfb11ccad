"""What tests of watchpoints share: controls, a guest with two pages of data, and does an instruction fire."""

from __future__ import annotations

import random

from tests.machine import a64
from tests.machine.rig import DATA, EL1H, PXN, S1_EL0, S1_RW, XN, Rig
from tests.machine.test_debug import KDE, MDE, D
from tests.machine.test_exceptions import user_rig

E, EL1, EL0, LOAD, STORE, LINKED = 1, 1 << 1, 2 << 1, 1 << 3, 2 << 3, 1 << 20
ALL = 0xFF << 5 | STORE | LOAD | EL1 | EL0 | E
DEBUG, WNR = 0x22, 1 << 6  # DFSC "debug exception"; ISS.WnR
NEXT = DATA + 0x1000
LDRB, STRB = a64.LDRB, lambda rt, rn, offset=0: 0x39000000 | offset << 10 | rn << 5 | rt
LDRB_AT = lambda rt, rn, offset: 0x39400000 | offset << 10 | rn << 5 | rt  # noqa: E731
STP, LDP, LD4 = 0xA9000000, 0xA9400000, 0x4C400000  # of X registers; LD4 {v0.16b - v3.16b}
STUR = lambda rt, rn, imm: 0xF8000000 | (imm & 0x1FF) << 12 | rn << 5 | rt  # noqa: E731


def bas(*chosen: int) -> int:
    """A control that watches these of the eight bytes."""
    return ALL & ~(0xFF << 5) | sum(1 << byte for byte in chosen) << 5


def mask(bits: int) -> int:
    return ALL | bits << 24


def two_pages() -> Rig:
    """A guest at EL0 or EL1 with data in two pages side by side."""
    rig = user_rig(Rig())
    lower = rig.core.read("TTBR0_EL1")
    rig.map(lower, NEXT, NEXT | S1_RW | S1_EL0 | XN | PXN, 3)
    return rig


def watch(rig: Rig, va: int, control: int = ALL, number: int = 0, mdscr: int = MDE | KDE) -> None:
    """As a world switch does."""
    rig.core.write("MDSCR_EL1", mdscr)
    rig.core.write(f"DBGWVR{number}_EL1", va)
    rig.core.write(f"DBGWCR{number}_EL1", control)


def fires(rig: Rig, word: int, pstate: int = EL1H & ~D, **registers: int) -> int | None:
    """FAR_EL1 when the instruction is watched, None when it is carried out."""
    rig.start(word, a64.SVC(1), pstate=pstate, **registers)
    rig.vector()
    exception_class = rig.core.read("ESR_EL1") >> 26
    assert exception_class in (0x15, 0x34, 0x35)
    return None if exception_class == 0x15 else rig.core.read("FAR_EL1")


WATCHED_WORD = 0x7F8


def neighbours(seed: int) -> tuple[list[int], dict[str, int]]:
    """Two hundred loads and stores of a page, in one block, but for eight bytes of it; then a call, a loop, exclusives."""
    rng = random.Random(seed)
    words = []
    for _ in range(200):
        register, at = rng.randrange(8, 16), rng.randrange(0, WATCHED_WORD - 8, 8)
        pair = register + 8 << 10
        words.append(
            rng.choice(
                (
                    a64.LDR(register, 1, at),
                    a64.STR(register, 1, at),
                    LDRB_AT(register, 1, rng.choice((at, WATCHED_WORD - 1, WATCHED_WORD + 8))),
                    STRB(register, 1, rng.choice((at, WATCHED_WORD - 1, WATCHED_WORD + 8))),
                    STP | pair | 1 << 5 | register | (at // 8 & 0x1F) << 15,
                    LDP | pair | 1 << 5 | register | (at // 8 & 0x1F) << 15,
                    a64.ADD(register, register, rng.randrange(4096)),
                )
            )
        )
    words += [a64.LDXR(3, 1), a64.ADD(3, 3, 1), a64.STXR(4, 3, 1), a64.SUBS(2, 2, 1), a64.CBNZ(2, -4 * 204)]
    return words, {"X1": DATA, "X2": 3} | {f"X{n}": rng.getrandbits(64) for n in range(8, 24)}
