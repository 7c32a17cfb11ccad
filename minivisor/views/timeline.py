"""Exit timeline: why does a guest leave the core, when, and how often?"""

from __future__ import annotations

from minivisor.views.view import TraceView

__all__ = ["Timeline"]


class Timeline(TraceView):
    """A lane for each vCPU, a row in it for each exception class, a mark for each exit; a step is a record."""

    name = "timeline"
