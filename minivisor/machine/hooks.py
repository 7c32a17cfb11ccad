"""The hooks Unicorn calls while a guest runs. All compiled; none of them enters Python.

fill_tlb      Unicorn's TLB missed: architectural TLB, else the two-stage walk
count_block   before each block: the clock, and what stops a guest at a deadline; not where time is the host's (watch.py)
take          an exception: note it and stop; the run loop decides where it goes
read_system   MRS: the timer counts virtual time, not the host's
write_system  MSR: timers, VBAR_EL1, and a note that the translation regime may have changed

And SYS, which is TLBI, AT and IC: `system.py`.
"""

from __future__ import annotations

import numpy as np

from minivisor.machine.code_pages import WINDOW, in_window, note_fetch
from minivisor.machine.exceptions import exception_level, supervisor_call
from minivisor.machine.hot import call, callback, entry, hot, load32, load64, store64
from minivisor.machine.registers import CP, REG, read_cp, read_one, write_cp, write_one
from minivisor.machine.state import core_at
from minivisor.machine.syndrome import is_unprivileged
from minivisor.machine.timer import read_timer, retire, stop_soon, write_timer
from minivisor.machine.tlb import MISS, insert, lookup
from minivisor.machine.walk import EL0_SHIFT, FETCH, PERMISSION, READ, S2_SHIFT, WRITE, Ram, Regime, translate, untagged
from minivisor.machine.watchpoints import WATCHED, is_closed

__all__ = [
    "asid_of",
    "begin_block",
    "code_word",
    "count_block",
    "fill",
    "fill_tlb",
    "flush_engine_tlb",
    "never",
    "note_fault",
    "peek",
    "physical",
    "ram_of",
    "read_system",
    "refresh_regime",
    "regime",
    "take",
    "write_system",
]

ZERO, ONE, TWO, THREE, FOUR = (np.uint64(n) for n in range(5))
EIGHT = np.uint64(8)
SVC = np.uint64(2)  # EXCP_SWI
EXTERNAL_ABORT = np.uint64(0x110)  # synchronous external abort, not on a walk: FSC 0x10
MEM_READ, MEM_WRITE, MEM_FETCH = np.uint64(16), np.uint64(17), np.uint64(18)  # uc_mem_type
FILLS_TO_GROW = np.uint64(1 << 16)  # 20 ms of the host, and more pages than most guests have
GICV_SIZE = np.uint64(0x2000)
PAGE_OFFSET = np.uint64(0xFFF)
VECTORS_RES0 = np.uint64(0x7FF)  # VBAR_EL1 bits 10:0
ALL_ONES = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


# ── translation ──────────────────────────────────────────────────────────────────────────────────────────────────────


@hot
def refresh_regime(core):  # type: ignore[no-untyped-def]
    """Read the registers that steer translation, after something may have written them."""
    if core.regime_stale != ZERO:
        read_one(core, REG.TTBR0_EL1)
        read_one(core, REG.TTBR1_EL1)
        read_cp(core, CP.SCTLR_EL1)
        read_cp(core, CP.TCR_EL1)
        core.regime_stale = ZERO


@hot
def asid_of(core):  # type: ignore[no-untyped-def]
    """The current ASID (TCR_EL1.A1 chooses the TTBR, TCR_EL1.AS the width)."""
    tcr = core.cp[CP.TCR_EL1].val
    ttbr = core.reg[REG.TTBR1_EL1] if tcr & np.uint64(1 << 22) != ZERO else core.reg[REG.TTBR0_EL1]
    asid = ttbr >> np.uint64(48)
    return asid if tcr & np.uint64(1 << 36) != ZERO else asid & np.uint64(0xFF)


@hot
def ram_of(core):  # type: ignore[no-untyped-def]
    """Where `translate` and `first_stage` find tables."""
    return Ram(core.ram, core.ram_words, core.ram_base)


@hot
def regime(core):  # type: ignore[no-untyped-def]
    """What they want to know of the registers."""
    return Regime(
        core.cp[CP.SCTLR_EL1].val,
        core.cp[CP.TCR_EL1].val,
        core.reg[REG.TTBR0_EL1],
        core.reg[REG.TTBR1_EL1],
        core.cp[CP.VTTBR_EL2].val,
        core.cp[CP.VTCR_EL2].val,
        core.cp[CP.HCR_EL2].val & ONE,
    )


