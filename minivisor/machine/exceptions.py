"""Exception entry to EL1, as the core does it (DDI 0487, D1.3; pseudocode AArch64.TakeException).

    SPSR_EL1 = PSTATE        ELR_EL1 = preferred return address        ESR_EL1 = syndrome, FAR_EL1 = address
    PSTATE   = EL1h, DAIF masked        PC = VBAR_EL1 + offset

    offset   0x000 from EL1 with SP_EL0    0x200 from EL1 with SP_EL1    0x400 from EL0 (AArch64)
             +0x000 synchronous            +0x080 IRQ        +0x100 FIQ        +0x180 SError

A virtual SError that EL2 pends with HCR_EL2.VSE is taken when PSTATE.A lets it, and is not pending any more; with HCR_EL2.AMO
only. Without the RAS extension its syndrome is IMPLEMENTATION DEFINED: ours says just that (ISS.IDS).

An exception whose return address is the very vector it is taken to, twice with the same syndrome, will repeat for ever: no
instruction retires in between and nothing masked can interrupt. That is a fixed point, and EL2 is told.

Unicorn never vectors a guest: it stops and tells. An exception for EL1 is entered here, inside compiled code, and the guest
goes on: no exit.
"""

from __future__ import annotations

import numpy as np

from minivisor.machine.hot import hot, load32, load64, store64
from minivisor.machine.registers import CP, REG, read_one, write_cp, write_one
from minivisor.machine.syndrome import esr

__all__ = ["EL1H_DAIF_MASKED", "VSE", "enter_el1", "exception_level", "supervisor_call", "take_virtual_serror"]

ZERO, ONE, THREE, EIGHT = np.uint64(0), np.uint64(1), np.uint64(3), np.uint64(8)
SP_IN_GENERAL = np.uint64(31 * 8)  # bytes from X0
EL1H_DAIF_MASKED = np.uint64(0x3C5)  # M = EL1h; D, A, I, F set (DDI 0487, C5.2.19)
PC_ALIGNMENT, WATCHPOINT = np.uint64(0x22), np.uint64(0x34)
STATUS_FLAGS = np.uint64(0xF000_0000)
VSE, AMO, PSTATE_A = np.uint64(1 << 8), np.uint64(1 << 5), np.uint64(1 << 8)  # HCR_EL2, HCR_EL2, PSTATE
SERROR, IDS, SERROR_OFFSET = np.uint64(0x2F), np.uint64(1 << 24), np.uint64(0x180)


@hot
def exception_level(pstate):  # type: ignore[no-untyped-def]
    """PSTATE.EL."""
    return (pstate >> np.uint64(2)) & THREE


@hot
def _vector(core, pstate):  # type: ignore[no-untyped-def]
    """The synchronous vector for an exception from this PSTATE."""
    if exception_level(pstate) != ONE:
        return read_one(core, REG.VBAR_EL1) + np.uint64(0x400)
    return read_one(core, REG.VBAR_EL1) + (np.uint64(0x200) if pstate & ONE != ZERO else ZERO)


@hot
def _take(core, pstate, syndrome, pc, vector):  # type: ignore[no-untyped-def]
    """The part that all exceptions share."""
    if exception_level(pstate) != ONE or pstate & ONE == ZERO:  # the stack pointer in use was SP_EL0
        write_one(core, REG.SP_EL0, read_one(core, REG.SP))
        write_one(core, REG.SP, read_one(core, REG.SP_EL1))
    write_one(core, REG.ELR_EL1, pc)
    write_one(core, REG.ESR_EL1, syndrome)
    write_one(core, REG.PSTATE, (pstate & STATUS_FLAGS) | EL1H_DAIF_MASKED)
    write_one(core, REG.PC, vector)
    write_cp(core, CP.SPSR_EL1, pstate)  # last: rebuilds the translation flags for the new PSTATE (unicorn#2333)
    core.entries_el1 += ONE


@hot
def enter_el1(core, exception_class, iss, far, pc):  # type: ignore[no-untyped-def]
    """Take a synchronous exception to EL1.

    exception_class: as from a lower level; 0x20, 0x24 and 0x34 become 0x21, 0x25 and 0x35 when taken from EL1 itself. far:
    written for these and a misaligned PC only. pc: the preferred return address.
    """
    pstate = read_one(core, REG.PSTATE)
    abort = exception_class == np.uint64(0x20) or exception_class == np.uint64(0x24) or exception_class == WATCHPOINT
    if abort or exception_class == PC_ALIGNMENT:
        write_one(core, REG.FAR_EL1, far)
    if abort and exception_level(pstate) == ONE:
        exception_class += ONE
    syndrome, vector = esr(exception_class, iss), _vector(core, pstate)
    if pc == vector and read_one(core, REG.ELR_EL1) == pc and read_one(core, REG.ESR_EL1) == syndrome:
        core.fixed_point = ONE
    _take(core, pstate, syndrome, pc, vector)


@hot
def supervisor_call(core):  # type: ignore[no-untyped-def]
    """Take an SVC from inside the engine's own handling of it, by its registers in place; it goes on at the vector.

    False where they are out of reach, or it is another state's or level's affair: then the run loop sees to it.
    """
    at = core.context
    if core.live == ZERO or load64(at + core.pstate_at) >> np.uint64(32) == ZERO:
        return False
    if load32(at + core.syndrome_at + np.uint64(16)) != ONE:
        return False
    pstate, sp_at = read_one(core, REG.PSTATE), core.x0_at + SP_IN_GENERAL
    offset = np.uint64(0x400)
    if exception_level(pstate) == ONE:
        offset = np.uint64(0x200) if pstate & ONE != ZERO else ZERO
    if offset != np.uint64(0x200):  # the stack pointer in use was SP_EL0
        store64(at + core.sp_el0_at, load64(at + sp_at))
        store64(at + sp_at, load64(at + core.sp_el1_at))
    pc_at = at + core.pstate_at - EIGHT
    store64(at + core.elr_el1_at, load64(pc_at))
    store64(at + core.esr_el1_at, load32(at + core.syndrome_at))
    store64(pc_at, load64(at + core.vbar_el1_at) + offset)
    write_one(core, REG.PSTATE, (pstate & STATUS_FLAGS) | EL1H_DAIF_MASKED)
    write_cp(core, CP.SPSR_EL1, pstate)
    core.entries_el1 += ONE
    return True


@hot
def take_virtual_serror(core):  # type: ignore[no-untyped-def]
    """HCR_EL2.VSE is set: take it now, where EL1 or EL0 is about to run, unless PSTATE.A masks it. Is it still pending?"""
    pstate, hcr = read_one(core, REG.PSTATE), core.cp[CP.HCR_EL2].val
    if pstate & PSTATE_A != ZERO or hcr & AMO == ZERO:
        return True
    write_cp(core, CP.HCR_EL2, hcr & ~VSE)
    _take(core, pstate, esr(SERROR, IDS), read_one(core, REG.PC), _vector(core, pstate) + SERROR_OFFSET)
    return False
