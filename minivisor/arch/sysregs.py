"""System registers that a small hypervisor reads and writes, field by field.

    EL2's controls      HCR_EL2  VTCR_EL2  VTTBR_EL2  HPFAR_EL2  CNTHCTL_EL2
    the guest's own     SCTLR_EL1  TCR_EL1  TTBR0/1_EL1  MAIR_EL1  CPACR_EL1  PAR_EL1  CNTKCTL_EL1  CNTx_CTL

Names and positions are DDI 0487's. `ESR_ELx` is in `esr`, `SPSR_ELx` in `pstate`, identification registers are in
`idregs`; how to encode an access to any of them, in `encoding`.
"""

from __future__ import annotations

from minivisor.arch.bits import Address, Bit, Bits, Register
from minivisor.arch.esr import FSC_NAMES

__all__ = [
    "CNTHCTL_EL2",
    "CNTKCTL_EL1",
    "CPACR_EL1",
    "HCR_EL2",
    "HPFAR_EL2",
    "MAIR_EL1",
    "PAR_EL1",
    "PAR_EL1_FAULT",
    "SCTLR_EL1",
    "TCR_EL1",
    "TTBR0_EL1",
    "TTBR1_EL1",
    "VTCR_EL2",
    "VTTBR_EL2",
    "CNTx_CTL",
    "par",
]

# ── EL2's controls ───────────────────────────────────────────────────────────────────────────────────────────────────


class HCR_EL2(Register, width=64, source="DDI 0487, HCR_EL2"):
    """Hypervisor Configuration Register: what is virtual, and what traps."""

    TWEDEL = Bits(63, 60, "WFE trap delay")
    TWEDEn = Bit(59, "WFE trap delay enabled")
    TID5 = Bit(58, "trap GMID_EL1")
    DCT = Bit(57, "stage-1-off accesses are Tagged")
    ATA = Bit(56, "allocation tag access")
    TTLBOS = Bit(55, "trap outer shareable TLBI")
    TTLBIS = Bit(54, "trap inner shareable TLBI")
    EnSCXT = Bit(53, "SCXTNUM_ELx not trapped")
    TOCU = Bit(52, "trap cache maintenance to the point of unification")
    AMVOFFEN = Bit(51, "activity monitors virtual offsets")
    TICAB = Bit(50, "trap IC IALLUIS and IC IALLU")
    TID4 = Bit(49, "trap cache identification registers")
    GPF = Bit(48, "granule protection faults go to EL2")
    FIEN = Bit(47, "fault injection enabled")
    FWB = Bit(46, "stage 2 forces write-back")
    NV2 = Bit(45, "nested virtualization by memory")
    AT = Bit(44, "trap AT instructions")
    NV1 = Bit(43, "nested virtualization of EL1 accesses")
    NV = Bit(42, "nested virtualization")
    API = Bit(41, "pointer authentication instructions not trapped")
    APK = Bit(40, "pointer authentication keys not trapped")
    TME = Bit(39, "transactional memory enabled")
    MIOCNCE = Bit(38, "mismatched cacheability allowed to lose coherency")
    TEA = Bit(37, "route external aborts to EL2")
    TERR = Bit(36, "trap error record registers")
    TLOR = Bit(35, "trap LORegion registers")
    E2H = Bit(34, "EL2 hosts an operating system")
    ID = Bit(33, "stage-2 instruction accesses are non-cacheable")
    CD = Bit(32, "stage-2 data accesses are non-cacheable")
    RW = Bit(31, "EL1 execution state", {0: "EL1 is AArch32", 1: "EL1 is AArch64"})
    TRVM = Bit(30, "trap reads of virtual memory controls")
    HCD = Bit(29, "HVC disabled")
    TDZ = Bit(28, "trap DC ZVA")
    TGE = Bit(27, "route general exceptions to EL2")
    TVM = Bit(26, "trap writes of virtual memory controls")
    TTLB = Bit(25, "trap TLB maintenance")
    TPU = Bit(24, "trap cache maintenance to the point of unification by EL1 and EL0")
    TPCP = Bit(23, "trap cache maintenance to the point of coherency")
    TSW = Bit(22, "trap cache maintenance by set and way")
    TACR = Bit(21, "trap auxiliary control registers")
    TIDCP = Bit(20, "trap IMPLEMENTATION DEFINED registers")
    TSC = Bit(19, "trap SMC")
    TID3 = Bit(18, "trap ID group 3: feature registers")
    TID2 = Bit(17, "trap ID group 2: cache registers")
    TID1 = Bit(16, "trap ID group 1: implementation registers")
    TID0 = Bit(15, "trap ID group 0: AArch32 JIDR and FPSID")
    TWE = Bit(14, "trap WFE")
    TWI = Bit(13, "trap WFI")
    DC = Bit(12, "default cacheability with stage 1 off")
    BSU = Bits(11, 10, "barriers reach at least", {1: "inner shareable", 2: "outer shareable", 3: "full system"})
    FB = Bit(9, "force broadcast of maintenance")
    VSE = Bit(8, "virtual SError pending")
    VI = Bit(7, "virtual IRQ pending")
    VF = Bit(6, "virtual FIQ pending")
    AMO = Bit(5, "physical SError to EL2, virtual SError enabled")
    IMO = Bit(4, "physical IRQ to EL2, virtual IRQ enabled")
    FMO = Bit(3, "physical FIQ to EL2, virtual FIQ enabled")
    PTW = Bit(2, "a stage-1 walk in Device memory faults")
    SWIO = Bit(1, "invalidate by set and way cleans too")
    VM = Bit(0, "stage-2 translation enabled")


