"""GICv3: what it has that GICv2 has not. Whatever kept its place and meaning is in `gic`.

    frame   whose                        size      where (this platform)
    GICD    distributor, one             64 KiB    0x0800_0000
    GICR    redistributor, one per PE    128 KiB   0x080A_0000 + 128 KiB * n: RD_base, then SGI_base with what is private
    ICC_*   CPU interface                          system registers; virtual, they are called ICV_*
    ICH_*   hypervisor's control of it             system registers of EL2: the list registers

An interrupt is routed by affinity, the four numbers of MPIDR_EL1, and not by a bit in a list of at most eight CPUs; so a
software generated interrupt no longer says who sent it. One security state here (GICD_CTLR.DS = 1), no LPIs, no ITS.

GICH_HCR, GICH_VMCR and GICH_MISR became ICH_HCR_EL2, ICH_VMCR_EL2 and ICH_MISR_EL2 with their fields where they were; a list
register grew to 64 bits. When the guest uses the legacy interface page, GICV, vINTID[12:10] of an SGI is the CPU that sent it,
as in GICH_LR.CPUID.

Source: IHI 0069, chapter 12: "AArch64 System register descriptions", "AArch64 virtualization control System registers",
"The GIC Distributor register map", "The GIC Redistributor register map".
"""

from __future__ import annotations

from enum import IntEnum

from minivisor.arch.bits import Bit, Bits, Register

__all__ = [
    "GICD_CTLR_DS",
    "GICD_IROUTER",
    "GICD_PIDR2",
    "GICD_TYPER_V3",
    "GICD_V3",
    "GICR",
    "GICR_TYPER",
    "GICR_WAKER",
    "ICC_CTLR_EL1",
    "ICC_SGI1R_EL1",
    "ICC_SRE_EL1",
    "ICH_HCR_EL2",
    "ICH_LR_EL2",
    "ICH_LR_EL2_SOFTWARE",
    "ICH_VMCR_EL2",
    "ICH_VTR_EL2",
]

# ── distributor and redistributors ───────────────────────────────────────────────────────────────────────────────────


class GICD_V3(IntEnum):
    """Offsets in the distributor that GICv2 has not; the banks of `GICD` are where they were."""

    IROUTER = 0x6000  # 64 bits an interrupt, from interrupt id 32 at 0x6100
    PIDR2 = 0xFFE8  # of every 64 KiB frame


class GICD_CTLR_DS(Register, width=32, source="IHI 0069, GICD_CTLR, access to a GIC with a single Security state"):
    RWP = Bit(31, "a write is still on its way to the redistributors")
    nASSGIreq = Bit(8, "SGIs without an active state are wanted")
    E1NWF = Bit(7, "1 of N wakeup enabled")
    DS = Bit(6, "security disabled")
    ARE = Bit(4, "affinity routing enabled")
    EnableGrp1 = Bit(1, "forward Group 1 interrupts")
    EnableGrp0 = Bit(0, "forward Group 0 interrupts")


class GICD_TYPER_V3(Register, width=32, source="IHI 0069, GICD_TYPER"):
    No1N = Bit(25, "1 of N routing of SPIs is not supported")
    A3V = Bit(24, "affinity level 3 may be other than 0")
    IDbits = Bits(23, 19, "bits of an interrupt id, less one")
    DVIS = Bit(18, "direct injection of virtual LPIs")
    LPIS = Bit(17, "LPIs are supported")
    MBIS = Bit(16, "message-based interrupts by writes to the distributor")
    SecurityExtn = Bit(10, "two Security states")
    CPUNumber = Bits(7, 5, "CPU interfaces without affinity routing, less one")
    ITLinesNumber = Bits(4, 0, "interrupt ids, in units of 32, less one")


class GICD_IROUTER(Register, width=64, source="IHI 0069, GICD_IROUTER<n>"):
    Aff3 = Bits(39, 32, "affinity level 3")
    Interrupt_Routing_Mode = Bit(31, "to whom", {0: "the PE of this affinity", 1: "any one PE"})
    Aff2 = Bits(23, 16, "affinity level 2")
    Aff1 = Bits(15, 8, "affinity level 1")
    Aff0 = Bits(7, 0, "affinity level 0")


class GICD_PIDR2(Register, width=32, source="IHI 0069, GICD_PIDR2"):
    ArchRev = Bits(7, 4, "architecture version", {1: "GICv1", 2: "GICv2", 3: "GICv3", 4: "GICv4"})
    JEDEC = Bit(3, "the designer's code is JEDEC's")
    DES_1 = Bits(2, 0, "designer, upper half", {3: "Arm"})


class GICR(IntEnum):
    """Offsets in a redistributor's first frame; the second one, at SGI_BASE, has the banks of `GICD` for ids 0 to 31."""

    CTLR = 0x0000
    IIDR = 0x0004
    TYPER = 0x0008  # 64 bits
    WAKER = 0x0014
    SGI_BASE = 0x1_0000


class GICR_TYPER(Register, width=64, source="IHI 0069, GICR_TYPER"):
    Affinity_Value = Bits(63, 32, "Aff3, Aff2, Aff1, Aff0 of its PE")
    PPInum = Bits(31, 27, "extended PPIs")
    CommonLPIAff = Bits(25, 24, "who shares a table of LPIs")
    Processor_Number = Bits(23, 8, "a number of its own")
    DPGS = Bit(5, "groups can be kept from 1 of N interrupts")
    Last = Bit(4, "the last one of this region")
    DirectLPI = Bit(3, "LPIs without an ITS")
    VLPIS = Bit(1, "virtual LPIs")
    PLPIS = Bit(0, "physical LPIs")


