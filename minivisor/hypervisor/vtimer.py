"""The virtual timer as a function: is its line high, and if not, when will it be?

CNTVCT_EL0 is the physical counter minus CNTVOFF_EL2. The timer's condition is met once that count has reached
CNTV_CVAL_EL0, compared as unsigned 64-bit numbers; the line is high while the condition is met, the timer enabled and
not masked. ISTATUS in CNTV_CTL_EL0 is the answer and is not read here.
"""

from __future__ import annotations

from minivisor.arch.sysregs import CNTx_CTL

__all__ = ["vtimer"]

MASK64 = (1 << 64) - 1


def vtimer(cval: int, ctl: int, offset: int, now: int) -> tuple[bool, int | None]:
    """Evaluate a timer; all times are ticks of the physical counter.

    cval: CNTV_CVAL_EL0. ctl: CNTV_CTL_EL0. offset: CNTVOFF_EL2 (0 for the physical timer). now: CNTPCT_EL0.
    Returns (level, deadline): deadline is the physical count at which the line goes high by itself, None when it is
    high already or never will be while the registers stay as they are.
    Source: DDI 0487, "Operation of the CompareValue views of the timers".
    """
    if not CNTx_CTL.ENABLE.decode(ctl) or CNTx_CTL.IMASK.decode(ctl):
        return False, None
    count = now - offset & MASK64
    if count >= cval:
        return True, None
    return False, now + cval - count