PA_RANGE = {0: "32 bits", 1: "36 bits", 2: "40 bits", 3: "42 bits", 4: "44 bits", 5: "48 bits", 6: "52 bits"}
_CACHEABLE = {
    0: "non-cacheable",
    1: "write-back, read and write allocate",
    2: "write-through, read allocate",
    3: "write-back, read allocate",
}
_SHAREABLE = {0: "non-shareable", 2: "outer shareable", 3: "inner shareable"}
_TG0 = {0: "4 KiB", 1: "64 KiB", 2: "16 KiB"}
_TG1 = {1: "16 KiB", 2: "4 KiB", 3: "64 KiB"}


class VTCR_EL2(Register, width=64, source="DDI 0487, VTCR_EL2"):
    """Virtualization Translation Control Register: the shape of stage 2."""

    RES1 = Bit(31, "reserved, one")
    NSA = Bit(30, "output of Secure stage 2")
    NSW = Bit(29, "walks of Secure stage 2")
    HWU62 = Bit(28, "descriptor bit 62 is hardware's")
    HWU61 = Bit(27, "descriptor bit 61 is hardware's")
    HWU60 = Bit(26, "descriptor bit 60 is hardware's")
    HWU59 = Bit(25, "descriptor bit 59 is hardware's")
    HD = Bit(22, "hardware sets the dirty state")
    HA = Bit(21, "hardware sets the access flag")
    VS = Bit(19, "VMID size", {0: "8 bits", 1: "16 bits"})
    PS = Bits(18, 16, "physical address size", PA_RANGE)
    TG0 = Bits(15, 14, "granule", _TG0)
    SH0 = Bits(13, 12, "walks are", _SHAREABLE)
    ORGN0 = Bits(11, 10, "walks, outer", _CACHEABLE)
    IRGN0 = Bits(9, 8, "walks, inner", _CACHEABLE)
    SL0 = Bits(7, 6, "starting level with a 4 KiB granule", {0: "level 2", 1: "level 1", 2: "level 0", 3: "level 3"})
    T0SZ = Bits(5, 0, "the IPA space is 2^(64 - T0SZ) bytes")


class VTTBR_EL2(Register, width=64, source="DDI 0487, VTTBR_EL2"):
    """Virtualization Translation Table Base Register: whose stage-2 tables, and under which tag."""

    VMID = Bits(63, 48, "tag of the guest's TLB entries")
    BADDR = Address(47, 1, "table base")
    CnP = Bit(0, "common not private")


class HPFAR_EL2(Register, width=64, source="DDI 0487, HPFAR_EL2"):
    """Hypervisor IPA Fault Address Register: the page of a stage-2 fault. FIPA is in bytes, page aligned."""

    NS = Bit(63, "Non-secure")
    FIPA = Address(43, 4, "page of the faulting IPA", unit=12)


