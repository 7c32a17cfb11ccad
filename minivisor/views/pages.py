"""Page ownership: who can reach which page of physical memory, and since when?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minivisor.trace.records import Kind
from minivisor.trace.store import Trace
from minivisor.views.view import TraceView

__all__ = ["PageOwnership"]


class PageOwnership(TraceView):
    """Physical memory as a map by owner, with a slider over the changes of stage 2; a step is one change.

    fixed: (PA, size in bytes, owner) of what no persona's stage 2 maps, such as the hypervisor's own memory. window: as
    `TraceView`.
    """

    name = "pages"
    kinds = (Kind.STAGE2,)

    def __init__(
        self,
        trace: Trace,
        since: int = 0,
        until: int | None = None,
        *,
        fixed: Sequence[tuple[int, int, str]] = (),
        **window: Any,
    ) -> None:
        super().__init__(trace, since, until, **window)
        self.state["fixed"] = [{"pa": pa, "size": length, "owner": owner} for pa, length, owner in fixed]
