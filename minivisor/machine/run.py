"""The run loop: enter the guest, and come back to Python only for an exception to EL2.

    ┌─► drive the virtual interrupt line ─► work out the deadline ─► uc_emu_start ─► settle ─┐
    └──────────────── exception for EL1: entered here, compiled, no exit ◄───────────────────┤
                                                                                             └─► reason
Reasons: SYNC a synchronous exception to EL2 (esr, far, hpfar are set) · IRQ a physical interrupt is pending · HORIZON the
host's budget is used up · CODE translated code must be dropped, which only Python may do · FIXED_POINT the guest takes the
same exception for ever · AARCH32 it left for a state that this core does not have · ERROR the engine surprised us.
"""

from __future__ import annotations

import numpy as np

from minivisor.machine.access import access
from minivisor.machine.exceptions import EL1H_DAIF_MASKED, VSE, enter_el1, exception_level, take_virtual_serror
from minivisor.machine.gicv import maintenance, present
from minivisor.machine.hooks import flush_engine_tlb, peek
from minivisor.machine.hot import call, entry, hot, load32, load64
from minivisor.machine.icv import DONE, TRAPPED, access_icv, trapped_iss
from minivisor.machine.letters import answer
from minivisor.machine.registers import (
    CP,
    GENERAL_BYTES,
    REG,
    change,
    look,
    read_cp,
    read_from,
    read_general,
    read_one,
    write_all,
    write_cp,
    write_general,
    write_one,
)
from minivisor.machine.state import WRITE_SYSTEM, core_at
from minivisor.machine.syndrome import DESCRIPTION, access_syndrome, esr, is_unprivileged, writes_back
from minivisor.machine.system import ATTEND_FAULT
from minivisor.machine.timer import catch_up, host_now, line_mask, next_expiry, now, retire
from minivisor.machine.walk import FETCH, WRITE
from minivisor.machine.watchpoints import TDE, WATCHED, match, read_watchpoints, shut, step_open

__all__ = ["AARCH32", "CODE", "ERROR", "FIXED_POINT", "HORIZON", "IRQ", "SYNC", "fetch", "inject", "run", "write_back"]

ZERO, ONE, TWO, THREE, FOUR = (np.uint64(n) for n in range(5))
ALL_ONES = MINUS_ONE = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
NONE, SYNC, IRQ, HORIZON, CODE, FIXED_POINT, AARCH32, ERROR = (np.uint64(n) for n in range(8))
UC_ERR_EXCEPTION = np.uint64(21)
UC_ERR_READ_UNMAPPED, UC_ERR_WRITE_UNMAPPED, UC_ERR_FETCH_UNMAPPED = np.uint64(6), np.uint64(7), np.uint64(8)
UNDEFINED, PREFETCH_ABORT, DATA_ABORT = (np.uint64(n) for n in (1, 3, 4))  # QEMU's EXCP_ numbers
EC_SYSREG, EC_INSTRUCTION_ABORT, EC_PC_ALIGNMENT, EC_DATA_ABORT = (np.uint64(ec) for ec in (0x18, 0x20, 0x22, 0x24))
EC_HVC, EC_SOFTWARE_STEP, EC_WATCHPOINT = np.uint64(0x16), np.uint64(0x32), np.uint64(0x34)
EXTERNAL_ABORT = np.uint64(0x10)
S1PTW, WNR, CM, FNV = np.uint64(1 << 7), np.uint64(1 << 6), np.uint64(1 << 8), np.uint64(1 << 10)
SYSTEM_CHANGED = np.uint64(WRITE_SYSTEM)
EL1H_AARCH64 = np.uint64(1 << 32 | 0x5)  # as the engine keeps it
PPI_MAINTENANCE = np.uint64(1 << 25)
LEAST = np.uint64(50_000)  # ns by the host's clock that a guest gets whatever is due, so that it gets on


@hot
def _pending_lines(core):  # type: ignore[no-untyped-def]
    """Physical interrupts that are asserted, enabled and not active: one bit an interrupt id."""
    lines = core.lines | line_mask(core)
    if core.gich_hcr != ZERO and maintenance(core) != ZERO:
        lines |= PPI_MAINTENANCE
    return lines & core.enabled & ~core.active


@hot
def _forget_exclusive(core):  # type: ignore[no-untyped-def]
    """Clear the local exclusive monitor, as ERET does on the way back to a guest (DDI 0487, B2.12)."""
    look(core)
    if load64(core.context + core.exclusive_at) != ALL_ONES:
        change(core, core.exclusive_at, ALL_ONES)


