"""World switch: what leaves the core with one vCPU, and what comes with the next?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minivisor.hypervisor.world import GROUPS
from minivisor.stages import State
from minivisor.views.view import View

__all__ = ["Switch", "WorldSwitch"]


@dataclass(frozen=True)
class Switch:
    """One switch. leaves, enters: whose vCPUs. saved, loaded: their registers by name. time: virtual ns.

    trace, record: the digest of the run's trace and the number of its SWITCH record, for views that move together.
    """

    leaves: str
    enters: str
    saved: State
    loaded: State
    time: int | None = None
    trace: str = ""
    record: int = -1


class WorldSwitch(View):
    """The register file before and after, group by group; a step loads one more group.

    groups: registers by owner, in the order in which they are loaded.
    """

    name = "world"

    def __init__(
        self, switches: Switch | Sequence[Switch], groups: Mapping[str, Sequence[str]] = GROUPS, *, step: int = -1
    ) -> None:
        given = [switches] if isinstance(switches, Switch) else list(switches)
        trace = next((switch.trace for switch in given if switch.trace), "")
        names = [[group, list(registers)] for group, registers in groups.items()]
        super().__init__({"groups": names, "switches": [_switch(s) for s in given], "trace": trace}, step)


def _switch(switch: Switch) -> dict[str, Any]:
    told: dict[str, Any] = {"from": switch.leaves, "to": switch.enters, "record": switch.record}
    if switch.time is not None:
        told["time"] = switch.time
    return {**told, "saved": _words(switch.saved), "loaded": _words(switch.loaded)}


def _words(state: State) -> dict[str, str]:
    return {name: f"{value:x}" for name, value in state.items() if value}
