"""World switch: what leaves the core with one vCPU, and what comes with the next?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minivisor.hypervisor.world import GROUPS
from minivisor.stages import State
from minivisor.trace.records import Kind
from minivisor.trace.store import Trace
from minivisor.views.records import EMBED, Reader, trace_state
from minivisor.views.view import View

__all__ = ["Switch", "WorldSwitch", "groups_state"]


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

    switches: one, several, or a trace, for those whose registers it recorded. since, until: virtual ns, of a trace.
    groups: registers by owner, in the order in which they are loaded.
    """

    name = "world"

    def __init__(
        self,
        switches: Switch | Sequence[Switch] | Trace,
        since: int = 0,
        until: int | None = None,
        *,
        groups: Mapping[str, Sequence[str]] = GROUPS,
        code: Reader | None = None,
        size: int | None = EMBED,
        step: int = -1,
    ) -> None:
        state: dict[str, Any] = {"groups": groups_state(groups)}
        if isinstance(switches, Trace):
            # From the beginning of the run: a switch records what is not as it was recorded before.
            state |= trace_state(switches, 0, until, code, size, (Kind.SWITCH, Kind.REGISTERS))
            state["since"] = since
        else:
            given = [switches] if isinstance(switches, Switch) else list(switches)
            state["trace"] = next((switch.trace for switch in given if switch.trace), "")
            state["switches"] = [_switch(switch) for switch in given]
        super().__init__(state, step)


def groups_state(groups: Mapping[str, Sequence[str]] = GROUPS) -> list[list[Any]]:
    """Groups of registers as plain data."""
    return [[group, list(registers)] for group, registers in groups.items()]


def _switch(switch: Switch) -> dict[str, Any]:
    told: dict[str, Any] = {"from": switch.leaves, "to": switch.enters, "record": switch.record}
    if switch.time is not None:
        told["time"] = switch.time
    return {**told, "saved": _words(switch.saved), "loaded": _words(switch.loaded)}


def _words(state: State) -> dict[str, str]:
    return {name: f"{value:x}" for name, value in state.items() if value}
