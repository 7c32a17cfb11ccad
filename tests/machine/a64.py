"""A64 instruction words for test guests: just enough of an assembler, checked against capstone in test_a64.py.

`mrs`, `msr` and `sys` are those of minivisor.arch.encoding. Registers are numbers, 31 is SP or XZR; offsets are bytes.
"""

from __future__ import annotations

from minivisor.arch.encoding import mrs as mrs
from minivisor.arch.encoding import msr as msr
from minivisor.arch.encoding import sys as sys

NOP, ISB, DSB, CLREX, WFI, ERET = 0xD503201F, 0xD5033FDF, 0xD5033F9F, 0xD5033F5F, 0xD503207F, 0xD69F03E0
UDF = 0x00000000


def SVC(imm: int) -> int:
    return 0xD4000001 | imm << 5


def HVC(imm: int) -> int:
    return 0xD4000002 | imm << 5


def SMC(imm: int) -> int:
    return 0xD4000003 | imm << 5


def BRK(imm: int) -> int:
    return 0xD4200000 | imm << 5


def B(offset: int) -> int:
    return 0x14000000 | offset >> 2 & 0x3FFFFFF


def BR(rn: int) -> int:
    return 0xD61F0000 | rn << 5


def CBNZ(rt: int, offset: int) -> int:
    return 0xB5000000 | (offset >> 2 & 0x7FFFF) << 5 | rt


def MOVZ(rd: int, imm: int, shift: int = 0) -> int:
    return 0xD2800000 | shift // 16 << 21 | imm << 5 | rd


def MOV(rd: int, value: int) -> list[int]:
    """Four words that load any 64-bit value."""
    parts = [value >> shift & 0xFFFF for shift in (0, 16, 32, 48)]
    return [MOVZ(rd, parts[0]), *(0xF2800000 | n << 21 | parts[n] << 5 | rd for n in (1, 2, 3))]


def ADD(rd: int, rn: int, imm: int) -> int:
    return 0x91000000 | imm << 10 | rn << 5 | rd


def SUBS(rd: int, rn: int, imm: int) -> int:
    return 0xF1000000 | imm << 10 | rn << 5 | rd


def LDR(rt: int, rn: int, offset: int = 0) -> int:
    return 0xF9400000 | offset // 8 << 10 | rn << 5 | rt


def STR(rt: int, rn: int, offset: int = 0) -> int:
    return 0xF9000000 | offset // 8 << 10 | rn << 5 | rt


def LDRW(rt: int, rn: int, offset: int = 0) -> int:
    return 0xB9400000 | offset // 4 << 10 | rn << 5 | rt


def STRW(rt: int, rn: int, offset: int = 0) -> int:
    return 0xB9000000 | offset // 4 << 10 | rn << 5 | rt


def LDRB(rt: int, rn: int) -> int:
    return 0x39400000 | rn << 5 | rt


def LDTR(rt: int, rn: int, word: bool = False) -> int:
    """LDTR Xt, or Wt when `word`."""
    return (0xB8400800 if word else 0xF8400800) | rn << 5 | rt


def STTR(rt: int, rn: int, word: bool = False) -> int:
    """STTR Xt, or Wt when `word`."""
    return (0xB8000800 if word else 0xF8000800) | rn << 5 | rt


def LDXR(rt: int, rn: int) -> int:
    return 0xC85F7C00 | rn << 5 | rt


def STXR(rs: int, rt: int, rn: int) -> int:
    return 0xC8007C00 | rs << 16 | rn << 5 | rt


def MSR_DAIFSET(imm: int) -> int:
    return 0xD50340DF | imm << 8


def MSR_DAIFCLR(imm: int) -> int:
    return 0xD50340FF | imm << 8


def MSR_SPSEL(imm: int) -> int:
    return 0xD50040BF | imm << 8
