"""Exit timeline: why does a guest leave the core, when, and how often?"""

from __future__ import annotations

from minivisor.trace.store import Trace
from minivisor.views.records import EMBED, Reader, trace_state
from minivisor.views.view import View

__all__ = ["Timeline"]


class Timeline(View):
    """A lane for each vCPU, a row in it for each exception class, a mark for each exit; a step is a record.

    since, until: virtual ns. code: instructions of the guest, for the detail of an exit (`elf_reader`). size: characters
    that records may take; None keeps all of the window.
    """

    name = "timeline"

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
        super().__init__(trace_state(trace, since, until, code, size), step)