class GICR_WAKER(Register, width=32, source="IHI 0069, GICR_WAKER"):
    ChildrenAsleep = Bit(2, "the interface to the PE is quiet")
    ProcessorSleep = Bit(1, "the PE goes to sleep")


# ── CPU interface ────────────────────────────────────────────────────────────────────────────────────────────────────


class ICC_CTLR_EL1(Register, width=64, source="IHI 0069, ICC_CTLR_EL1; the same as ICV_CTLR_EL1"):
    ExtRange = Bit(19, "interrupt ids from 1024 to 8191")
    RSS = Bit(18, "SGIs reach Aff0 of", {0: "0 to 15", 1: "0 to 255"})
    A3V = Bit(15, "affinity level 3 may be other than 0")
    SEIS = Bit(14, "system errors are reported")
    IDbits = Bits(13, 11, "bits of an interrupt id", {0: "16", 1: "24"})
    PRIbits = Bits(10, 8, "priority bits, less one")
    PMHE = Bit(6, "the priority mask is a hint")
    EOImode = Bit(1, "EOIR only drops priority, DIR deactivates")
    CBPR = Bit(0, "ICC_BPR0_EL1 governs both groups")


class ICC_SGI1R_EL1(Register, width=64, source="IHI 0069, ICC_SGI1R_EL1; also ICC_ASGI1R_EL1 and ICC_SGI0R_EL1"):
    Aff3 = Bits(55, 48, "affinity level 3")
    RS = Bits(47, 44, "TargetList stands for Aff0 from 16 * RS")
    IRM = Bit(40, "to whom", {0: "the PEs of the list", 1: "every PE but the sender"})
    Aff2 = Bits(39, 32, "affinity level 2")
    INTID = Bits(27, 24, "SGI to send")
    Aff1 = Bits(23, 16, "affinity level 1")
    TargetList = Bits(15, 0, "one bit for each Aff0")


class ICC_SRE_EL1(Register, width=64, source="IHI 0069, ICC_SRE_EL1"):
    DIB = Bit(2, "no bypass of IRQ")
    DFB = Bit(1, "no bypass of FIQ")
    SRE = Bit(0, "the system registers are in use, not the memory-mapped interface")


# ── virtualization control ───────────────────────────────────────────────────────────────────────────────────────────


class ICH_HCR_EL2(Register, width=64, source="IHI 0069, ICH_HCR_EL2"):
    """GICH_HCR, and which of the guest's ICC_* trap."""

    EOIcount = Bits(31, 27, "EOIs of interrupts that had no list register")
    TDIR = Bit(14, "trap ICC_DIR_EL1")
    TSEI = Bit(13, "trap locally generated system errors")
    TALL1 = Bit(12, "trap the registers of Group 1")
    TALL0 = Bit(11, "trap the registers of Group 0")
    TC = Bit(10, "trap the registers of both groups")
    VGrp1DIE = Bit(7, "maintenance interrupt when the guest disables Group 1")
    VGrp1EIE = Bit(6, "maintenance interrupt when the guest enables Group 1")
    VGrp0DIE = Bit(5, "maintenance interrupt when the guest disables Group 0")
    VGrp0EIE = Bit(4, "maintenance interrupt when the guest enables Group 0")
    NPIE = Bit(3, "maintenance interrupt when no list register is pending")
    LRENPIE = Bit(2, "maintenance interrupt when EOIcount is not 0")
    UIE = Bit(1, "maintenance interrupt when at most one list register is in use")
    En = Bit(0, "virtual CPU interface enabled")


class ICH_VTR_EL2(Register, width=64, source="IHI 0069, ICH_VTR_EL2"):
    PRIbits = Bits(31, 29, "priority bits, less one")
    PREbits = Bits(28, 26, "preemption bits, less one")
    IDbits = Bits(25, 23, "bits of a virtual interrupt id", {0: "16", 1: "24"})
    SEIS = Bit(22, "virtual system errors are reported")
    A3V = Bit(21, "affinity level 3 may be other than 0 in SGIs")
    nV4 = Bit(20, "no direct injection of virtual interrupts")
    TDS = Bit(19, "ICH_HCR_EL2.TDIR is there")
    ListRegs = Bits(4, 0, "list registers, less one")


class ICH_VMCR_EL2(Register, width=64, source="IHI 0069, ICH_VMCR_EL2"):
    """The guest's ICC_PMR, BPR0, BPR1, CTLR and IGRPEN, so that a world switch can save them."""

    VPMR = Bits(31, 24, "ICC_PMR_EL1")
    VBPR0 = Bits(23, 21, "ICC_BPR0_EL1")
    VBPR1 = Bits(20, 18, "ICC_BPR1_EL1")
    VEOIM = Bit(9, "ICC_CTLR_EL1.EOImode")
    VCBPR = Bit(4, "ICC_CTLR_EL1.CBPR")
    VFIQEn = Bit(3, "Group 0 is signalled as virtual FIQ (legacy page)")
    VAckCtl = Bit(2, "GICV_CTLR.AckCtl (legacy page)")
    VENG1 = Bit(1, "ICC_IGRPEN1_EL1")
    VENG0 = Bit(0, "ICC_IGRPEN0_EL1")


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