@hot
def _walk(core, va, kind, el0):  # type: ignore[no-untyped-def]
    return translate(ram_of(core), regime(core), va, kind, el0, None, None)


@hot
def _backed(core, pa):  # type: ignore[no-untyped-def]
    """Does anything answer at this physical address?"""
    if pa >= core.ram_base and (pa - core.ram_base) >> THREE < core.ram_words:
        return True
    return pa >= core.gicv_base and pa - core.gicv_base < GICV_SIZE


@hot
def _output(core, slot, va):  # type: ignore[no-untyped-def]
    """The physical address of va by this entry."""
    shift = (core.tlb_context[slot] >> np.uint64(24)) & np.uint64(0x3F)
    return core.tlb_pa[slot] | (va & ((ONE << shift) - ONE))


@hot
def physical(core, va, kind):  # type: ignore[no-untyped-def]
    """(PA, 0) of a virtual address for the running level, or (0, fault status). Changes nothing, not even the TLB."""
    refresh_regime(core)
    off = core.cp[CP.SCTLR_EL1].val & ONE == ZERO
    va = untagged(va, core.cp[CP.TCR_EL1].val)
    slot = lookup(core, va, asid_of(core), ONE if off else ZERO)
    if slot != MISS:
        return _output(core, slot, va), ZERO
    el0 = ONE if exception_level(read_one(core, REG.PSTATE)) == ZERO else ZERO
    pa, _leaf, _ipa, status, _stage, _s1ptw = _walk(core, va, kind, el0)
    return pa, status


@hot
def peek(core, va):  # type: ignore[no-untyped-def]
    """The instruction word at a virtual address, 0 when it cannot be read. Changes nothing, not even the TLB."""
    pa, status = physical(core, va, FETCH)
    if status != ZERO or pa < core.ram_base or (pa - core.ram_base) >> THREE >= core.ram_words:
        return ZERO
    return load32(core.ram + (pa - core.ram_base))


@entry("u64", "u64", "u64")
def code_word(address, va):  # type: ignore[no-untyped-def]
    """`peek` for the core whose record is at this address."""
    return peek(core_at(address), va)


@hot
def note_fault(core, va, kind, status, stage, ipa, s1ptw):  # type: ignore[no-untyped-def]
    core.fault_va, core.fault_kind, core.fault_status = va, kind, status & np.uint64(0x3F)
    core.fault_stage, core.fault_ipa, core.fault_s1ptw = stage, ipa, s1ptw
    return MISS


@hot
def _hit(core, slot, va, kind, el0):  # type: ignore[no-untyped-def]
    """Permissions of an entry that is already there: the fault, if any, has the level that the walk had."""
    leaf, shift = core.tlb_leaf[slot], (core.tlb_context[slot] >> np.uint64(24)) & np.uint64(0x3F)
    if (leaf >> (EL0_SHIFT if el0 else ZERO)) & kind == ZERO:
        return note_fault(core, va, kind, PERMISSION + ((leaf >> np.uint64(24)) & THREE), ONE, ZERO, ZERO)
    if (leaf >> S2_SHIFT) & kind == ZERO:
        ipa = core.tlb_ipa[slot] | (va & ((ONE << shift) - ONE))
        return note_fault(core, va, kind, PERMISSION + ((leaf >> np.uint64(26)) & THREE), TWO, ipa, ZERO)
    return slot


@callback("u32", "u64", "u32", "u64", "u32", "u64", "u64")
def never(uc, access, address, size, value, user):  # type: ignore[no-untyped-def]
    """uc_cb_eventmem_t, for `engine.spare_kernel_code`."""
    return np.uint32(0)


@hot
def flush_engine_tlb(core):  # type: ignore[no-untyped-def]
    """Drop Unicorn's own TLB for EL1 and EL0: a changed VTTBR_EL2 does that, and uc_ctl is variadic, so not for here.

    Unicorn's TLBI of a page inside a block mapping leaves the block's other pages behind, so such a TLBI comes here.
    """
    core.tagged = ZERO
    core.fills_at_flush = core.fills
    vttbr = core.cp[CP.VTTBR_EL2].val
    write_cp(core, CP.VTTBR_EL2, vttbr ^ np.uint64(1 << 40))
    write_cp(core, CP.VTTBR_EL2, vttbr)


