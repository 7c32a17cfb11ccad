"""Watchpoints, which Unicorn has not: its registers are there, its comparison is empty (exec.c, `cpu_check_watchpoint`).

    DBGWCR<n>_EL1   28:24  23:20 20  19:16 15:14 13  12:5 4:3 2:1 0
                    MASK         WT  LBN   SSC   HMC BAS  LSC PAC E         DDI 0487, D2.10 "Watchpoint exceptions"

While none is armed, nothing here costs anything. When one is (MDSCR_EL1.MDE and its own E), the pages it watches are *closed*:
our TLB hook gives the engine no entry for data of such a page, so each access to it comes out to the run loop, with nothing of
the instruction done. There the instruction says which bytes it touches (`access.py`):

    watched        ──► EL1 takes the exception
    not watched    ──► the pages are open for one instruction, by the engine's own software step, and closed before the next

The step goes to EL2 (MDCR_EL2.TDE), so that neither the guest's PSTATE.D nor a step of its own is in the way. Meanwhile MDE is
clear, or a breakpoint that the guest masks would come to us; so are HCR_EL2.VI and VF, or the vector's first instruction would
be stepped. It takes one instruction of time like any other. What is due is noticed between two blocks, and such an access cuts
its block in two: an interrupt may come some instructions earlier than without.

Fetches are not data, and our walk's reads do not pass the hook. Faults of the MMU come first: only what translates is closed.
What EL2 does in a guest's place, an emulated device's access, no watchpoint sees: it was a stage-2 abort before, as it is on
hardware. A watchpoint belongs to the vCPU whose registers are loaded: they are read again after EL2 or an MSR wrote any.
"""

from __future__ import annotations

import numpy as np
from unicorn import arm64_const as arm64

from minivisor.machine.exceptions import exception_level
from minivisor.machine.hot import call, hot, load32, store64
from minivisor.machine.registers import CP, REG, read_cp, read_one, write_cp, write_one
from minivisor.machine.walk import untagged

__all__ = ["COUNT", "TDE", "TLBI_VAE1", "WATCHED", "is_closed", "match", "read_watchpoints", "shut", "step_open"]

COUNT = 4  # ID_AA64DFR0_EL1.WRPs + 1
CONTEXT_AWARE = np.uint64(4)  # breakpoints from here to 5 compare contexts: ID_AA64DFR0_EL1.CTX_CMPs is 1
LAST_BREAKPOINT = np.uint64(5)
ZERO, ONE, TWO, THREE, EIGHT = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(8)
WATCHED = np.uint64(0x22)  # DFSC "debug exception": what the TLB hook notes where it found a page closed
ENABLE, LINKED = np.uint64(1), np.uint64(1 << 20)
SS, KDE, MDE = np.uint64(1), np.uint64(1 << 13), np.uint64(1 << 15)  # MDSCR_EL1
TDE, PSTATE_D, PSTATE_SS = np.uint64(1 << 8), np.uint64(1 << 9), np.uint64(1 << 21)
VI_VF = np.uint64(3 << 6)  # HCR_EL2
PAGE_SHIFT, WORD_ALIGNED = np.uint64(12), ~np.uint64(3)
SIGN, SIGNED_BITS = np.uint64(1 << 48), np.uint64((1 << 49) - 1)  # DBGWVR<n>_EL1.VA is 48:2, and repeats its top bit
EC_STEP = np.uint64(0x32)
STRANGERS = np.uint64(2)  # SSC of Secure state alone
ALL_BYTES = np.uint64(0xFF)
BY_ENCODING = np.uint64(arm64.UC_ARM64_REG_CP_REG)
TLBI_VAE1 = (8, 7, 1, 0, 1)  # crn, crm, op0, op1, op2, as that register wants them
ONE_PAGE = np.uint64(0x0000_0FFF_FFFF_FFFF)  # its operand: VA[55:12] in 43:0, ASID above; Unicorn looks at no ASID


