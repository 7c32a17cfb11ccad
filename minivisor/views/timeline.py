"""Exit timeline: why does a guest leave the core, when, and how often?"""

from __future__ import annotations

from minivisor.trace.records import Kind
from minivisor.views.view import TraceView

__all__ = ["Timeline"]


class Timeline(TraceView):
    """A lane for each vCPU, a row in it for each exception class, a mark for each exit; a step is a record.

    Records that only carry more of the one before, its bytes or registers, are no steps.
    """

    name = "timeline"
    kinds = tuple(kind for kind in Kind if kind not in (Kind.DATA, Kind.REGISTERS))
