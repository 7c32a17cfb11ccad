"""Register isolation and budgets, seen from below the hypervisor: at the core, around each world switch and each run.

Registers. When a vCPU leaves the core every register that a guest can reach is read from the engine; when it comes back,
that very file must be in the engine again, whatever others did meanwhile, at every world switch. The list is the core's, not
the world switch's.

Budgets. One stay in the guest retires no more instructions than a slice and a block; stays that retire nothing do not
follow each other for ever; a run until some virtual time ends there. Time spent inside one stay without any instruction
retired would not show in these: the soak has a clock of the host's for that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minivisor.hypervisor.dispatch import NO_PROGRESS_LIMIT
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.machine.core import TIMERS, Core
from minivisor.machine.state import CP_NAMES, REG_NAMES
from minivisor.stages import Stages, State
from tests.fuzz.neighbour import Violation

__all__ = ["BLOCK", "Budget", "Registers"]

BLOCK = 2_000  # ns: the last block of a slice, and whatever EL2 itself adds at its end
EL2_ONLY = {"HCR_EL2", "HPFAR_EL2", "VTCR_EL2", "MDCR_EL2", "CPTR_EL2", "SCR_EL3", "CNTHP_CTL_EL2", "CNTHP_CVAL_EL2", "SP"}
GUEST = tuple(name for name in (*REG_NAMES, *CP_NAMES, *TIMERS, *(f"V{n}" for n in range(32))) if name not in EL2_ONLY)


class Registers:
    """Wraps a persona's `save` and `load`. checked: how many returns have been compared."""

    def __init__(self, parts: Stages) -> None:
        self._save, self._load = parts.save, parts.load
        self._file: Any = None
        self._state: State = {}
        self.checked = 0

    def save(self, core: Core) -> State:
        self._file = core.read_many(GUEST)
        self._state = self._save(core)
        return self._state

    def load(self, core: Core, state: State) -> None:
        self._load(core, state)
        if state is not self._state:  # it was started anew meanwhile
            return
        core._write_back()
        core._read_all()
        found = core.read_many(GUEST)
        if found.words.tobytes() != self._file.words.tobytes():  # by name it would take as long as the switch itself
            different = [name for name in GUEST if found[name] != self._file[name]]
            raise Violation(f"registers: {', '.join(different)} came back changed")
        self.checked += 1


class Budget:
    """Wraps `core.run`, behind which no exit of any kind is missed. returned: called each time that EL2 has the core back.

    longest: the most instructions retired in one stay; most: stays in a row that retired none.
    """

    def __init__(self, hypervisor: Hypervisor, slice_: int, returned: Callable[[], None]) -> None:
        self.hypervisor, self.slice, self._returned = hypervisor, slice_, returned
        self.longest = self.most = self._idle = 0
        self._run: Callable[..., int] = hypervisor.core.run
        hypervisor.core.run = self.run  # type: ignore[method-assign]

    def run(self, horizon: int, resume: bool = False) -> int:
        core = self.hypervisor.core
        before = core.retired
        reason = self._run(horizon, resume=resume)
        taken = core.retired - before
        self.longest, self._idle = max(self.longest, taken), self._idle + 1 if taken == 0 else 0
        self.most = max(self.most, self._idle)
        if taken > self.slice + BLOCK:
            raise Violation(f"budget: {taken} instructions in one stay; a slice is {self.slice}")
        if self._idle > NO_PROGRESS_LIMIT + 1:
            raise Violation(f"budget: {self._idle} stays in a row without one instruction")
        self._returned()
        return reason

    def run_until(self, until: int) -> None:
        """`Hypervisor.run`, which must end there."""
        reached = self.hypervisor.run(until)
        if reached > until + BLOCK:
            raise Violation(f"budget: asked to run until {until}, and came back at {reached}")
