"""Virtual time and the generic timer (DDI 0487, D11).

Time is what the guest did: one retired instruction is one nanosecond, plus what EL2 charged or skipped while everyone
slept. The counter ticks at 62.5 MHz, so a tick is 16 ns. Three timers compare against it, each an interrupt line:

    CNTV  the guest's virtual timer, counter minus CNTVOFF_EL2        PPI 27
    CNTP  the guest's physical timer                                  PPI 30
    CNTHP the hypervisor's own, ends a slice                          PPI 26

Unicorn counts whole blocks before they run, so "now" inside a block is the time at its start plus how far PC is into it;
anything else makes the clock run backwards in an exception handler.
"""

from __future__ import annotations

import numpy as np

from minivisor.machine.hot import hot
from minivisor.machine.registers import REG, read_one

__all__ = ["FREQUENCY", "TICK", "TICK_NS", "line_mask", "next_expiry", "now", "read_timer", "time_here", "write_timer"]

FREQUENCY = 62_500_000
TICK_NS = 16
TICK = np.uint64(TICK_NS)
ZERO, ONE, TWO, THREE, FOUR = (np.uint64(n) for n in range(5))
FAR = np.uint64(1 << 57)  # ticks, seventy years; what never comes is no nearer
ENABLE, IMASK, ISTATUS = np.uint64(1), np.uint64(2), np.uint64(4)
PPI_HYP, PPI_VIRTUAL, PPI_PHYSICAL = (np.uint64(1 << intid) for intid in (26, 27, 30))


@hot
def now(core):  # type: ignore[no-untyped-def]
    """Virtual time in ns, when the engine is not inside a block."""
    return core.retired + core.skipped


@hot
def time_here(core):  # type: ignore[no-untyped-def]
    """Virtual time in ns from a hook inside a block: block start plus the part of it done."""
    return core.retired + core.skipped + ((read_one(core, REG.PC) - core.block_pc) >> TWO)


@hot
def _expired(control, compare, count):  # type: ignore[no-untyped-def]
    return control & ENABLE != ZERO and count >= compare


@hot
def line_mask(core):  # type: ignore[no-untyped-def]
    """The timers' interrupt lines, one bit an interrupt id (D11.2.4: ENABLE, not IMASK, condition met)."""
    count = now(core) // TICK
    lines = ZERO
    if core.cntv_ctl & IMASK == ZERO and _expired(core.cntv_ctl, core.cntv_cval, count - core.cntvoff):
        lines |= PPI_VIRTUAL
    if core.cntp_ctl & IMASK == ZERO and _expired(core.cntp_ctl, core.cntp_cval, count):
        lines |= PPI_PHYSICAL
    if core.cnthp_ctl & IMASK == ZERO and _expired(core.cnthp_ctl, core.cnthp_cval, count):
        lines |= PPI_HYP
    return lines


@hot
def _wait(control, compare, count):  # type: ignore[no-untyped-def]
    """Ticks until an armed timer raises its line, or FAR. count: the counter as this timer sees it, which may have wrapped."""
    if control & (ENABLE | IMASK) != ENABLE or count >= compare:
        return FAR
    return min(compare - count, FAR)


@hot
def next_expiry(core):  # type: ignore[no-untyped-def]
    """The earliest time in ns at which a timer whose line is low now will raise it."""
    count = now(core) // TICK
    wait = _wait(core.cntv_ctl, core.cntv_cval, count - core.cntvoff)
    wait = min(wait, _wait(core.cntp_ctl, core.cntp_cval, count))
    wait = min(wait, _wait(core.cnthp_ctl, core.cnthp_cval, count))
    return (count + wait) * TICK


@hot
def _sign_extend32(value):  # type: ignore[no-untyped-def]
    value &= np.uint64(0xFFFF_FFFF)
    return value | np.uint64(0xFFFF_FFFF_0000_0000) if value >> np.uint64(31) != ZERO else value


@hot
def read_timer(core, crm, op2):  # type: ignore[no-untyped-def]
    """An S3_3_C14_<crm>_<op2> register as the guest reads it now. Returns (known, value)."""
    count = time_here(core) // TICK
    if crm == ZERO:
        if op2 == ZERO:
            return True, np.uint64(FREQUENCY)
        if op2 == ONE:
            return True, count
        if op2 == TWO:
            return True, count - core.cntvoff
        return False, ZERO
    if crm == TWO:
        control, compare = core.cntp_ctl, core.cntp_cval
    elif crm == THREE:
        control, compare, count = core.cntv_ctl, core.cntv_cval, count - core.cntvoff
    else:
        return False, ZERO
    if op2 == ZERO:
        return True, (compare - count) & np.uint64(0xFFFF_FFFF)
    if op2 == ONE:
        return True, control | ISTATUS if _expired(control, compare, count) else control
    return op2 == TWO, compare


@hot
def write_timer(core, crm, op2, value):  # type: ignore[no-untyped-def]
    """Write a timer register; returns whether it is one. The run loop recomputes the deadline before the next block."""
    count = time_here(core) // TICK
    virtual = crm == THREE
    if (not virtual and crm != TWO) or op2 > TWO:
        return False
    control, compare = (core.cntv_ctl, core.cntv_cval) if virtual else (core.cntp_ctl, core.cntp_cval)
    if op2 == ZERO:
        compare = count - (core.cntvoff if virtual else ZERO) + _sign_extend32(value)
    elif op2 == ONE:
        control = value & THREE
    else:
        compare = value
    if virtual:
        core.cntv_ctl, core.cntv_cval = control, compare
    else:
        core.cntp_ctl, core.cntp_cval = control, compare
    core.deadline = ZERO
    return True
