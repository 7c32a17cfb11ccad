"""Page ownership: who can reach which page of physical memory, and since when?"""

from __future__ import annotations

from collections.abc import Sequence

from minivisor.trace.records import Kind
from minivisor.trace.store import Trace
from minivisor.views.records import EMBED, Reader, trace_state
from minivisor.views.view import View

__all__ = ["PageOwnership"]


class PageOwnership(View):
    """Physical memory as a map by owner, with a slider over the changes of stage 2; a step is one change.

    fixed: (PA, size in bytes, owner) of what no persona's stage 2 maps, such as the hypervisor's own memory.
    """

    name = "pages"

    def __init__(
        self,
        trace: Trace,
        since: int = 0,
        until: int | None = None,
        *,
        fixed: Sequence[tuple[int, int, str]] = (),
        code: Reader | None = None,
        size: int | None = EMBED,
        step: int = -1,
    ) -> None:
        state = trace_state(trace, since, until, code, size, (Kind.STAGE2,))
        held = [{"pa": pa, "size": length, "owner": owner} for pa, length, owner in fixed]
        super().__init__({**state, "fixed": held}, step)
