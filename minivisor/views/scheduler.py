"""Scheduler: who has the core, who waits for it, and how long after being woken?"""

from __future__ import annotations

from minivisor.trace.records import Kind
from minivisor.views.view import TraceView

__all__ = ["Scheduler"]


class Scheduler(TraceView):
    """Each vCPU running, ready or asleep, and its wake-up latencies; a step is one decision of the scheduler."""

    name = "scheduler"
    kinds = (Kind.EXIT, Kind.SWITCH, Kind.SCHED, Kind.START, Kind.STOP, Kind.IRQ)
