"""A small real run and a few made-up records, for the tests of those who read traces."""

from __future__ import annotations

from functools import cache

from minivisor import Phone
from minivisor.trace.records import IrqEvent, StopReason
from minivisor.trace.store import Metadata, Trace

PERSONAS = Metadata("a", "zero", 7, "minivisor", ("personal", "work"))


@cache
def real_run() -> Trace:
    """The phone's first 30 ms, as it was recorded. Not to be appended to."""
    phone = Phone()
    phone.run("30ms")
    return phone.trace


def made_up(second_pc: int = 0x2000) -> Trace:
    """Two vCPUs, one exit each, an interrupt from its list register to its end, and an end in words."""
    trace = Trace(PERSONAS)
    trace.start(0, 0, 0x1000)
    trace.foreground(0, 0)
    trace.sched(0, 0, 5000, 1)
    trace.switch(0, 0, 255, 0)
    trace.irq(10, 0, IrqEvent.LISTED, 27, 0xA0, 1)
    trace.exit(20, 0, 20, 0x1004, 0x5A000000, outcome=1, value=3)
    trace.irq(30, 0, IrqEvent.ACKNOWLEDGED, 27, 0xA0, 1)
    trace.irq(40, 0, IrqEvent.COMPLETED, 27, 0xA0, 1)
    trace.switch(50, 1, 0, 1)
    trace.foreground(55, 1, 0)
    trace.exit(60, 1, 60, second_pc, 0x5A000001, outcome=2)
    trace.stop(70, 1, StopReason.HANDLER, "said so")
    return trace