class CNTHCTL_EL2(Register, width=64, source="DDI 0487, CNTHCTL_EL2 when HCR_EL2.E2H is 0"):
    """Counter-timer Hypervisor Control: whether the guest may touch the physical timer."""

    EVNTIS = Bit(17, "event stream from bit 8 up")
    EVNTI = Bits(7, 4, "event stream bit")
    EVNTDIR = Bit(3, "event on", {0: "0 to 1", 1: "1 to 0"})
    EVNTEN = Bit(2, "event stream enabled")
    EL1PCEN = Bit(1, "CNTP_* not trapped")
    EL1PCTEN = Bit(0, "CNTPCT not trapped")


# ── the guest's own ──────────────────────────────────────────────────────────────────────────────────────────────────


class SCTLR_EL1(Register, width=64, source="DDI 0487, SCTLR_EL1"):
    """System Control Register: MMU, caches, alignment, and what EL0 may do."""

    TIDCP = Bit(63, "trap IMPLEMENTATION DEFINED registers from EL0")
    SPINTMASK = Bit(62, "SP selects the interrupt mask")
    NMI = Bit(61, "non-maskable interrupts")
    EnTP2 = Bit(60, "TPIDR2_EL0 not trapped")
    EPAN = Bit(57, "enhanced PAN")
    EnALS = Bit(56, "LD64B and ST64B not trapped")
    EnAS0 = Bit(55, "ST64BV0 not trapped")
    EnASR = Bit(54, "ST64BV not trapped")
    TME = Bit(53, "transactional memory at EL1")
    TME0 = Bit(52, "transactional memory at EL0")
    TMT = Bit(51, "transactions at EL1 fail trivially")
    TMT0 = Bit(50, "transactions at EL0 fail trivially")
    TWEDEL = Bits(49, 46, "WFE trap delay")
    TWEDEn = Bit(45, "WFE trap delay enabled")
    DSSBS = Bit(44, "PSTATE.SSBS on exception entry")
    ATA = Bit(43, "allocation tag access at EL1")
    ATA0 = Bit(42, "allocation tag access at EL0")
    TCF = Bits(41, 40, "tag check faults at EL1", {1: "synchronous", 2: "asynchronous", 3: "asymmetric"})
    TCF0 = Bits(39, 38, "tag check faults at EL0", {1: "synchronous", 2: "asynchronous", 3: "asymmetric"})
    ITFSB = Bit(37, "tag faults synchronized on entry")
    BT1 = Bit(36, "PACIxSP is a branch target at EL1")
    BT0 = Bit(35, "PACIxSP is a branch target at EL0")
    MSCEn = Bit(33, "memory copy instructions at EL0")
    CMOW = Bit(32, "cache maintenance needs write permission")
    EnIA = Bit(31, "pointer authentication, key IA")
    EnIB = Bit(30, "pointer authentication, key IB")
    LSMAOE = Bit(29, "load multiple ordered")
    nTLSMD = Bit(28, "load multiple to Device memory not trapped")
    EnDA = Bit(27, "pointer authentication, key DA")
    UCI = Bit(26, "EL0 cache maintenance not trapped")
    EE = Bit(25, "data at EL1 and walks", {0: "little-endian", 1: "big-endian"})
    E0E = Bit(24, "data at EL0", {0: "little-endian", 1: "big-endian"})
    SPAN = Bit(23, "PSTATE.PAN on exception entry", {0: "set", 1: "unchanged"})
    EIS = Bit(22, "exception entry synchronizes context")
    IESB = Bit(21, "implicit error synchronization")
    TSCXT = Bit(20, "trap SCXTNUM_EL0")
    WXN = Bit(19, "writable is execute-never")
    nTWE = Bit(18, "EL0 WFE not trapped")
    nTWI = Bit(16, "EL0 WFI not trapped")
    UCT = Bit(15, "EL0 may read CTR_EL0")
    DZE = Bit(14, "EL0 may DC ZVA")
    EnDB = Bit(13, "pointer authentication, key DB")
    I = Bit(12, "instruction cache enabled")  # noqa: E741 (the architecture's name)
    EOS = Bit(11, "exception return synchronizes context")
    EnRCTX = Bit(10, "EL0 may restrict prediction")
    UMA = Bit(9, "EL0 may access DAIF")
    SED = Bit(8, "SETEND disabled (AArch32)")
    ITD = Bit(7, "IT disabled (AArch32)")
    nAA = Bit(6, "unaligned within 16 bytes allowed")
    CP15BEN = Bit(5, "CP15 barriers enabled (AArch32)")
    SA0 = Bit(4, "SP alignment check at EL0")
    SA = Bit(3, "SP alignment check at EL1")
    C = Bit(2, "data cache enabled")
    A = Bit(1, "alignment check")
    M = Bit(0, "stage-1 translation enabled")


