"""Which bytes a load or store touches, read off the instruction and the registers before it runs.

A watchpoint compares every byte of an access; the engine tells the page alone (DDI 0487, C4.1 "Loads and Stores"):

    LDR STR, all sizes, all addressing modes; LDTR STTR; of SIMD registers too       one register
    LDP STP LDPSW LDNP STNP                                                          two, side by side
    LDR (literal)                                                                    from PC
    LDXR STXR LDAR STLR …, LDXP STXP                                                 one or two
    LD1…LD4, ST1…ST4, of whole registers, of one lane, to all lanes                  a structure, side by side
    DC ZVA                                                                           a block of 64 bytes, a store

All of these are one run of bytes, so three numbers describe them. A prefetch touches nothing, and the atomics of ARMv8.1 are
not there. `tests/machine/test_access.py` compares with what the engine itself then touches.
"""

from __future__ import annotations

import numpy as np

from minivisor.machine.hot import hot
from minivisor.machine.registers import REG, read_one

__all__ = ["access"]

ZERO, ONE, TWO, THREE, FOUR, EIGHT = (np.uint64(n) for n in (0, 1, 2, 3, 4, 8))
SP = np.uint64(31)
VECTOR = np.uint64(1 << 26)
LOAD = np.uint64(1 << 22)
DC_ZVA, ZVA_BYTES = np.uint64(0xD50B_7420), np.uint64(64)  # DCZID_EL0.BS = 4
# Registers of a multiple structure: four bits for each opcode, those of 0 the lowest (DDI 0487, LD1 to LD4)
STRUCTURE = np.uint64(0x0000_0202_1303_0404)


@hot
def _field(word, low, width):  # type: ignore[no-untyped-def]
    return (word >> np.uint64(low)) & ((ONE << np.uint64(width)) - ONE)


@hot
def _signed(word, low, width):  # type: ignore[no-untyped-def]
    """A two's complement field, as 64 bits."""
    sign = ONE << np.uint64(width - 1)
    return (_field(word, low, width) ^ sign) - sign


@hot
def _base(core, word):  # type: ignore[no-untyped-def]
    """Rn, bits 9:5; 31 is SP."""
    number = _field(word, 5, 5)
    return read_one(core, np.uint64(REG.SP) if number == SP else number)


@hot
def _index(core, word, width):  # type: ignore[no-untyped-def]
    """Rm, bits 20:16, extended as option says (UXTW 2, LSL 3, SXTW 6, SXTX 7), times the width when S."""
    number, option = _field(word, 16, 5), _field(word, 13, 3)
    value = ZERO if number == SP else read_one(core, number)
    if option & ONE == ZERO:
        value = _signed(value, 0, 32) if option & FOUR != ZERO else _field(value, 0, 32)
    return value * width if _field(word, 12, 1) != ZERO else value


@hot
def _single(core, word):  # type: ignore[no-untyped-def]
    """One register. Bit 24: an unsigned offset; else bit 21: a register's; else bits 11:10 are 1 for post-indexed."""
    opc, size, vector = _field(word, 22, 2), word >> np.uint64(30), word & VECTOR != ZERO
    width = ONE << (size | (opc & TWO) << ONE if vector else size)
    address = _base(core, word)
    if _field(word, 24, 1) != ZERO:
        address += _field(word, 10, 12) * width
    elif _field(word, 21, 1) != ZERO:
        address += _index(core, word, width)
    elif _field(word, 10, 2) != ONE:
        address += _signed(word, 12, 9)
    return address, width, opc & ONE == ZERO if vector else opc == ZERO


@hot
def _pair(core, word):  # type: ignore[no-untyped-def]
    """Two registers. Bits 24:23 are 1 for post-indexed."""
    opc = word >> np.uint64(30)
    width = FOUR << opc if word & VECTOR != ZERO else (EIGHT if opc == TWO else FOUR)
    address = _base(core, word)
    if _field(word, 23, 2) != ONE:
        address += _signed(word, 15, 7) * width
    return address, TWO * width, word & LOAD == ZERO


@hot
def _literal(word, pc):  # type: ignore[no-untyped-def]
    """From PC: LDR 0 and 1, LDRSW 2, and S, D, Q."""
    opc = word >> np.uint64(30)
    width = FOUR << opc if word & VECTOR != ZERO else (EIGHT if opc == ONE else FOUR)
    return pc + FOUR * _signed(word, 5, 19), width, False


@hot
def _exclusive(core, word):  # type: ignore[no-untyped-def]
    """Exclusive and ordered forms; with o1 and not o2 (bits 21, 23) a pair."""
    pair = ONE if _field(word, 21, 1) > _field(word, 23, 1) else ZERO
    return _base(core, word), ONE << ((word >> np.uint64(30)) + pair), word & LOAD == ZERO


@hot
def _structure(core, word):  # type: ignore[no-untyped-def]
    """Bit 24: one lane of one to four registers, bits 15:14 its size or 3 for all lanes; else so many whole registers."""
    if _field(word, 24, 1) == ZERO:
        registers = (STRUCTURE >> (FOUR * _field(word, 12, 4))) & np.uint64(15)
        return _base(core, word), registers * (EIGHT << _field(word, 30, 1)), word & LOAD == ZERO
    elements = (_field(word, 13, 1) << ONE | _field(word, 21, 1)) + ONE
    scale, size = _field(word, 14, 2), _field(word, 10, 2)
    if scale == THREE or (scale == TWO and size & ONE != ZERO):
        scale = size if scale == THREE else THREE
    return _base(core, word), elements << scale, word & LOAD == ZERO


@hot
def access(core, word, pc):  # type: ignore[no-untyped-def]
    """(address of the first byte, bytes, is it a store) of the instruction at PC; no bytes where it is no load or store.

    The registers are read from the engine, as they are before the instruction.
    """
    if word & ~np.uint64(31) == DC_ZVA:
        number = word & np.uint64(31)
        block = ZERO if number == SP else read_one(core, number)
        return block & ~(ZVA_BYTES - ONE), ZVA_BYTES, True
    if word & np.uint64(0x3A00_0000) == np.uint64(0x3800_0000):
        return _single(core, word)
    if word & np.uint64(0x3A00_0000) == np.uint64(0x2800_0000):
        return _pair(core, word)
    if word & np.uint64(0x3B00_0000) == np.uint64(0x1800_0000):
        return _literal(word, pc)
    if word & np.uint64(0x3F00_0000) == np.uint64(0x0800_0000):
        return _exclusive(core, word)
    if word & np.uint64(0xBE00_0000) == np.uint64(0x0C00_0000):
        return _structure(core, word)
    return ZERO, ZERO, False
