"""GICv2: interrupt ids, the offsets of its four register banks, and what the registers hold.

    bank    whose                               where (this platform)
    GICD    distributor, one                    guest sees it emulated: every access is a stage-2 abort
    GICC    CPU interface, the physical one     EL2 only
    GICH    virtual interface control           EL2 only: the list registers
    GICV    virtual CPU interface               mapped at the guest's GICC address: acknowledge and EOI without an exit

An interrupt becomes virtual when EL2 writes a list register; the guest acknowledges it through GICV, which turns the
entry from pending to active, and its EOI clears the entry (and, with HW set, deactivates the physical interrupt too).

GICv2 without the Security Extensions, as on a virtual machine. Offsets are bytes from the start of the bank; a bank of
registers, one bit or byte an interrupt, has its first offset here.

Source: IHI 0048B, 4.3 (GICD), 4.4 (GICC), 5.3 (GICH), 5.5 (GICV).
"""

from __future__ import annotations

from enum import IntEnum

from minivisor.arch.bits import Bit, Bits, Register

__all__ = [
    "GICC",
    "GICC_BPR",
    "GICC_CTLR",
    "GICC_IAR",
    "GICC_IIDR",
    "GICC_PMR",
    "GICD",
    "GICD_CTLR",
    "GICD_ICPIDR2",
    "GICD_IIDR",
    "GICD_SGIR",
    "GICD_TYPER",
    "GICH",
    "GICH_HCR",
    "GICH_LR",
    "GICH_LR_SOFTWARE",
    "GICH_MISR",
    "GICH_VMCR",
    "GICH_VTR",
    "GICV",
    "GICV_CTLR",
    "IDLE_PRIORITY",
    "PPI",
    "PPIS",
    "SGIS",
    "SPIS",
    "SPURIOUS",
    "IrqState",
    "describe_intid",
]

SGIS = range(16)
"""Software generated interrupts: one CPU to another."""
PPIS = range(16, 32)
"""Private peripheral interrupts: one of each per CPU, the timers among them."""
SPIS = range(32, 1020)
"""Shared peripheral interrupts: devices. SPI n is interrupt id 32 + n."""
SPURIOUS = 1023
"""What an acknowledge returns when nothing is pending with enough priority (IHI 0048B, 3.2.5)."""
IDLE_PRIORITY = 0xFF
"""The running priority when no interrupt is active (IHI 0048B, 4.4.6)."""


class PPI(IntEnum):
    """Interrupt ids of the generic timers and of GIC maintenance (Arm Base System Architecture, DEN0094)."""

    MAINTENANCE = 25
    HYPERVISOR_TIMER = 26
    VIRTUAL_TIMER = 27
    SECURE_PHYSICAL_TIMER = 29
    PHYSICAL_TIMER = 30


def describe_intid(intid: int) -> str:
    """An interrupt id in words: "SGI 3", "virtual timer", "SPI 1"."""
    if intid in SGIS:
        return f"SGI {intid}"
    if intid in PPIS:
        return PPI(intid).name.lower().replace("_", " ") if intid in set(PPI) else f"PPI {intid - PPIS.start}"
    return f"SPI {intid - SPIS.start}" if intid in SPIS else "reserved"


class IrqState(IntEnum):
    """GICH_LR.State, and the state of any interrupt (IHI 0048B, 3.2.4)."""

    INACTIVE = 0
    PENDING = 1
    ACTIVE = 2
    PENDING_ACTIVE = 3


# ── distributor ──────────────────────────────────────────────────────────────────────────────────────────────────────


class GICD(IntEnum):
    """Distributor offsets (IHI 0048B, 4.1.2). Comments: bits an interrupt in the bank, number of registers."""

    CTLR = 0x000
    TYPER = 0x004
    IIDR = 0x008
    IGROUPR = 0x080  # 1 bit, 32 registers
    ISENABLER = 0x100  # 1 bit, 32
    ICENABLER = 0x180  # 1 bit, 32
    ISPENDR = 0x200  # 1 bit, 32
    ICPENDR = 0x280  # 1 bit, 32
    ISACTIVER = 0x300  # 1 bit, 32
    ICACTIVER = 0x380  # 1 bit, 32
    IPRIORITYR = 0x400  # 8 bits, 255
    ITARGETSR = 0x800  # 8 bits, 255; the first 8 registers are read-only
    ICFGR = 0xC00  # 2 bits, 64
    NSACR = 0xE00  # 2 bits, 64
    SGIR = 0xF00
    CPENDSGIR = 0xF10  # 8 bits an SGI, 4
    SPENDSGIR = 0xF20  # 8 bits an SGI, 4
    ICPIDR2 = 0xFE8


class GICD_CTLR(Register, width=32, source="IHI 0048B, 4.3.1 GICD_CTLR"):
    EnableGrp1 = Bit(1, "forward Group 1 interrupts")
    EnableGrp0 = Bit(0, "forward Group 0 interrupts")