# ── which are armed ──────────────────────────────────────────────────────────────────────────────────────────────────


@hot
def read_watchpoints(core):  # type: ignore[no-untyped-def]
    """Read the registers again, after somebody may have written them. True where the engine may hold pages now watched."""
    core.watch_stale, core.watching = ZERO, ZERO
    if core.native_mmu != ZERO or read_cp(core, CP.MDSCR_EL1) & MDE == ZERO:
        return False
    for n in range(COUNT):
        read_cp(core, CP.DBGWVR0_EL1 + n)
        core.watching += read_cp(core, CP.DBGWCR0_EL1 + n) & ENABLE
    return core.watching != ZERO


@hot
def _range(core, n):  # type: ignore[no-untyped-def]
    """(first byte, bits of the address that do not count, which bytes if those are three) of watchpoint n: MASK or BAS."""
    control, value = core.cp[CP.DBGWCR0_EL1 + n].val, core.cp[CP.DBGWVR0_EL1 + n].val
    value = (((value & SIGNED_BITS) ^ SIGN) - SIGN) & WORD_ALIGNED
    bits, chosen = (control >> np.uint64(24)) & np.uint64(31), (control >> np.uint64(5)) & np.uint64(0xFF)
    if bits >= THREE:
        return value >> bits << bits, bits, ALL_BYTES
    if value & np.uint64(4) != ZERO:  # only four bytes then, and BAS 7:4 are RES0
        chosen = (chosen & np.uint64(15)) << np.uint64(4)
    return value >> THREE << THREE, THREE, chosen


@hot
def is_closed(core, va):  # type: ignore[no-untyped-def]
    """Does the page of a virtual address have watched bytes, and is not open for one instruction? An open one is noted."""
    va = untagged(va, core.cp[CP.TCR_EL1].val)
    for n in range(COUNT):
        if core.cp[CP.DBGWCR0_EL1 + n].val & ENABLE != ZERO:
            first, bits, _chosen = _range(core, n)
            if (va ^ first) >> max(bits, PAGE_SHIFT) == ZERO:
                core.opened += core.open
                core.opened_page = va
                return core.open == ZERO
    return False


# ── does one match ───────────────────────────────────────────────────────────────────────────────────────────────────


@hot
def _enabled(core, pstate):  # type: ignore[no-untyped-def]
    """Are debug exceptions taken from here (DDI 0487, D2.4)? Whoever goes to a higher level cannot mask them."""
    if exception_level(pstate) == ZERO or core.cp[CP.MDCR_EL2].val & TDE != ZERO:
        return True
    return read_cp(core, CP.MDSCR_EL1) & KDE != ZERO and pstate & PSTATE_D == ZERO


@hot
def _context(core, number):  # type: ignore[no-untyped-def]
    """Does the breakpoint that a watchpoint is linked to agree: BT 3 CONTEXTIDR_EL1, 9 the VMID, 11 both?"""
    if number < CONTEXT_AWARE or number > LAST_BREAKPOINT:
        return False
    control = read_cp(core, np.uint64(CP.DBGBCR0_EL1) + number)
    value = read_cp(core, np.uint64(CP.DBGBVR0_EL1) + number)
    kind = (control >> np.uint64(20)) & np.uint64(15)
    if control & ENABLE == ZERO or kind & ONE == ZERO or kind & np.uint64(4) != ZERO or kind < THREE:
        return False
    if kind & TWO != ZERO and read_cp(core, CP.CONTEXTIDR_EL1) != value & np.uint64(0xFFFF_FFFF):
        return False
    return kind & EIGHT == ZERO or (value >> np.uint64(32)) & np.uint64(0xFF) == core.vmid


