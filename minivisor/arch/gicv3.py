"""GICv3's hypervisor interface, as far as it differs from GICv2's: the list registers.

GICH_HCR and GICH_VMCR became ICH_HCR_EL2 and ICH_VMCR_EL2 with their fields where they were; a list register became a
64-bit system register with room for longer interrupt ids. When the guest uses the legacy interface page, GICV, vINTID[12:10]
of an SGI is the CPU that sent it, as in GICH_LR.CPUID.

Source: IHI 0069, "ICH_LR<n>_EL2, Interrupt Controller List Registers".
"""

from __future__ import annotations

from minivisor.arch.bits import Bit, Bits, Register

__all__ = ["ICH_LR_EL2", "ICH_LR_EL2_SOFTWARE"]

_STATES = {0: "invalid", 1: "pending", 2: "active", 3: "pending and active"}


class _ListRegister(Register, width=64, source="IHI 0069, ICH_LR<n>_EL2"):
    State = Bits(63, 62, "state", _STATES)
    HW = Bit(61, "origin", {0: "software interrupt", 1: "hardware interrupt"})
    Group = Bit(60, "Group 1: a virtual IRQ")
    Priority = Bits(55, 48, "priority")
    vINTID = Bits(31, 0, "virtual interrupt id")


class ICH_LR_EL2(_ListRegister):
    """HW = 1: the guest's EOI deactivates physical interrupt pINTID as well."""

    pINTID = Bits(44, 32, "physical interrupt id")


class ICH_LR_EL2_SOFTWARE(_ListRegister):
    """HW = 0: of pINTID only [41] has a meaning."""

    EOI = Bit(41, "maintenance interrupt when completed")
