"""Syndromes: the instruction-specific part of a data abort, read off the instruction (DDI 0487, ESR_EL2, "ISS encoding for
an exception from a Data Abort").

With our own walk in the path the engine reports no syndrome, so ISS[24:14] is rebuilt from the instruction, for the forms
for which hardware gives ISV=1: one general-purpose register, no writeback, not exclusive.

    24  23:22 21  20:16 15 14 | 13:10 9 8  7     6   5:0
    ISV SAS   SSE SRT   SF AR | ...   EA CM S1PTW WnR DFSC
"""

from __future__ import annotations

import numpy as np

from minivisor.machine.hot import hot

__all__ = ["DESCRIPTION", "access_syndrome", "esr", "is_unprivileged", "writes_back"]

ZERO, ONE, TWO, THREE = (np.uint64(n) for n in range(4))
ISV = np.uint64(1 << 24)
DESCRIPTION = np.uint64(0x7FF << 14)  # ISS[24:14]


@hot
def esr(exception_class, iss):  # type: ignore[no-untyped-def]
    """ESR_ELx for a 32-bit instruction: EC, IL=1, ISS."""
    return (np.uint64(exception_class) << np.uint64(26)) | np.uint64(1 << 25) | iss


@hot
def is_unprivileged(instruction):  # type: ignore[no-untyped-def]
    """LDTR, STTR and their sized forms: checked as EL0 although they run at EL1 (DDI 0487, C4.1.94)."""
    return instruction & np.uint64(0x3B20_0C00) == np.uint64(0x3800_0800)


@hot
def _single_register(instruction):  # type: ignore[no-untyped-def]
    """Load/store of one general register, without writeback: unsigned offset, unscaled, unprivileged, register offset."""
    if instruction & np.uint64(0x3F00_0000) == np.uint64(0x3900_0000):
        return True
    if instruction & np.uint64(0x3F20_0400) == np.uint64(0x3800_0000):
        return True  # bits 11:10 are 00 (unscaled) or 10 (unprivileged); 01 and 11 write back
    return instruction & np.uint64(0x3F20_0C00) == np.uint64(0x3820_0800)


@hot
def writes_back(instruction):  # type: ignore[no-untyped-def]
    """Pre- or post-indexed load or store of one register: Unicorn's own MMU describes it, hardware does not (ISV=0)."""
    return instruction & np.uint64(0x3B20_0400) == np.uint64(0x3800_0400)


@hot
def access_syndrome(instruction):  # type: ignore[no-untyped-def]
    """ISS[24:14] of a load or store, 0 (ISV=0) for every form that hardware does not describe."""
    size, rt = instruction >> np.uint64(30), instruction & np.uint64(31)
    if _single_register(instruction):
        opc = (instruction >> np.uint64(22)) & THREE
        if size == THREE and opc >= TWO:
            return ZERO  # PRFM
        signed = opc >= TWO
        wide = opc == TWO or (not signed and size == THREE)
        iss = ISV | (size << np.uint64(22)) | (rt << np.uint64(16))
        return iss | (ONE << np.uint64(21) if signed else ZERO) | (ONE << np.uint64(15) if wide else ZERO)
    if instruction & np.uint64(0x3FA0_0000) == np.uint64(0x0880_0000):  # LDAR, STLR, LDLAR, STLLR
        acquire = (instruction >> np.uint64(15)) & ONE
        wide = ONE if size == THREE else ZERO
        return ISV | (size << np.uint64(22)) | (rt << np.uint64(16)) | (wide << np.uint64(15)) | (acquire << np.uint64(14))
    if instruction & np.uint64(0x3F00_0000) == np.uint64(0x1800_0000) and size < THREE:  # LDR, LDRSW (literal)
        width = TWO if size != ONE else THREE
        iss = ISV | (width << np.uint64(22)) | (rt << np.uint64(16))
        return iss | (ONE << np.uint64(21) if size == TWO else ZERO) | (ONE << np.uint64(15) if size != ZERO else ZERO)
    return ZERO
