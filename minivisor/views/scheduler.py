"""Scheduler: who has the core, who waits for it, and how long after being woken?"""

from __future__ import annotations

from minivisor.trace.records import Kind
from minivisor.trace.store import Trace
from minivisor.views.records import EMBED, Reader, trace_state
from minivisor.views.view import View

__all__ = ["Scheduler"]

KINDS = (Kind.EXIT, Kind.SWITCH, Kind.SCHED, Kind.START, Kind.STOP, Kind.IRQ)


class Scheduler(View):
    """Each vCPU running, ready or asleep, and its wake-up latencies; a step is one decision of the scheduler."""

    name = "scheduler"

    def __init__(
        self,
        trace: Trace,
        since: int = 0,
        until: int | None = None,
        *,
        code: Reader | None = None,
        size: int | None = EMBED,
        step: int = -1,
    ) -> None:
        super().__init__(trace_state(trace, since, until, code, size, KINDS), step)
