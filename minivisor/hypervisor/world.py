"""The world switch: everything a vCPU calls its own, out of the core and back in.

EL1 runs on the real registers; a second guest on the same core is possible only because EL2 exchanges all of them. What
is forgotten here is a register in which one persona reads the other, so the list is the security property, and a test
fills every register of a core to see each one come back.

Not in the list, each for a reason: the list registers (flushed and folded by the vGIC at each entry), EL2's own
configuration (the same for all personas), ACTLR_EL1 and the PMU (trapped), AFSR0_EL1, AFSR1_EL1 and AMAIR_EL1 (zero
on a Cortex-A72).

Loading writes *every* register: one that a state does not name becomes zero instead of what the last vCPU left in it.
Source: DDI 0487, D1 and the register descriptions; the exclusive monitor: B2, "Synchronization and semaphores".
"""

from __future__ import annotations

from minivisor.stages import Core, State

__all__ = ["GROUPS", "REGISTERS", "load", "save"]

GROUPS: dict[str, tuple[str, ...]] = {
    # PSTATE first: it decides which of SP_EL0 and SP_EL1 the core has in use as SP.
    "general": ("PSTATE", "PC", *(f"X{n}" for n in range(31)), "SP_EL0", "SP_EL1"),
    "exceptions": ("VBAR_EL1", "ELR_EL1", "ESR_EL1", "FAR_EL1", "SPSR_EL1"),
    "translation": ("SCTLR_EL1", "TCR_EL1", "TTBR0_EL1", "TTBR1_EL1", "MAIR_EL1", "CONTEXTIDR_EL1", "PAR_EL1", "VTTBR_EL2"),
    "threads": ("TPIDR_EL0", "TPIDRRO_EL0", "TPIDR_EL1"),
    "identity": ("VPIDR_EL2", "VMPIDR_EL2", "CSSELR_EL1"),
    "debug": (
        "MDSCR_EL1",
        *(f"DBG{kind}{n}_EL1" for kind in ("BVR", "BCR") for n in range(6)),  # ID_AA64DFR0_EL1.BRPs + 1
        *(f"DBG{kind}{n}_EL1" for kind in ("WVR", "WCR") for n in range(4)),  # ID_AA64DFR0_EL1.WRPs + 1
    ),
    "floating point": ("CPACR_EL1", "FPCR", "FPSR", *(f"V{n}" for n in range(32))),
    # The comparators before the controls: a timer must not fire on the other vCPU's deadline.
    "timers": ("CNTVOFF_EL2", "CNTKCTL_EL1", "CNTV_CVAL_EL0", "CNTP_CVAL_EL0", "CNTV_CTL_EL0", "CNTP_CTL_EL0"),
}
"""What is switched, by owner. V0..V31 are 128 bits wide, all others 64."""
REGISTERS = tuple(sorted(sum(GROUPS.values(), ()), key=lambda name: name[0] == "V" and name[1:].isdigit()))
"""All of them, V0..V31 last: the order in which a trace tells them."""


def save(core: Core) -> State:
    """The registers of the vCPU that ran on `core`, by architectural name."""
    return core.read_many(REGISTERS)


def load(core: Core, state: State) -> None:
    """Make `core` this vCPU. Its exclusive monitor is cleared: a store-exclusive must not pair with another's load."""
    saved = tuple(state) == REGISTERS  # as it was saved, which a core takes back in one piece
    core.write_many(state if saved else {name: state.get(name, 0) for name in REGISTERS})
    core.write("CLREX", 0)
