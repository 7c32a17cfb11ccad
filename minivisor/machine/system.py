"""What SYS does: TLBI, AT and IC. Compiled, called by Unicorn, and none of them enters Python.

    TLBI   our TLB forgets what it names, and Unicorn's own with it            DDI 0487, C5.5
    AT     the walk for somebody who only wants its result, in PAR_EL1         C5.4
    IC     code may have changed: which translations to drop, the run loop does it before the next block

Everything else of SYS is Unicorn's own, and whatever EL2 traps (HCR_EL2.TTLB) Unicorn traps.
"""

from __future__ import annotations

import numpy as np

from minivisor.machine.code_pages import page_changed
from minivisor.machine.exceptions import exception_level
from minivisor.machine.hooks import flush_engine_tlb, note_fault, physical, ram_of, refresh_regime, regime
from minivisor.machine.hot import callback, hot, load32, load64
from minivisor.machine.registers import CP, REG, read_one, write_one
from minivisor.machine.state import core_at
from minivisor.machine.timer import stop_soon
from minivisor.machine.tlb import BEYOND, NOTHING, PAGES, evict_asid, evict_va
from minivisor.machine.walk import READ, WRITE, first_stage

__all__ = ["ATTEND_CODE", "ATTEND_FAULT", "invalidates", "system", "system_instruction"]

ZERO, ONE, TWO, THREE, FOUR = (np.uint64(n) for n in range(5))
EIGHT = np.uint64(8)
ATTEND_CODE, ATTEND_FAULT = np.uint64(1), np.uint64(2)
PAR_RES1, PAR_NORMAL = np.uint64(1 << 11), np.uint64(0xFF << 56 | 1 << 11)  # memory attribute: Normal write-back
TTLB = np.uint64(1 << 25)  # HCR_EL2


@hot
def _invalidate(core, crm, op2, value):  # type: ignore[no-untyped-def]
    """TLBI at EL1, for the loaded VMID (DDI 0487, C5.5): op2 0 all, 1 VA, 2 ASID, 3 VA any ASID, 5 and 7 last level.

    1 when Unicorn's own TLB has nothing left to drop, 0 when its TLBI of that one page is all it takes.
    """
    asid = value >> np.uint64(48)
    refresh_regime(core)
    if core.cp[CP.TCR_EL1].val & np.uint64(1 << 36) == ZERO:
        asid &= np.uint64(0xFF)
    va = value << np.uint64(12)
    if op2 == ZERO:
        reach = evict_asid(core, ZERO, ONE)
    elif op2 == TWO:
        reach = evict_asid(core, asid, ZERO)
    elif op2 == ONE or op2 == np.uint64(5):
        reach = evict_va(core, va, asid, ZERO)
    else:
        reach = evict_va(core, va, asid, ONE)
    if reach == BEYOND or core.tagged != ZERO:
        flush_engine_tlb(core)
        reach = NOTHING
    return np.uint32(0) if reach == PAGES else np.uint32(1)


@hot
def _address_translate(core, op2, va):  # type: ignore[no-untyped-def]
    """AT S1E1R/W, S1E0R/W: stage 1 only, the result in PAR_EL1 (C5.5, PAR_EL1). A stage-2 fault on the walk goes to EL2."""
    refresh_regime(core)
    kind, el0 = WRITE if op2 & ONE != ZERO else READ, ONE if op2 & TWO != ZERO else ZERO
    ipa, _permissions, _level, _ng, status, walked = first_stage(ram_of(core), regime(core), va, kind, el0, None, None)
    if walked != ZERO:
        note_fault(core, va, kind, status, TWO, walked & ~ONE, ONE)
        core.fault_pc = read_one(core, REG.PC)
        core.attention |= ATTEND_FAULT
        stop_soon(core)
    elif status != ZERO:
        write_one(core, REG.PAR_EL1, ONE | ((status & np.uint64(0x3F)) << ONE) | PAR_RES1)
    else:
        write_one(core, REG.PAR_EL1, (ipa & np.uint64(0x0000_FFFF_FFFF_F000)) | PAR_NORMAL)


@hot
def _code_changed(core, op1, va):  # type: ignore[no-untyped-def]
    """IC IVAU (op1 3), IALLU, IALLUIS: code may have changed; what is stale is dropped before the next block."""
    if op1 != THREE or core.native_mmu != ZERO:
        core.code_stale = ONE
    else:
        pa, status = physical(core, va, READ)
        if status != ZERO or not page_changed(core, pa):
            return
    core.attention |= ATTEND_CODE
    stop_soon(core)


@hot
def invalidates(core, encoding):  # type: ignore[no-untyped-def]
    """Is this SYS a TLBI that EL1 may execute, and that EL2 does not trap?"""
    crm, op1, op2 = load32(encoding + FOUR), load32(encoding + np.uint64(12)), load32(encoding + np.uint64(16))
    unallocated = op2 == FOUR or op2 == np.uint64(6)  # skipping one that Unicorn does not know repeats it for ever
    if load32(encoding) != EIGHT or op1 != ZERO or unallocated or core.native_mmu != ZERO:
        return False
    if core.cp[CP.HCR_EL2].val & TTLB != ZERO or exception_level(read_one(core, REG.PSTATE)) != ONE:
        return False
    return crm == THREE or crm == np.uint64(7)


@hot
def system_instruction(core, encoding):  # type: ignore[no-untyped-def]
    """SYS: CRn 8 is TLBI, CRn 7 CRm 8 is AT, CRn 7 CRm 1 and 5 are IC. 1 when it is done, 0 when it is Unicorn's to do."""
    crn, crm = load32(encoding), load32(encoding + FOUR)
    op1, op2 = load32(encoding + np.uint64(12)), load32(encoding + np.uint64(16))
    value = load64(encoding + np.uint64(24))
    privileged = exception_level(read_one(core, REG.PSTATE)) == ONE
    if crn == np.uint64(7) and (crm == ONE or crm == np.uint64(5)) and (privileged or op1 == THREE):
        _code_changed(core, op1, value)
        return np.uint32(0)
    if core.native_mmu != ZERO or not privileged or op1 != ZERO:
        return np.uint32(0)
    if invalidates(core, encoding):
        return _invalidate(core, crm, op2, value)
    if crn == np.uint64(7) and crm == np.uint64(8) and op2 < FOUR:
        _address_translate(core, op2, value)
        return np.uint32(1)
    return np.uint32(0)


@callback("u32", "u64", "u32", "u64", "u64")
def system(uc, register, encoding, user):  # type: ignore[no-untyped-def]
    """uc_cb_insn_sys_t for SYS."""
    return system_instruction(core_at(user), encoding)
