"""Virtual time and the generic timer (DDI 0487, D11).

Time is what the guest did: one retired instruction is one nanosecond, plus what EL2 charged or skipped while everyone
slept. The counter ticks at 62.5 MHz, so a tick is 16 ns. Three timers compare against it, each an interrupt line:

    CNTV  the guest's virtual timer, counter minus CNTVOFF_EL2        PPI 27
    CNTP  the guest's physical timer                                  PPI 30
    CNTHP the hypervisor's own, ends a slice                          PPI 26

Unicorn counts whole blocks before they run, so "now" inside a block is the time at its start plus how far PC is into it;
anything else makes the clock run backwards in an exception handler.

When time is the host's (`clock.py`), nobody counts: whoever looks first lets the time that went by pass (`catch_up`). What
EL2 charges is on top, and a guest that is ahead of the host for it waits.
"""

from __future__ import annotations

import numpy as np

from minivisor.machine.hot import call, hot, load64
from minivisor.machine.registers import REG, read_one

__all__ = [
    "FREQUENCY",
    "TICK",
    "TICK_NS",
    "catch_up",
    "host_now",
    "line_mask",
    "next_expiry",
    "now",
    "read_timer",
    "retire",
    "stop_soon",
    "time_here",
    "write_timer",
]

FREQUENCY = 62_500_000
TICK_NS = 16
TICK = np.uint64(TICK_NS)
ZERO, ONE, TWO, THREE, FOUR = (np.uint64(n) for n in range(5))
FAR = np.uint64(1 << 57)  # ticks, seventy years; what never comes is no nearer
SECOND, EIGHT = np.uint64(1_000_000_000), np.uint64(8)
ENABLE, IMASK, ISTATUS = np.uint64(1), np.uint64(2), np.uint64(4)
PPI_HYP, PPI_VIRTUAL, PPI_PHYSICAL = (np.uint64(1 << intid) for intid in (26, 27, 30))


@hot
def now(core):  # type: ignore[no-untyped-def]
    """Virtual time in ns, when the engine is not inside a block."""
    return core.retired + core.skipped


@hot
def host_now(core, timespec):  # type: ignore[no-untyped-def]
    """What virtual time would be if nothing had been charged, in ns. timespec: address of two words that nobody else uses."""
    call(core.host_clock, core.host_clock_id, timespec, ZERO, ZERO, ZERO)
    return load64(timespec) * SECOND + load64(timespec + EIGHT) - core.host_origin


@hot
def catch_up(core):  # type: ignore[no-untyped-def]
    """Where time is the host's: what went by since somebody last looked. Never back."""
    if core.host_clock != ZERO:
        at, before = host_now(core, core.host_time), now(core)
        if at > before:
            core.skipped += at - before


@hot
def retire(core, instructions):  # type: ignore[no-untyped-def]
    """The guest got so much further. That is time where time is what guests do; where it is the host's nobody counts."""
    if core.host_clock == ZERO:
        core.retired += instructions


@hot
def stop_soon(core):  # type: ignore[no-untyped-def]
    """The guest stops before its next block, for the run loop to look at what has changed."""
    core.deadline = ZERO
    if core.host_clock != ZERO:
        call(core.emu_stop, core.uc, ZERO, ZERO, ZERO, ZERO)


@hot
def time_here(core):  # type: ignore[no-untyped-def]
    """Virtual time in ns from a hook inside a block: block start plus the part of it done."""
    if core.host_clock != ZERO:
        catch_up(core)
        return now(core)
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
    stop_soon(core)
    return True