@hot
def _write_back(core):  # type: ignore[no-untyped-def]
    """Registers that EL2 changed in the record go to the engine."""
    if core.dirty & SYSTEM_CHANGED != ZERO:
        write_all(core)
        core.regime_stale, core.watch_stale = ONE, ONE
    elif core.dirty != ZERO:
        write_general(core)
    core.dirty = ZERO


@hot
def _set_deadline(core):  # type: ignore[no-untyped-def]
    """The host's horizon or the next timer, whichever is first: in retired instructions, or (watch.py) in ns."""
    at = min(core.horizon, next_expiry(core))
    if core.host_clock != ZERO:
        core.deadline = at
    else:
        core.deadline = at - core.skipped if at > core.skipped else ZERO


@hot
def _virtual_serror(core):  # type: ignore[no-untyped-def]
    """While one is pending and masked, the guest goes block by block: whatever clears PSTATE.A ends its block.

    Where time is the host's, that is from one look of the watcher to the next.
    """
    if core.cp[CP.HCR_EL2].val & VSE != ZERO and take_virtual_serror(core):
        core.deadline = min(core.deadline, core.retired + ONE)


@hot
def _software_step(core):  # type: ignore[no-untyped-def]
    """While MDSCR_EL1.SS is set the guest goes block by block: a DAIFClr ends its block, and what it unmasks is due before
    the next instruction, but Unicorn does not look (DDI 0487, D2.12 "software step": active-pending)."""
    core.stepping = read_cp(core, CP.MDSCR_EL1) & ONE
    if core.stepping != ZERO:
        write_cp(core, CP.SPSR_EL1, read_cp(core, CP.SPSR_EL1))  # rebuilds the translation flags
        core.deadline = min(core.deadline, core.retired + ONE)


@hot
def _to_el2(core, syndrome, far, ipa):  # type: ignore[no-untyped-def]
    core.esr, core.far, core.hpfar = syndrome, far, (ipa >> np.uint64(12)) << FOUR
    core.reason = SYNC


@hot
def _watchpoint(core, pc):  # type: ignore[no-untyped-def]
    """An access to a page with watched bytes: if they are its own, the exception; else it is done, with the pages open."""
    word = peek(core, pc)
    va, size, store = access(core, word, pc)
    if size == ZERO:
        va, size, store = load64(core.invalid_address_at), ONE, core.fault_kind == WRITE
    hit, far = match(core, va, size, store, is_unprivileged(word))
    iss = WATCHED | (WNR if store else ZERO)
    if not hit:
        core.open = ONE
    elif core.cp[CP.MDCR_EL2].val & TDE != ZERO:
        _to_el2(core, esr(EC_WATCHPOINT, iss), far, ZERO)
    else:
        enter_el1(core, EC_WATCHPOINT, iss, far, pc)


@hot
def _deliver_fault(core, pc):  # type: ignore[no-untyped-def]
    """A fault that our walk found: stage 1 goes to EL1, stage 2 to EL2."""
    if core.fault_status == WATCHED:
        _watchpoint(core, pc)
        return
    fetch = core.fault_kind == FETCH
    far = pc if fetch else load64(core.invalid_address_at)
    iss = core.fault_status
    if core.fault_kind == WRITE:
        iss |= WNR
    exception_class = EC_INSTRUCTION_ABORT if fetch else EC_DATA_ABORT
    if core.fault_stage == ONE:
        enter_el1(core, exception_class, iss, far, pc)
        return
    ipa = core.fault_ipa
    if core.fault_s1ptw != ZERO:
        iss = (iss & ~WNR) | S1PTW
    elif not fetch:
        iss |= access_syndrome(peek(core, pc))
    _to_el2(core, esr(exception_class, iss), far, ipa)


@hot
def _system_register(core, pc):  # type: ignore[no-untyped-def]
    """ICC_* are not the engine's: it finds them UNDEFINED. A guest that has them goes on here. False: it is UNDEFINED."""
    if core.icc_sre == ZERO or exception_level(read_one(core, REG.PSTATE)) != ONE:
        return False
    word = peek(core, pc)
    outcome = access_icv(core, word)
    if outcome == TRAPPED:
        _to_el2(core, esr(EC_SYSREG, trapped_iss(word)), ZERO, ZERO)
    elif outcome == DONE:
        retire(core, ONE)
        core.block_pc = pc + FOUR
        write_one(core, REG.PC, core.block_pc)
    return outcome != ZERO