@hot
def _wants(core, n, store, el0):  # type: ignore[no-untyped-def]
    """Is watchpoint n for such an access: E, LSC, PAC, SSC (we are Non-secure), and what it is linked to?"""
    control = core.cp[CP.DBGWCR0_EL1 + n].val
    kind = (control >> THREE) & (TWO if store else ONE)
    level = (control >> ONE) & (TWO if el0 else ONE)
    if control & ENABLE == ZERO or kind == ZERO or level == ZERO or (control >> np.uint64(14)) & THREE == STRANGERS:
        return False
    return control & LINKED == ZERO or _context(core, (control >> np.uint64(16)) & np.uint64(15))


@hot
def _first_common(core, n, va, size):  # type: ignore[no-untyped-def]
    """How far into an access the first byte is that watchpoint n watches, or `size`. va: untagged."""
    first, bits, chosen = _range(core, n)
    if bits > THREE:
        return ZERO if (va ^ first) >> bits == ZERO else min(first - va, size)
    for byte in range(8):
        offset = first + np.uint64(byte) - va
        if (chosen >> np.uint64(byte)) & ONE != ZERO and offset < size:
            return offset
    return size


@hot
def match(core, va, size, store, unprivileged):  # type: ignore[no-untyped-def]
    """(is an access watched now, the lowest address of it that is, tag and all).

    va, size: its first byte and how many. unprivileged: LDTR or STTR, which count as EL0's.
    """
    pstate = read_one(core, REG.PSTATE)
    if not _enabled(core, pstate):
        return False, va
    el0 = unprivileged or exception_level(pstate) == ZERO
    address, lowest = untagged(va, core.cp[CP.TCR_EL1].val), size
    for n in range(COUNT):
        if _wants(core, n, store, el0):
            lowest = min(lowest, _first_common(core, n, address, size))
    return lowest < size, va + lowest


# ── one instruction with the pages open ──────────────────────────────────────────────────────────────────────────────


@hot
def step_open(core):  # type: ignore[no-untyped-def]
    """Prepare the engine for the one instruction that may use them."""
    pstate = read_one(core, REG.PSTATE)
    core.kept_hcr, core.kept_mdcr = core.cp[CP.HCR_EL2].val, core.cp[CP.MDCR_EL2].val
    core.kept_mdscr, core.kept_ss, core.opened = read_cp(core, CP.MDSCR_EL1), pstate & PSTATE_SS, ZERO
    write_one(core, REG.PSTATE, pstate | PSTATE_SS)
    write_cp(core, CP.HCR_EL2, core.kept_hcr & ~VI_VF)
    write_cp(core, CP.MDCR_EL2, core.kept_mdcr | TDE)
    write_cp(core, CP.MDSCR_EL1, (core.kept_mdscr & ~MDE) | SS)


@hot
def shut(core):  # type: ignore[no-untyped-def]
    """After it, however it ended: the engine as it was, the page closed. True when there are more: all of them, please.

    The guest's own software step has been in the middle of this instruction, and is due if that is done.
    """
    core.open = ZERO
    pstate, kept = read_one(core, REG.PSTATE), core.kept_ss
    if core.interrupt != ZERO and (load32(core.context + core.syndrome_at) >> np.uint64(26)) & ~ONE == EC_STEP:
        core.interrupt = ZERO
        masked = exception_level(pstate) == ONE and (core.kept_mdscr & KDE == ZERO or pstate & PSTATE_D != ZERO)
        if core.kept_mdscr & SS != ZERO and not masked:
            kept = ZERO
    write_one(core, REG.PSTATE, (pstate & ~PSTATE_SS) | kept)
    write_cp(core, CP.HCR_EL2, core.kept_hcr)
    write_cp(core, CP.MDCR_EL2, core.kept_mdcr)
    write_cp(core, CP.MDSCR_EL1, core.kept_mdscr)
    if core.opened > ONE or core.tagged != ZERO:
        return True
    if core.opened != ZERO:
        store64(core.tlbi + np.uint64(24), (core.opened_page >> PAGE_SHIFT) & ONE_PAGE)
        call(core.reg_write, core.uc, BY_ENCODING, core.tlbi, ZERO, ZERO)
    return False