@hot
def _remember(core, va, asid, off, pa, leaf, ipa):  # type: ignore[no-untyped-def]
    """A new entry; when that makes all others go, from Unicorn's TLB as well, which looks its own entry up after a fill."""
    flushes = core.tlb_flushes
    slot = insert(core, va, asid, off, pa, leaf, ipa)
    if core.tlb_flushes != flushes:
        flush_engine_tlb(core)
    return slot


@hot
def _resolve(core, va, kind):  # type: ignore[no-untyped-def]
    """Translate one access for the running level: the TLB slot, or MISS with the fault noted in the record."""
    refresh_regime(core)
    el0 = exception_level(read_one(core, REG.PSTATE)) == ZERO
    off = ONE if core.cp[CP.SCTLR_EL1].val & ONE == ZERO else ZERO
    asid, address = asid_of(core), untagged(va, core.cp[CP.TCR_EL1].val)
    tagged, va = address != va, address
    slot = lookup(core, va, asid, off)
    if not el0 and kind != FETCH and off == ZERO:
        differs = slot == MISS or (core.tlb_leaf[slot] ^ (core.tlb_leaf[slot] >> EL0_SHIFT)) & np.uint64(7) != ZERO
        if differs and is_unprivileged(peek(core, read_one(core, REG.PC))):
            el0 = True
    if slot != MISS:
        slot = _hit(core, slot, va, kind, el0)
    else:
        core.walks += ONE
        pa, leaf, ipa, status, stage, s1ptw = _walk(core, va, kind, ONE if el0 else ZERO)
        if status == ZERO:
            slot = _remember(core, va, asid, off, pa, leaf, ipa)
        else:
            slot = note_fault(core, va, kind, status, stage, ipa, s1ptw)
    if tagged:
        core.tagged = ONE  # after whatever `_remember` flushed
    if slot != MISS and not _backed(core, _output(core, slot, va)):
        slot = note_fault(core, va, kind, EXTERNAL_ABORT, ONE, ZERO, ZERO)
    return slot, el0


@hot
def fill(core, va, access, result):  # type: ignore[no-untyped-def]
    """Give Unicorn's TLB an entry, W^X: a writable and executable one would put every store on its slow path.

    After FILLS_TO_GROW fills it is flushed first: Unicorn's begins with 256 entries, and grows at a flush or never.
    """
    if in_window(core, va):
        store64(result, core.stale_page[(va - WINDOW) >> np.uint64(12)])
        store64(result + EIGHT, FETCH)
        return np.uint32(1)
    core.fills += ONE
    if core.fills - core.fills_at_flush >= FILLS_TO_GROW:
        flush_engine_tlb(core)
    kind = FETCH if np.uint64(access) == MEM_FETCH else (WRITE if np.uint64(access) == MEM_WRITE else READ)
    slot, el0 = _resolve(core, va, kind)
    if slot == MISS:
        return np.uint32(0)
    leaf = core.tlb_leaf[slot]
    permissions = (leaf >> (EL0_SHIFT if el0 else ZERO)) & (leaf >> S2_SHIFT) & np.uint64(7)
    permissions &= ~WRITE if kind == FETCH else ~FETCH
    if core.watching != ZERO:
        if kind == FETCH:
            permissions &= FETCH  # not for loads, which must come here
        elif is_closed(core, va):
            note_fault(core, va, kind, WATCHED, ONE, ZERO, ZERO)
            return np.uint32(0)
    pa = _output(core, slot, va) & ~PAGE_OFFSET
    if kind == FETCH:
        note_fetch(core, pa)
    store64(result, pa)
    store64(result + EIGHT, permissions)
    return np.uint32(1)


@callback("u32", "u64", "u64", "u32", "u64", "u64")
def fill_tlb(uc, va, access, result, user):  # type: ignore[no-untyped-def]
    """uc_cb_tlbevent_t."""
    return fill(core_at(user), va, access, result)


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@hot
def begin_block(core, uc, address, size):  # type: ignore[no-untyped-def]
    """A stop asked for here comes before this block runs; a misaligned one never does."""
    retire(core, core.block_insns)
    core.block_pc, core.block_insns = address, np.uint64(size) >> TWO
    if (core.retired >= core.deadline and core.host_clock == ZERO) or address & THREE != ZERO:
        call(core.emu_stop, uc, ZERO, ZERO, ZERO, ZERO)


@callback("void", "u64", "u64", "u32", "u64")
def count_block(uc, address, size, user):  # type: ignore[no-untyped-def]
    """uc_cb_hookcode_t, before each block."""
    begin_block(core_at(user), uc, address, size)


