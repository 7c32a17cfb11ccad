"""One virtual CPU: what is kept while it does not run, and what others may see of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from minivisor.machine.timer import TICK_NS
from minivisor.stages import State
from minivisor.stages import Vcpu as View

if TYPE_CHECKING:
    from minivisor.hypervisor.persona import Persona

__all__ = ["HCR_VSE", "RESET_STATE", "VirtualCpu"]

PSTATE_EL1H_MASKED = 0x3C5  # EL1h, DAIF set: where PSCI starts a CPU (DEN0022, 6.4)
SCTLR_EL1_RESET = 0x30D0_0800  # the RES1 bits of ARMv8.0 (DDI 0487, SCTLR_EL1): MMU and caches off
MIDR_CORTEX_A72 = 0x410F_D083
MPIDR_RES1 = 1 << 31
HCR_VSE = 1 << 8  # HCR_EL2.VSE: a virtual SError is pending
NO_REGISTERS = (0,) * 31
RESET_STATE: State = {"PSTATE": PSTATE_EL1H_MASKED, "SCTLR_EL1": SCTLR_EL1_RESET, "VPIDR_EL2": MIDR_CORTEX_A72}


@dataclass(eq=False)
class VirtualCpu:
    """index: among all vCPUs. number: within its persona, and its MPIDR_EL1.Aff0. Times in virtual ns.

    status: "off", "ready" (it wants the core) or "waiting" (WFI).
    """

    index: int
    number: int
    persona: Persona
    status: str = "off"
    # the world switch owns these
    state: State = field(default_factory=dict)
    interface: tuple[int, int, int] = (0, 0, 0)  # GICH_VMCR, GICH_APR or ICH_AP1R0, ICH_AP0R0
    serror: bool = False  # HCR_EL2.VSE
    timed: tuple[State | None, tuple[bool, bool, int | None]] = (None, (False, False, None))  # of which state, timers()
    # the scheduler reads these
    consumed: int = 0
    since: int = 0

    def reset(self, entry: int, context: int, now: int) -> None:
        """Power on at `entry` with `context` in X0, MMU off, interrupts masked; its virtual counter is its persona's."""
        self.state = dict(RESET_STATE) | {
            "PC": entry,
            "X0": context,
            "VMPIDR_EL2": MPIDR_RES1 | self.number,
            "CNTVOFF_EL2": self.persona.counter_offset,
            "VTTBR_EL2": self.persona.vttbr,
        }
        self.interface, self.serror = (0, 0, 0), False
        self.status, self.since = "ready", now

    def timers(self, now: int) -> tuple[bool, bool, int | None]:
        """Both guest timers while it is not loaded, and that until the deadline: (virtual line, physical line, that in ns)."""
        of, known = self.timed
        if of is self.state and (known[2] is None or now < known[2]):
            return known
        state, vtimer, ticks = self.state, self.persona.stages.vtimer, now // TICK_NS
        compare, control = state.get("CNTV_CVAL_EL0", 0), state.get("CNTV_CTL_EL0", 0)
        virtual, first = vtimer(compare, control, state.get("CNTVOFF_EL2", 0), ticks)
        physical, second = vtimer(state.get("CNTP_CVAL_EL0", 0), state.get("CNTP_CTL_EL0", 0), 0, ticks)
        deadlines = [deadline * TICK_NS for deadline in (first, second) if deadline is not None]
        self.timed = state, (virtual, physical, min(deadlines, default=None))
        return self.timed[1]

    @property
    def may_spin(self) -> bool:
        """Is another vCPU of its persona ready, for which it may spin, on a lock or in WFE, which this core cannot trap?"""
        return any(vcpu.status == "ready" for vcpu in self.persona.vcpus if vcpu is not self)

    def view(self, foreground: bool = False) -> View:
        """What a scheduler sees of it: its index is among all vCPUs."""
        name, ready, online = self.persona.name, self.status == "ready", self.status != "off"
        weight = self.persona.weight if foreground else 1
        return View(self.index, name, NO_REGISTERS, 0, ready, online, foreground, weight, self.consumed, self.since)

    def view_inside(self, x: tuple[int, ...] = NO_REGISTERS, pc: int = 0) -> View:
        """What its persona's handlers and devices see of it: its index is its number there."""
        name, status = self.persona.settings.name, self.status
        return View(self.number, name, x, pc, status == "ready", status != "off", False, 1, self.consumed, self.since)