class TCR_EL1(Register, width=64, source="DDI 0487, TCR_EL1"):
    """Translation Control Register: the shape of stage 1. Suffix 0: TTBR0's half, 1: TTBR1's."""

    DS = Bit(59, "52-bit output addresses with small granules")
    TCMA1 = Bit(58, "tag 0b1111 unchecked in TTBR1's half")
    TCMA0 = Bit(57, "tag 0 unchecked in TTBR0's half")
    E0PD1 = Bit(56, "EL0 faults in TTBR1's half")
    E0PD0 = Bit(55, "EL0 faults in TTBR0's half")
    NFD1 = Bit(54, "non-fault walks disabled, TTBR1")
    NFD0 = Bit(53, "non-fault walks disabled, TTBR0")
    TBID1 = Bit(52, "top byte ignored for data only, TTBR1")
    TBID0 = Bit(51, "top byte ignored for data only, TTBR0")
    HWU162 = Bit(50, "descriptor bit 62 is hardware's, TTBR1")
    HWU161 = Bit(49, "descriptor bit 61 is hardware's, TTBR1")
    HWU160 = Bit(48, "descriptor bit 60 is hardware's, TTBR1")
    HWU159 = Bit(47, "descriptor bit 59 is hardware's, TTBR1")
    HWU062 = Bit(46, "descriptor bit 62 is hardware's, TTBR0")
    HWU061 = Bit(45, "descriptor bit 61 is hardware's, TTBR0")
    HWU060 = Bit(44, "descriptor bit 60 is hardware's, TTBR0")
    HWU059 = Bit(43, "descriptor bit 59 is hardware's, TTBR0")
    HPD1 = Bit(42, "hierarchical permissions disabled, TTBR1")
    HPD0 = Bit(41, "hierarchical permissions disabled, TTBR0")
    HD = Bit(40, "hardware sets the dirty state")
    HA = Bit(39, "hardware sets the access flag")
    TBI1 = Bit(38, "top byte ignored, TTBR1")
    TBI0 = Bit(37, "top byte ignored, TTBR0")
    AS = Bit(36, "ASID size", {0: "8 bits", 1: "16 bits"})
    IPS = Bits(34, 32, "intermediate physical address size", PA_RANGE)
    TG1 = Bits(31, 30, "granule, TTBR1", _TG1)
    SH1 = Bits(29, 28, "walks of TTBR1 are", _SHAREABLE)
    ORGN1 = Bits(27, 26, "walks of TTBR1, outer", _CACHEABLE)
    IRGN1 = Bits(25, 24, "walks of TTBR1, inner", _CACHEABLE)
    EPD1 = Bit(23, "walks of TTBR1 disabled")
    A1 = Bit(22, "ASID from", {0: "TTBR0_EL1", 1: "TTBR1_EL1"})
    T1SZ = Bits(21, 16, "TTBR1's half is 2^(64 - T1SZ) bytes")
    TG0 = Bits(15, 14, "granule, TTBR0", _TG0)
    SH0 = Bits(13, 12, "walks of TTBR0 are", _SHAREABLE)
    ORGN0 = Bits(11, 10, "walks of TTBR0, outer", _CACHEABLE)
    IRGN0 = Bits(9, 8, "walks of TTBR0, inner", _CACHEABLE)
    EPD0 = Bit(7, "walks of TTBR0 disabled")
    T0SZ = Bits(5, 0, "TTBR0's half is 2^(64 - T0SZ) bytes")


class TTBR0_EL1(Register, width=64, source="DDI 0487, TTBR0_EL1"):
    """Translation Table Base Register 0: the low half of the address space."""

    ASID = Bits(63, 48, "address space identifier")
    BADDR = Address(47, 1, "table base")
    CnP = Bit(0, "common not private")


class TTBR1_EL1(TTBR0_EL1, source="DDI 0487, TTBR1_EL1"):
    """Translation Table Base Register 1: the high half of the address space."""


MEMORY_ATTRIBUTES = {
    0x00: "Device-nGnRnE",
    0x04: "Device-nGnRE",
    0x08: "Device-nGRE",
    0x0C: "Device-GRE",
    0x44: "Normal, non-cacheable",
    0xBB: "Normal, write-through",
    0xF0: "Normal, write-back, tagged",
    0xFF: "Normal, write-back",
}
"""The bytes of MAIR_EL1 that software uses; DDI 0487, MAIR_EL1 has the rule for all of them."""