class GICD_TYPER(Register, width=32, source="IHI 0048B, 4.3.2 GICD_TYPER"):
    LSPI = Bits(15, 11, "lockable SPIs")
    SecurityExtn = Bit(10, "Security Extensions implemented")
    CPUNumber = Bits(7, 5, "CPU interfaces, less one")
    ITLinesNumber = Bits(4, 0, "interrupt ids, in units of 32, less one")


class GICD_IIDR(Register, width=32, source="IHI 0048B, 4.3.3 GICD_IIDR"):
    ProductID = Bits(31, 24, "product")
    Variant = Bits(19, 16, "variant")
    Revision = Bits(15, 12, "revision")
    Implementer = Bits(11, 0, "JEP106 code", {0x43B: "Arm"})


class GICD_SGIR(Register, width=32, source="IHI 0048B, 4.3.15 GICD_SGIR"):
    TargetListFilter = Bits(
        25, 24, "to whom", {0: "the CPUs of the list", 1: "every CPU but the sender", 2: "the sender", 3: "reserved"}
    )
    CPUTargetList = Bits(23, 16, "one bit a CPU")
    NSATT = Bit(15, "required group (Security Extensions)")
    SGIINTID = Bits(3, 0, "SGI to send")


class GICD_ICPIDR2(Register, width=32, source="IHI 0048B, 4.3.18 GICD_ICPIDR2"):
    ArchRev = Bits(7, 4, "architecture version", {1: "GICv1", 2: "GICv2"})


# ── CPU interface, physical and virtual ──────────────────────────────────────────────────────────────────────────────


class GICC(IntEnum):
    """CPU interface offsets (IHI 0048B, 4.1.3): two pages of 4 KiB, the second holds only DIR."""

    CTLR = 0x0000
    PMR = 0x0004
    BPR = 0x0008
    IAR = 0x000C
    EOIR = 0x0010
    RPR = 0x0014
    HPPIR = 0x0018
    ABPR = 0x001C
    AIAR = 0x0020
    AEOIR = 0x0024
    AHPPIR = 0x0028
    APR = 0x00D0  # 4 registers
    NSAPR = 0x00E0  # 4 registers
    IIDR = 0x00FC
    DIR = 0x1000


class GICV(IntEnum):
    """Virtual CPU interface offsets (IHI 0048B, 5.5): the same as GICC, so that a guest cannot tell."""

    CTLR = 0x0000
    PMR = 0x0004
    BPR = 0x0008
    IAR = 0x000C
    EOIR = 0x0010
    RPR = 0x0014
    HPPIR = 0x0018
    ABPR = 0x001C
    AIAR = 0x0020
    AEOIR = 0x0024
    AHPPIR = 0x0028
    APR = 0x00D0  # 4 registers
    IIDR = 0x00FC
    DIR = 0x1000


class GICC_CTLR(Register, width=32, source="IHI 0048B, 4.4.1 GICC_CTLR, GICv2 without Security Extensions"):
    EOImode = Bit(9, "EOIR only drops priority, DIR deactivates")
    IRQBypDisGrp1 = Bit(8, "bypass IRQ not signalled for Group 1")
    FIQBypDisGrp1 = Bit(7, "bypass FIQ not signalled for Group 1")
    IRQBypDisGrp0 = Bit(6, "bypass IRQ not signalled for Group 0")
    FIQBypDisGrp0 = Bit(5, "bypass FIQ not signalled for Group 0")
    CBPR = Bit(4, "GICC_BPR governs both groups")
    FIQEn = Bit(3, "Group 0 is signalled as FIQ")
    AckCtl = Bit(2, "IAR acknowledges Group 1 too")
    EnableGrp1 = Bit(1, "signal Group 1 interrupts")
    EnableGrp0 = Bit(0, "signal Group 0 interrupts")


class GICV_CTLR(Register, width=32, source="IHI 0048B, 5.5 GICV_CTLR"):
    EOImode = Bit(9, "EOIR only drops priority, DIR deactivates")
    CBPR = Bit(4, "GICV_BPR governs both groups")
    FIQEn = Bit(3, "Group 0 is signalled as virtual FIQ")
    AckCtl = Bit(2, "IAR acknowledges Group 1 too")
    EnableGrp1 = Bit(1, "signal Group 1 virtual interrupts")
    EnableGrp0 = Bit(0, "signal Group 0 virtual interrupts")


class GICC_PMR(Register, width=32, source="IHI 0048B, 4.4.2 GICC_PMR"):
    Priority = Bits(7, 0, "only interrupts with a lower number (more urgent) are signalled")


class GICC_BPR(Register, width=32, source="IHI 0048B, 4.4.3 GICC_BPR"):
    Binary_point = Bits(2, 0, "where a priority splits into group and subpriority")


class GICC_IAR(Register, width=32, source="IHI 0048B, 4.4.4 GICC_IAR"):
    """Also the layout of EOIR, HPPIR and DIR."""

    CPUID = Bits(12, 10, "sender of an SGI")
    InterruptID = Bits(9, 0, "interrupt id", {1020: "reserved", 1021: "reserved", 1022: "Group 1", 1023: "spurious"})


