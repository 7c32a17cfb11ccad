"""Two-stage walk: how does a virtual address become a physical one, and at which step does it stop?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minivisor.arch import descriptors
from minivisor.arch.esr import FSC_NAMES
from minivisor.machine.steps import Step, Walk
from minivisor.trace.records import Kind
from minivisor.trace.store import Trace
from minivisor.views.records import EMBED, Reader, described, trace_state
from minivisor.views.view import View

__all__ = ["TwoStageWalk"]

FORMS = ("S1_TABLE", "S1_BLOCK_L1", "S1_BLOCK_L2", "S1_PAGE", "S2_TABLE", "S2_BLOCK_L1", "S2_BLOCK_L2", "S2_PAGE")


class TwoStageWalk(View):
    """The descriptors a walk read, each decoded, and where it stopped; a step is a descriptor, and the result at the end.

    walks: what `Phone.walk` or `machine.steps.explain` answered, one or several; or a trace, for the walks it recorded.
    """

    name = "walk"

    def __init__(
        self,
        walks: Walk | Sequence[Walk] | Trace,
        since: int = 0,
        until: int | None = None,
        *,
        code: Reader | None = None,
        size: int | None = EMBED,
        step: int = -1,
    ) -> None:
        state: dict[str, Any] = {"descriptors": {name: described(getattr(descriptors, name)) for name in FORMS}}
        if isinstance(walks, Trace):
            kinds = (Kind.WALK, Kind.STEP)
            state |= trace_state(walks, since, until, code, size, kinds)
            state["fsc"] = {str(int(fsc)): words for fsc, words in FSC_NAMES.items()}
        else:
            state["walks"] = [_walk(walk) for walk in ([walks] if isinstance(walks, Walk) else walks)]
        super().__init__(state, step)


def _walk(walk: Walk) -> dict[str, Any]:
    fault = None if walk.fault is None else str(walk.fault)
    steps = [_step(step) for step in walk.steps]
    if fault and steps and walk.steps[-1].why == fault:
        steps[-1]["fault"] = True
    return {
        "va": f"{walk.va:#x}",
        "kind": walk.kind,
        "el": walk.el,
        "result": walk.result,
        "fault": fault,
        "ipa": _hex(walk.ipa),
        "pa": _hex(walk.pa),
        "steps": steps,
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "stage": step.stage,
        "level": step.level,
        "index": step.index,
        "table": f"{step.table_pa:#x}",
        "wanted": f"{step.wanted:#x}",
        "descriptor": _hex(step.descriptor),
        "meaning": step.meaning,
        "why": step.why,
    }


def _hex(value: int | None) -> str | None:
    return None if value is None else f"{value:#x}"