@hot
def _deliver_exception(core, pc):  # type: ignore[no-untyped-def]
    """An exception that Unicorn raised: its registers say which syndrome, which address and which level."""
    syndrome, far = load32(core.context + core.syndrome_at), load64(core.context + core.syndrome_at + np.uint64(8))
    target = load32(core.context + core.syndrome_at + np.uint64(16))
    exception_class, iss = syndrome >> np.uint64(26), syndrome & np.uint64(0x01FF_FFFF)
    if target == TWO:
        if core.interrupt == PREFETCH_ABORT or core.interrupt == DATA_ABORT:
            if syndrome & DESCRIPTION != ZERO and exception_class == EC_DATA_ABORT and writes_back(peek(core, pc)):
                syndrome &= ~DESCRIPTION
            _to_el2(core, syndrome, far, (read_cp(core, CP.HPFAR_EL2) >> FOUR) << np.uint64(12))
        else:
            _to_el2(core, syndrome, ZERO, ZERO)  # the address in the context is that of an earlier abort
        return
    if core.interrupt == UNDEFINED and _system_register(core, pc):
        return
    if exception_class == np.uint64(0x21) or exception_class == np.uint64(0x25):
        exception_class -= ONE  # enter_el1 tells the two levels apart itself
    enter_el1(core, exception_class, iss, far, pc)


@hot
def _block_complete(core, error):  # type: ignore[no-untyped-def]
    """Did the last block run to its end, so that PC is where it led? A fetch that failed there, or a software step."""
    if core.interrupt == ZERO:
        return error == UC_ERR_FETCH_UNMAPPED or (error == UC_ERR_EXCEPTION and core.fault_kind == FETCH)
    exception_class = load32(core.context + core.syndrome_at) >> np.uint64(26)
    if core.interrupt == PREFETCH_ABORT:
        return exception_class & ~ONE == EC_INSTRUCTION_ABORT  # or a breakpoint, which ends its block early
    return exception_class & ~ONE == EC_SOFTWARE_STEP


@hot
def _account(core, error, pc):  # type: ignore[no-untyped-def]
    """Bring the clock up to date: how much of the last block ran before the engine stopped. Needs a fresh context."""
    if _block_complete(core, error):
        retire(core, core.block_insns)
    else:  # a stop at a deadline is before the block, and adds nothing; and wherever PC is, no block adds more than itself
        retire(core, min((pc - core.block_pc) >> TWO, core.block_insns))
    core.block_pc, core.block_insns = pc, ZERO


@hot
def _left_aarch64(core):  # type: ignore[no-untyped-def]
    """Did an ERET go to AArch32? The engine has that state, but PC and PSTATE mean nothing there: put it back to EL1h."""
    look(core)
    if load64(core.context + core.pstate_at) >> np.uint64(32) != ZERO:
        return False
    change(core, core.pstate_at, EL1H_AARCH64)
    write_one(core, REG.PSTATE, EL1H_DAIF_MASKED)
    write_cp(core, CP.SPSR_EL1, read_cp(core, CP.SPSR_EL1))
    return True


@hot
def _settle(core, error):  # type: ignore[no-untyped-def]
    """The engine stopped: account for the time, then send whatever happened where it belongs."""
    if _left_aarch64(core):
        retire(core, core.block_insns)
        core.block_insns, core.interrupt, core.attention, core.reason = ZERO, ZERO, ZERO, AARCH32
        return
    pc = read_one(core, REG.PC)
    _account(core, error, pc)
    if core.open != ZERO and shut(core):
        flush_engine_tlb(core)
    if core.attention != ZERO and _attend(core):
        pass
    elif pc & THREE != ZERO:  # before any abort of the fetch; the engine itself would run what it finds there
        enter_el1(core, EC_PC_ALIGNMENT, ZERO, pc, pc)
    elif core.interrupt != ZERO:
        _deliver_exception(core, pc)
    elif error == UC_ERR_EXCEPTION:
        _deliver_fault(core, pc)
    elif error == UC_ERR_FETCH_UNMAPPED:
        enter_el1(core, EC_INSTRUCTION_ABORT, EXTERNAL_ABORT, pc, pc)
    elif error == UC_ERR_READ_UNMAPPED or error == UC_ERR_WRITE_UNMAPPED:
        # The engine knows the PA alone: FAR is not valid.
        written = WNR if error == UC_ERR_WRITE_UNMAPPED else ZERO
        enter_el1(core, EC_DATA_ABORT, EXTERNAL_ABORT | FNV | written, ZERO, pc)
    elif error != ZERO:
        core.reason, core.error = ERROR, error
    core.interrupt = ZERO