class GICC_IIDR(Register, width=32, source="IHI 0048B, 4.4.14 GICC_IIDR"):
    ProductID = Bits(31, 20, "product")
    Architecture = Bits(19, 16, "architecture version", {1: "GICv1", 2: "GICv2"})
    Revision = Bits(15, 12, "revision")
    Implementer = Bits(11, 0, "JEP106 code", {0x43B: "Arm"})


# ── virtual interface control ────────────────────────────────────────────────────────────────────────────────────────


class GICH(IntEnum):
    """Virtual interface control offsets (IHI 0048B, 5.3)."""

    HCR = 0x000
    VTR = 0x004
    VMCR = 0x008
    MISR = 0x010
    EISR0 = 0x020  # one bit a list register: EOI maintenance wanted
    EISR1 = 0x024
    ELRSR0 = 0x030  # one bit a list register: empty
    ELRSR1 = 0x034
    APR = 0x0F0  # one bit a preemption level: active
    LR = 0x100  # 64 registers


class GICH_HCR(Register, width=32, source="IHI 0048B, 5.3.1 GICH_HCR"):
    EOICount = Bits(31, 27, "EOIs of interrupts that had no list register")
    VGrp1DIE = Bit(7, "maintenance interrupt when the guest disables Group 1")
    VGrp1EIE = Bit(6, "maintenance interrupt when the guest enables Group 1")
    VGrp0DIE = Bit(5, "maintenance interrupt when the guest disables Group 0")
    VGrp0EIE = Bit(4, "maintenance interrupt when the guest enables Group 0")
    NPIE = Bit(3, "maintenance interrupt when no list register is pending")
    LRENPIE = Bit(2, "maintenance interrupt when EOICount is not 0")
    UIE = Bit(1, "maintenance interrupt when at most one list register is in use")
    En = Bit(0, "virtual CPU interface enabled")


class GICH_VTR(Register, width=32, source="IHI 0048B, 5.3.2 GICH_VTR"):
    PRIbits = Bits(31, 29, "priority bits, less one")
    PREbits = Bits(28, 26, "preemption bits, less one")
    ListRegs = Bits(5, 0, "list registers, less one")


class GICH_VMCR(Register, width=32, source="IHI 0048B, 5.3.3 GICH_VMCR"):
    """The guest's view of GICV_PMR, BPR, ABPR and CTLR, so that a world switch can save it."""

    VMPriMask = Bits(31, 27, "GICV_PMR[7:3]")
    VMBP = Bits(23, 21, "GICV_BPR")
    VMABP = Bits(20, 18, "GICV_ABPR")
    VEM = Bit(9, "GICV_CTLR.EOImode")
    VMCBPR = Bit(4, "GICV_CTLR.CBPR")
    VMFIQEn = Bit(3, "GICV_CTLR.FIQEn")
    VMAckCtl = Bit(2, "GICV_CTLR.AckCtl")
    VMGrp1En = Bit(1, "GICV_CTLR.EnableGrp1")
    VMGrp0En = Bit(0, "GICV_CTLR.EnableGrp0")


class GICH_MISR(Register, width=32, source="IHI 0048B, 5.3.4 GICH_MISR"):
    """Why the maintenance interrupt is asserted: the conditions of GICH_HCR, and EOI."""

    VGrp1D = Bit(7, "Group 1 disabled")
    VGrp1E = Bit(6, "Group 1 enabled")
    VGrp0D = Bit(5, "Group 0 disabled")
    VGrp0E = Bit(4, "Group 0 enabled")
    NP = Bit(3, "no list register is pending")
    LRENP = Bit(2, "EOIs without a list register")
    U = Bit(1, "underflow: at most one list register in use")
    EOI = Bit(0, "a list register with the EOI bit was completed")


_STATES = {0: "invalid", 1: "pending", 2: "active", 3: "pending and active"}


class _ListRegister(Register, width=32, source="IHI 0048B, 5.3.8 GICH_LRn"):
    HW = Bit(31, "origin", {0: "software interrupt", 1: "hardware interrupt"})
    Grp1 = Bit(30, "Group 1: a virtual IRQ")
    State = Bits(29, 28, "state", _STATES)
    Priority = Bits(27, 23, "GICD priority [7:3]")
    VirtualID = Bits(9, 0, "virtual interrupt id")


class GICH_LR(_ListRegister):
    """A list register with HW = 1: the guest's EOI deactivates physical interrupt PhysicalID as well."""

    PhysicalID = Bits(19, 10, "physical interrupt id")


class GICH_LR_SOFTWARE(_ListRegister):
    """A list register with HW = 0: [19] asks for a maintenance interrupt at EOI, [12:10] is the sender of an SGI."""

    EOI = Bit(19, "maintenance interrupt when completed")
    CPUID = Bits(12, 10, "sender of an SGI")
