"""List registers: which interrupts does the guest see, which wait outside, and what becomes of each?"""

from __future__ import annotations

from minivisor.trace.records import Kind
from minivisor.trace.store import Trace
from minivisor.views.records import EMBED, Reader, trace_state
from minivisor.views.view import View

__all__ = ["ListRegisters"]


class ListRegisters(View):
    """The distributor's pending set, the list registers, what was completed; a step is one interrupt's next event.

    list_registers: how many there are; those that the records use unless given.
    """

    name = "lists"

    def __init__(
        self,
        trace: Trace,
        since: int = 0,
        until: int | None = None,
        *,
        list_registers: int = 1,
        code: Reader | None = None,
        size: int | None = EMBED,
        step: int = -1,
    ) -> None:
        state = trace_state(trace, since, until, code, size, (Kind.IRQ,))
        super().__init__({**state, "list_registers": list_registers}, step)
