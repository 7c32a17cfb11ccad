"""List registers: which interrupts does the guest see, which wait outside, and what becomes of each?"""

from __future__ import annotations

from typing import Any

from minivisor.trace.records import Kind
from minivisor.trace.store import Trace
from minivisor.views.view import TraceView

__all__ = ["ListRegisters"]


class ListRegisters(TraceView):
    """The distributor's pending set, the list registers, what was completed; a step is one interrupt's next event.

    list_registers: how many there are; those that the records use unless given. window: as `TraceView`.
    """

    name = "lists"
    kinds = (Kind.IRQ,)

    def __init__(
        self, trace: Trace, since: int = 0, until: int | None = None, *, list_registers: int = 1, **window: Any
    ) -> None:
        super().__init__(trace, since, until, **window)
        self.state["list_registers"] = list_registers
