"""Loads and stores that come without a valid syndrome, decoded from the instruction.

A data abort describes its access (ISS.ISV) only when one general register moves and the base stays as it is. For a pair,
a writeback or a SIMD register the hardware says where, but not what; EL2 has to read the instruction and see for itself:

    LDP STP LDPSW LDNP STNP        two registers, side by side          with [Xn, #imm]!  and [Xn], #imm too
    LDR STR … with writeback       one register, and the base after it
    LDR STR of B H S D Q           one SIMD register, in any addressing mode

Everything else has no place on a device: exclusives, atomics and vector structures may be answered with an external abort
(DDI 0487, B2.9 and B2.12), and are. A Q register is two accesses of eight bytes, the low half first.

Source: DDI 0487, C4.1 "Loads and Stores". Pure: a word and a way to read registers in, plain data out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["Sequence", "Transfer", "decode"]

MASK64 = (1 << 64) - 1
POST, OFFSET, PRE = 1, 2, 3  # bits 24:23 of a pair; 0 is "no allocate", an offset too

Read = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Transfer:
    """One access: `width` bytes (1, 2, 4, 8) at virtual address `va`, from or to bit `shift` of `register`, "" for XZR."""

    va: int
    width: int
    register: str
    shift: int = 0
    sign_extend: bool = False
    sixty_four: bool = True


@dataclass(frozen=True, slots=True)
class Sequence:
    """What an instruction does, in order. writeback: the base register and its value when all transfers are done."""

    write: bool
    transfers: tuple[Transfer, ...]
    writeback: Mapping[str, int] = field(default_factory=dict)


def decode(word: int, read: Read) -> Sequence | None:
    """The accesses of one instruction, None for a form that devices do not answer.

    word: the instruction. read: a register's value by name, "X0".."X30", "SP" (the one in use).
    """
    if word & 0x3A00_0000 == 0x2800_0000:
        return _pair(word, read)
    if word & 0x3B20_0400 == 0x3800_0400:
        return _single(word, read, _signed(word >> 12, 9), POST if word >> 11 & 1 == 0 else PRE)
    if word & 0x3F00_0000 == 0x3D00_0000:
        return _single(word, read, (word >> 10 & 0xFFF) * _width(word), OFFSET)
    if word & 0x3F20_0C00 == 0x3C00_0000:
        return _single(word, read, _signed(word >> 12, 9), OFFSET)
    if word & 0x3F20_0C00 == 0x3C20_0800:
        return _single(word, read, _extended(word, read), OFFSET)
    return None


#     31 30 29  27 26 25  23  22  21    15 14  10 9  5 4  0
#    +-----+-----+--+------+---+----------+------+----+----+
#    | opc | 101 |V | mode | L |   imm7   |  Rt2 | Rn | Rt |
#    +-----+-----+--+------+---+----------+------+----+----+
def _pair(word: int, read: Read) -> Sequence | None:
    opc, vector, mode, load = word >> 30, word >> 26 & 1, word >> 23 & 3, word >> 22 & 1
    signed = not vector and opc == 1
    if opc == 3 or (signed and (not load or mode == 0)):
        return None  # unallocated, or a tagged store that this core does not have
    width = 4 << opc if vector else (8 if opc == 2 else 4)
    va, writeback = _address(word, read, _signed(word >> 15, 7) * width, mode)
    halves = []
    for number, at in ((word & 31, va), (word >> 10 & 31, va + width)):
        halves += _transfers(number, at, width, vector, signed, signed or width == 8)
    return Sequence(not load, tuple(halves), writeback)


def _single(word: int, read: Read, offset: int, mode: int) -> Sequence | None:
    vector, opc, size = word >> 26 & 1, word >> 22 & 3, word >> 30
    width = _width(word)
    if width > 16 or (not vector and (size, opc) in ((2, 3), (3, 2), (3, 3))):
        return None
    va, writeback = _address(word, read, offset, mode)
    signed = not vector and opc >= 2
    sixty_four = opc == 2 if signed else size == 3
    transfers = _transfers(word & 31, va, width, vector, signed, sixty_four)
    return Sequence(not opc & 1 if vector else opc == 0, tuple(transfers), writeback)


def _transfers(number: int, va: int, width: int, vector: int, signed: bool, sixty_four: bool) -> list[Transfer]:
    if not vector:
        return [Transfer(va & MASK64, width, f"X{number}" if number != 31 else "", 0, signed, sixty_four)]
    pieces = [(at, min(width, 8)) for at in range(0, width, 8)]
    return [Transfer(va + at & MASK64, piece, f"V{number}", 8 * at) for at, piece in pieces]


def _width(word: int) -> int:
    """Bytes of a single register: opc<1> extends the size of a SIMD register to Q."""
    return 1 << (word >> 30 | (word >> 23 & 1) << 2 if word >> 26 & 1 else word >> 30)


def _address(word: int, read: Read, offset: int, mode: int) -> tuple[int, dict[str, int]]:
    """(address of the first byte, what becomes of the base register)."""
    number = word >> 5 & 31
    name = "SP" if number == 31 else f"X{number}"
    base = read(name)
    moved = base + offset & MASK64
    return base if mode == POST else moved, {name: moved} if mode in (POST, PRE) else {}


def _extended(word: int, read: Read) -> int:
    """The index of a register offset: option UXTW 2, LSL 3, SXTW 6, SXTX 7, shifted by the width when S."""
    option, number = word >> 13 & 7, word >> 16 & 31
    index = 0 if number == 31 else read(f"X{number}")
    if not option & 1:
        index = _signed(index, 32) if option & 4 else index & 0xFFFF_FFFF
    return index * _width(word) if word >> 12 & 1 else index


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value