@hot
def _attend(core):  # type: ignore[no-untyped-def]
    """What a system instruction asked for, now that its block is over. True when it faulted: nothing after it happened."""
    wanted = core.attention
    core.attention = ZERO
    if wanted & ATTEND_FAULT == ZERO:
        return False
    retire(core, MINUS_ONE)  # an AT instruction whose walk faulted at stage 2 did not, and its block ended right there
    core.block_pc = core.fault_pc
    write_one(core, REG.PC, core.fault_pc)
    _to_el2(core, esr(EC_DATA_ABORT, core.fault_status | S1PTW | CM | WNR), core.fault_va, core.fault_ipa)
    return True


@hot
def _enter(core):  # type: ignore[no-untyped-def]
    """Let the guest run until something stops the engine; its status. Another thread may ask for that only meanwhile."""
    pc = read_one(core, REG.PC)
    if core.host_clock != ZERO:
        if pc & THREE != ZERO:
            return ZERO  # as if the hook before each block had stopped it
        core.deadline = max(core.deadline, max(now(core), host_now(core, core.host_time)) + LEAST)
    core.restarts += ONE
    core.inside = ONE
    if core.deadline < core.next_look:
        call(core.wake, core.lock, ZERO, ZERO, ZERO, ZERO)
    error = call(core.emu_start, core.uc, pc, ZERO, ZERO, ZERO)
    core.inside = ZERO
    return error


@hot
def _due(core):  # type: ignore[no-untyped-def]
    """Why EL2 is needed before the guest goes on, or NONE."""
    if core.fixed_point != ZERO:  # of this vCPU: seen before anything else can take the core away from it, and once
        core.fixed_point = ZERO
        return FIXED_POINT
    core.signalled = _pending_lines(core)
    if core.signalled != ZERO:
        return IRQ
    return HORIZON if now(core) >= core.horizon else NONE


@hot
def _note_progress(core, began, far):  # type: ignore[no-untyped-def]
    """Where nobody counts: it got somewhere, or somewhere else was touched from there; a call is behind itself already."""
    called = core.reason == SYNC and core.esr >> np.uint64(26) == EC_HVC
    if core.reg[REG.PC] != began or core.far != far or called:
        core.progress += ONE


@entry("u64", "u64")
def run(address):  # type: ignore[no-untyped-def]
    """Run the loaded vCPU until EL2 is needed. address: of the core record. Returns the reason."""
    core = core_at(address)
    core.reason = NONE
    _write_back(core)
    if core.resumed == ZERO:
        _forget_exclusive(core)
    core.resumed, core.stepping = ZERO, ONE  # EL2 may have loaded another MDSCR_EL1
    core.open = ZERO  # it may have loaded another vCPU
    began, far = read_one(core, REG.PC), core.far
    while core.reason == NONE:
        core.reason = _due(core)
        if core.reason != NONE:
            break
        _set_deadline(core)
        _virtual_serror(core)
        if core.stepping != ZERO:
            _software_step(core)
        if core.watch_stale != ZERO and read_watchpoints(core):
            flush_engine_tlb(core)
        present(core)
        if core.open != ZERO:
            step_open(core)
        error = _enter(core)
        catch_up(core)  # here alone: what EL2 took since it looked must not use up a short slice before it began
        _settle(core, error)
        if core.reason == SYNC and core.letters != ZERO and answer(core):
            core.reason, core.open = NONE, ZERO
            _forget_exclusive(core)
        if core.reason == NONE and core.code_stale | core.stale_count != ZERO:
            core.reason = CODE
    read_general(core)
    _note_progress(core, began, far)
    core.moved += GENERAL_BYTES
    return core.reason


@entry("void", "u64")
def write_back(address):  # type: ignore[no-untyped-def]
    """What `run` does first, for those who look at the engine before: what EL2 changed goes there. address: as for `run`."""
    _write_back(core_at(address))


@entry("u32", "u64", "u64")
def fetch(address, first):  # type: ignore[no-untyped-def]
    """Registers from number `first` on (state.py) into the record, for EL2. Returns the engine's status."""
    return np.uint32(read_from(core_at(address), first))


@entry("void", "u64", "u64", "u64", "u64")
def inject(address, exception_class, iss, far):  # type: ignore[no-untyped-def]
    """Give the loaded vCPU a synchronous exception at its preferred return address, as EL2 does by writing its registers."""
    core = core_at(address)
    _write_back(core)
    enter_el1(core, exception_class, iss, far, read_one(core, REG.PC))
    read_general(core)