class MAIR_EL1(Register, width=64, source="DDI 0487, MAIR_EL1"):
    """Memory Attribute Indirection Register: what AttrIndx 0 to 7 in a descriptor means."""

    Attr7 = Bits(63, 56, "attributes 7", MEMORY_ATTRIBUTES)
    Attr6 = Bits(55, 48, "attributes 6", MEMORY_ATTRIBUTES)
    Attr5 = Bits(47, 40, "attributes 5", MEMORY_ATTRIBUTES)
    Attr4 = Bits(39, 32, "attributes 4", MEMORY_ATTRIBUTES)
    Attr3 = Bits(31, 24, "attributes 3", MEMORY_ATTRIBUTES)
    Attr2 = Bits(23, 16, "attributes 2", MEMORY_ATTRIBUTES)
    Attr1 = Bits(15, 8, "attributes 1", MEMORY_ATTRIBUTES)
    Attr0 = Bits(7, 0, "attributes 0", MEMORY_ATTRIBUTES)


class CPACR_EL1(Register, width=64, source="DDI 0487, CPACR_EL1"):
    """Architectural Feature Access Control Register: who may use floating point."""

    TTA = Bit(28, "trap trace registers")
    SMEN = Bits(25, 24, "SME", {0: "trapped", 1: "trapped at EL0", 2: "trapped", 3: "not trapped"})
    FPEN = Bits(21, 20, "floating point", {0: "trapped", 1: "trapped at EL0", 2: "trapped", 3: "not trapped"})
    ZEN = Bits(17, 16, "SVE", {0: "trapped", 1: "trapped at EL0", 2: "trapped", 3: "not trapped"})


class PAR_EL1(Register, width=64, source="DDI 0487, PAR_EL1 when F is 0"):
    """Physical Address Register, after an AT that succeeded."""

    ATTR = Bits(63, 56, "memory attributes", MEMORY_ATTRIBUTES)
    PA = Address(47, 12, "page of the output address")
    RES1 = Bit(11, "reserved, one")
    NS = Bit(9, "Non-secure")
    SH = Bits(8, 7, "the page is", _SHAREABLE)
    F = Bit(0, "the translation", {0: "succeeded", 1: "failed"})


class PAR_EL1_FAULT(Register, width=64, source="DDI 0487, PAR_EL1 when F is 1"):
    """Physical Address Register, after an AT that failed."""

    RES1 = Bit(11, "reserved, one")
    S = Bit(9, "the fault was at", {0: "stage 1", 1: "stage 2"})
    PTW = Bit(8, "stage-2 fault on a stage-1 walk")
    FST = Bits(6, 1, "fault status", FSC_NAMES)
    F = Bit(0, "the translation", {0: "succeeded", 1: "failed"})


def par(value: int) -> PAR_EL1 | PAR_EL1_FAULT:
    """PAR_EL1 in the form that its F bit selects."""
    return PAR_EL1_FAULT(value) if value & 1 else PAR_EL1(value)


class CNTx_CTL(Register, width=64, source="DDI 0487, CNTV_CTL_EL0; also CNTP_CTL_EL0 and CNTHP_CTL_EL2"):
    """Control of one timer. The interrupt is asserted when ENABLE and ISTATUS are 1 and IMASK is 0."""

    ISTATUS = Bit(2, "condition met: the count has reached CVAL")
    IMASK = Bit(1, "interrupt masked")
    ENABLE = Bit(0, "timer enabled")


class CNTKCTL_EL1(Register, width=64, source="DDI 0487, CNTKCTL_EL1"):
    """Counter-timer Kernel Control: what EL0 may read of the timers."""

    EVNTIS = Bit(17, "event stream from bit 8 up")
    EL0PTEN = Bit(9, "EL0 may access the physical timer")
    EL0VTEN = Bit(8, "EL0 may access the virtual timer")
    EVNTI = Bits(7, 4, "event stream bit")
    EVNTDIR = Bit(3, "event on", {0: "0 to 1", 1: "1 to 0"})
    EVNTEN = Bit(2, "event stream enabled")
    EL0VCTEN = Bit(1, "EL0 may read CNTVCT")
    EL0PCTEN = Bit(0, "EL0 may read CNTPCT")