# ── exceptions and system registers ──────────────────────────────────────────────────────────────────────────────────


@callback("void", "u64", "u32", "u64")
def take(uc, number, user):  # type: ignore[no-untyped-def]
    """uc_cb_hookintr_t: QEMU's exception number. A system call goes on at once; the rest is for the run loop."""
    core = core_at(user)
    if np.uint64(number) == SVC and supervisor_call(core):
        return
    core.interrupt = np.uint64(number)
    call(core.emu_stop, uc, ZERO, ZERO, ZERO, ZERO)


@hot
def _el0_may(core, crm, op2):  # type: ignore[no-untyped-def]
    """May EL0 touch this timer register (CNTKCTL_EL1: EL0PCTEN 0, EL0VCTEN 1, EL0VTEN 8, EL0PTEN 9)?"""
    if exception_level(read_one(core, REG.PSTATE)) != ZERO:
        return True
    bit = np.uint64(9) if crm == TWO else np.uint64(8)
    if crm == ZERO:
        if op2 == ZERO:
            return read_cp(core, CP.CNTKCTL_EL1) & THREE != ZERO
        bit = op2 - ONE
    return (read_cp(core, CP.CNTKCTL_EL1) >> bit) & ONE != ZERO


@callback("u32", "u64", "u32", "u64", "u64")
def read_system(uc, register, encoding, user):  # type: ignore[no-untyped-def]
    """uc_cb_insn_sys_t for MRS: the counter and the timers, op0=3 op1=3 CRn=14; anything else is Unicorn's own."""
    crn, op0, op1 = load32(encoding), load32(encoding + EIGHT), load32(encoding + np.uint64(12))
    if crn != np.uint64(14) or op0 != THREE or op1 != THREE:
        return np.uint32(0)
    core = core_at(user)
    crm, op2 = load32(encoding + FOUR), load32(encoding + np.uint64(16))
    known, value = read_timer(core, crm, op2)
    if not known or not _el0_may(core, crm, op2):
        return np.uint32(0)
    store64(core.scratch, value)
    call(core.reg_write, uc, np.uint64(register), core.scratch, ZERO, ZERO)
    if crm == ZERO and op2 != ZERO and core.counter_cost != ZERO:
        core.skipped += core.counter_cost
        if core.host_clock == ZERO:
            core.deadline -= min(core.deadline, core.counter_cost)
    return np.uint32(1)


@callback("u32", "u64", "u32", "u64", "u64")
def write_system(uc, register, encoding, user):  # type: ignore[no-untyped-def]
    """uc_cb_insn_sys_t for MSR: timers are ours; after SCTLR, TCR or a TTBR (CRn 1, 2) the regime is read again.

    VBAR_EL1 (3, 0, 12, 0, 0) loses its RES0 bits, which Unicorn keeps and takes virtual interrupts to. MDSCR_EL1
    (2, 0, 0, 2, 2) may begin a software step, and that or DBGWVR<n>_EL1, DBGWCR<n>_EL1 (2, 0, 0, n, 6 and 7) arm a watchpoint.
    """
    crn, op0, op1 = load32(encoding), load32(encoding + EIGHT), load32(encoding + np.uint64(12))
    core = core_at(user)
    if crn == ONE or crn == TWO:
        core.regime_stale = ONE
        return np.uint32(0)
    crm, op2 = load32(encoding + FOUR), load32(encoding + np.uint64(16))
    if op0 == TWO and op1 | crn == ZERO and ((crm == TWO and op2 == TWO) or op2 >= np.uint64(6)):
        core.stepping, core.watch_stale = ONE, ONE  # the run loop looks whether it is
        stop_soon(core)
        return np.uint32(0)
    if crn == np.uint64(12) and op0 == THREE and op1 | crm | op2 == ZERO:
        if exception_level(read_one(core, REG.PSTATE)) == ZERO:
            return np.uint32(0)
        write_one(core, REG.VBAR_EL1, load64(encoding + np.uint64(24)) & ~VECTORS_RES0)
        return np.uint32(1)
    if crn != np.uint64(14) or op0 != THREE or op1 != THREE:
        return np.uint32(0)
    if not _el0_may(core, crm, op2):
        return np.uint32(0)
    return np.uint32(1) if write_timer(core, crm, op2, load64(encoding + np.uint64(24))) else np.uint32(0)
