"""PSTATE, its saved form SPSR_ELx, and where an exception goes.

    31 30 29 28 27  24 23 22 21 20      12 11  10 9  8  7  6  5  4  3  2  1  0
    ┌──┬──┬──┬──┬─────┬──┬──┬──┬──┬──────┬──┬─────┬──┬──┬──┬──┬──┬──┬─────┬──┬──┐
    │N │Z │C │V │     │U │P │S │I │      │SS│BTYPE│D │A │I │F │  │nR│ EL  │  │SP│    M[4:0] = nRW, EL, 0, SP
    │  │  │  │  │     │AO│AN│S │L │      │BS│     │  │  │  │  │  │W │     │  │  │
    └──┴──┴──┴──┴─────┴──┴──┴──┴──┴──────┴──┴─────┴──┴──┴──┴──┴──┴──┴─────┴──┴──┘

An exception to EL1 or EL2 saves PSTATE in SPSR_ELx, masks D, A, I and F, selects that level's own stack pointer, and
branches to VBAR_ELx plus an offset that says whence it came and what it is: 16 entries of 0x80 bytes (`vector_offset`).

Source: DDI 0487, C5.2 "Special-purpose registers" for SPSR_ELx, D1.3 "Exceptions" for vector offsets.
"""

from __future__ import annotations

from enum import IntEnum

from minivisor.arch.bits import Bit, Bits, Register

__all__ = ["DAIF", "MODE_NAMES", "SPSR", "Mode", "Vector", "mode_name", "vector_offset"]


class Mode(IntEnum):
    """AArch64 modes as M[4:0] holds them: t uses SP_EL0, h the level's own stack pointer."""

    EL0t = 0b00000
    EL1t = 0b00100
    EL1h = 0b00101
    EL2t = 0b01000
    EL2h = 0b01001
    EL3t = 0b01100
    EL3h = 0b01101


MODE_NAMES: dict[int, str] = {
    **{int(mode): mode.name for mode in Mode},
    0b10000: "AArch32 User",
    0b10001: "AArch32 FIQ",
    0b10010: "AArch32 IRQ",
    0b10011: "AArch32 Supervisor",
    0b10110: "AArch32 Monitor",
    0b10111: "AArch32 Abort",
    0b11010: "AArch32 Hyp",
    0b11011: "AArch32 Undefined",
    0b11111: "AArch32 System",
}

DAIF = 0x3C0
"""The four interrupt masks in place: debug, SError, IRQ, FIQ."""


class SPSR(Register, width=64, source="DDI 0487, SPSR_EL1 and SPSR_EL2, exception taken from AArch64"):
    """Saved Program Status Register; PSTATE itself has no encoding but this."""

    N = Bit(31, "negative")
    Z = Bit(30, "zero")
    C = Bit(29, "carry")
    V = Bit(28, "overflow")
    TCO = Bit(25, "tag check override")
    DIT = Bit(24, "data independent timing")
    UAO = Bit(23, "user access override")
    PAN = Bit(22, "privileged access never")
    SS = Bit(21, "software step")
    IL = Bit(20, "illegal execution state")
    ALLINT = Bit(13, "all interrupts masked")
    SSBS = Bit(12, "speculative store bypass safe")
    BTYPE = Bits(11, 10, "branch type")
    D = Bit(9, "debug exceptions masked")
    A = Bit(8, "SError masked")
    I = Bit(7, "IRQ masked")  # noqa: E741 (the architecture's name)
    F = Bit(6, "FIQ masked")
    M = Bits(4, 0, "mode", MODE_NAMES)

    @property
    def nRW(self) -> int:
        """1 for AArch32."""
        return self.M >> 4

    @property
    def EL(self) -> int:
        """The exception level. ValueError for AArch32, whose modes say it differently."""
        if self.nRW:
            raise ValueError(f"SPSR.M = {self.M:#x} ({mode_name(self.M)}) is an AArch32 mode")
        return self.M >> 2 & 3

    @property
    def SP(self) -> int:
        """PSTATE.SP: 1 when the level uses its own stack pointer."""
        return self.M & 1

    @property
    def DAIF(self) -> int:
        """The interrupt masks as the DAIF register shows them: bits 9 to 6, in place."""
        return int(self) & DAIF

    @property
    def NZCV(self) -> int:
        """The condition flags as the NZCV register shows them: bits 31 to 28, in place."""
        return int(self) & 0xF0000000


def mode_name(mode: int) -> str:
    """`EL1h`, or what a reserved encoding is."""
    return MODE_NAMES.get(mode & 0x1F, f"reserved mode {mode & 0x1F:#04x}")


class Vector(IntEnum):
    """What was taken: the four entries of each quarter of a vector table."""

    SYNC = 0x000
    IRQ = 0x080
    FIQ = 0x100
    SERROR = 0x180


def vector_offset(from_el: int, spsel: int, kind: Vector | int | str, *, to_el: int = 1, aarch32: bool = False) -> int:
    """The offset from VBAR_ELx of the vector that an exception takes.

        0x000  the same level, on SP_EL0          0x400  a lower level, AArch64
        0x200  the same level, on its own SP      0x600  a lower level, AArch32

    from_el, spsel: PSTATE.EL and PSTATE.SP when it was taken. kind: a Vector or its name. to_el: where it is taken to.
    Returns bytes. ValueError when to_el is below from_el, or kind is no vector.
    """
    if isinstance(kind, str) and kind.upper() not in Vector.__members__:
        raise ValueError(f"vector kind {kind!r}, expected one of {', '.join(Vector.__members__)}")
    entry = Vector[kind.upper()] if isinstance(kind, str) else Vector(kind)
    if not 0 <= from_el <= to_el <= 3 or to_el == 0:
        raise ValueError(f"an exception from EL{from_el} is not taken to EL{to_el}")
    if from_el < to_el:
        return (0x600 if aarch32 else 0x400) + entry
    return (0x200 if spsel else 0x000) + entry
