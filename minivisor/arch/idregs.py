"""Identification registers: what a core says it can do, and so what a guest will try.

Each feature is a field of four bits. Most are unsigned: 0 is "no", more is more. The floating-point fields of
ID_AA64PFR0 and two granules of ID_AA64MMFR0 are signed: 0 is "yes", 0xF is "no". EL2 shows a guest these registers
through traps (HCR_EL2.TID3) and so decides what the guest believes; VPIDR_EL2 and VMPIDR_EL2 stand in for the two IDs.

Source: DDI 0487, D17.2 "General system control registers".
"""

from __future__ import annotations

from minivisor.arch.bits import Bit, Bits, Register
from minivisor.arch.sysregs import PA_RANGE

__all__ = [
    "CTR_EL0",
    "ID_AA64DFR0_EL1",
    "ID_AA64ISAR0_EL1",
    "ID_AA64MMFR0_EL1",
    "ID_AA64MMFR1_EL1",
    "ID_AA64MMFR2_EL1",
    "ID_AA64PFR0_EL1",
    "MIDR_EL1",
    "MPIDR_EL1",
]

_EXCEPTION_LEVEL = {0: "not implemented", 1: "AArch64 only", 2: "AArch64 and AArch32"}
_SIGNED = {0: "implemented", 1: "with half precision", 15: "not implemented"}


class MPIDR_EL1(Register, width=64, source="DDI 0487, MPIDR_EL1"):
    """Multiprocessor Affinity Register: which core this is. VMPIDR_EL2 is what a guest reads."""

    Aff3 = Bits(39, 32, "affinity level 3")
    RES1 = Bit(31, "reserved, one")
    U = Bit(30, "uniprocessor system")
    MT = Bit(24, "the lowest level is threads")
    Aff2 = Bits(23, 16, "affinity level 2")
    Aff1 = Bits(15, 8, "affinity level 1")
    Aff0 = Bits(7, 0, "affinity level 0")


class MIDR_EL1(Register, width=64, source="DDI 0487, MIDR_EL1"):
    """Main ID Register. VPIDR_EL2 is what a guest reads."""

    Implementer = Bits(31, 24, "implementer", {0x41: "Arm"})
    Variant = Bits(23, 20, "variant")
    Architecture = Bits(19, 16, "architecture", {15: "see the identification registers"})
    PartNum = Bits(15, 4, "part", {0xD03: "Cortex-A53", 0xD07: "Cortex-A57", 0xD08: "Cortex-A72"})
    Revision = Bits(3, 0, "revision")


class CTR_EL0(Register, width=64, source="DDI 0487, CTR_EL0"):
    """Cache Type Register. Line sizes are log2 of words."""

    TminLine = Bits(37, 32, "tag cache line")
    RES1 = Bit(31, "reserved, one")
    DIC = Bit(29, "no instruction cache invalidation needed")
    IDC = Bit(28, "no data cache clean needed")
    CWG = Bits(27, 24, "write-back granule")
    ERG = Bits(23, 20, "exclusives reservation granule")
    DminLine = Bits(19, 16, "smallest data cache line")
    L1Ip = Bits(15, 14, "instruction cache", {0: "VPIPT", 2: "VIPT", 3: "PIPT"})
    IminLine = Bits(3, 0, "smallest instruction cache line")


class ID_AA64PFR0_EL1(Register, width=64, source="DDI 0487, ID_AA64PFR0_EL1"):
    """Processor Feature Register 0: exception levels, floating point, GIC system registers."""

    CSV3 = Bits(63, 60, "speculative data does not leak by faults")
    CSV2 = Bits(59, 56, "branch targets do not leak across contexts")
    RME = Bits(55, 52, "Realm Management Extension")
    DIT = Bits(51, 48, "data independent timing")
    AMU = Bits(47, 44, "activity monitors")
    MPAM = Bits(43, 40, "memory partitioning, major version")
    SEL2 = Bits(39, 36, "Secure EL2")
    SVE = Bits(35, 32, "scalable vectors")
    RAS = Bits(31, 28, "reliability extension")
    GIC = Bits(27, 24, "GIC system registers", {0: "not implemented", 1: "GICv3 and 4.0", 3: "GICv4.1"})
    AdvSIMD = Bits(23, 20, "Advanced SIMD", _SIGNED)
    FP = Bits(19, 16, "floating point", _SIGNED)
    EL3 = Bits(15, 12, "EL3", _EXCEPTION_LEVEL)
    EL2 = Bits(11, 8, "EL2", _EXCEPTION_LEVEL)
    EL1 = Bits(7, 4, "EL1", _EXCEPTION_LEVEL)
    EL0 = Bits(3, 0, "EL0", _EXCEPTION_LEVEL)


class ID_AA64DFR0_EL1(Register, width=64, source="DDI 0487, ID_AA64DFR0_EL1"):
    """Debug Feature Register 0. BRPs and WRPs are counts less one, so that they cannot say "none"."""

    HPMN0 = Bits(63, 60, "HPMN of 0 is allowed")
    BRBE = Bits(55, 52, "branch record buffer")
    MTPMU = Bits(51, 48, "multithreaded PMU")
    TraceBuffer = Bits(47, 44, "trace buffer")
    TraceFilt = Bits(43, 40, "trace filtering")
    DoubleLock = Bits(39, 36, "OS Double Lock", {0: "implemented", 15: "not implemented"})
    PMSVer = Bits(35, 32, "statistical profiling")
    CTX_CMPs = Bits(31, 28, "context-aware breakpoints, less one")
    WRPs = Bits(23, 20, "watchpoints, less one")
    BRPs = Bits(15, 12, "breakpoints, less one")
    PMUVer = Bits(11, 8, "performance monitors", {0: "not implemented", 1: "PMUv3", 15: "IMPLEMENTATION DEFINED"})
    TraceVer = Bits(7, 4, "trace system registers")
    DebugVer = Bits(3, 0, "debug architecture", {6: "Armv8", 7: "Armv8 with VHE", 8: "Armv8.2", 9: "Armv8.4"})


class ID_AA64ISAR0_EL1(Register, width=64, source="DDI 0487, ID_AA64ISAR0_EL1"):
    """Instruction Set Attribute Register 0."""

    RNDR = Bits(63, 60, "random number instructions")
    TLB = Bits(59, 56, "TLBI outer shareable and range", {1: "outer shareable", 2: "outer shareable and range"})
    TS = Bits(55, 52, "flag manipulation")
    FHM = Bits(51, 48, "FMLAL and FMLSL")
    DP = Bits(47, 44, "dot product")
    SM4 = Bits(43, 40, "SM4")
    SM3 = Bits(39, 36, "SM3")
    SHA3 = Bits(35, 32, "SHA3")
    RDM = Bits(31, 28, "rounding double multiply")
    TME = Bits(27, 24, "transactional memory")
    Atomic = Bits(23, 20, "large system extensions", {2: "implemented"})
    CRC32 = Bits(19, 16, "CRC32")
    SHA2 = Bits(15, 12, "SHA2", {1: "SHA256", 2: "SHA256 and SHA512"})
    SHA1 = Bits(11, 8, "SHA1")
    AES = Bits(7, 4, "AES", {1: "AES", 2: "AES and PMULL"})


class ID_AA64MMFR0_EL1(Register, width=64, source="DDI 0487, ID_AA64MMFR0_EL1"):
    """Memory Model Feature Register 0: address sizes and granules."""

    ECV = Bits(63, 60, "enhanced counter virtualization")
    FGT = Bits(59, 56, "fine-grained traps")
    ExS = Bits(47, 44, "non-synchronizing exceptions")
    TGran4_2 = Bits(43, 40, "4 KiB at stage 2", {0: "as at stage 1", 1: "not implemented", 2: "implemented"})
    TGran64_2 = Bits(39, 36, "64 KiB at stage 2", {0: "as at stage 1", 1: "not implemented", 2: "implemented"})
    TGran16_2 = Bits(35, 32, "16 KiB at stage 2", {0: "as at stage 1", 1: "not implemented", 2: "implemented"})
    TGran4 = Bits(31, 28, "4 KiB granule", {0: "implemented", 1: "with 52 bits", 15: "not implemented"})
    TGran64 = Bits(27, 24, "64 KiB granule", {0: "implemented", 15: "not implemented"})
    TGran16 = Bits(23, 20, "16 KiB granule", {0: "not implemented", 1: "implemented", 2: "with 52 bits"})
    BigEndEL0 = Bits(19, 16, "mixed endianness at EL0 alone")
    SNSMem = Bits(15, 12, "Secure and Non-secure memory")
    BigEnd = Bits(11, 8, "mixed endianness")
    ASIDBits = Bits(7, 4, "ASID", {0: "8 bits", 2: "16 bits"})
    PARange = Bits(3, 0, "physical addresses", PA_RANGE)


class ID_AA64MMFR1_EL1(Register, width=64, source="DDI 0487, ID_AA64MMFR1_EL1"):
    """Memory Model Feature Register 1."""

    ECBHB = Bits(63, 60, "branch history does not cross exception levels")
    CMOW = Bits(59, 56, "cache maintenance needs write permission")
    TIDCP1 = Bits(55, 52, "EL0 IMPLEMENTATION DEFINED traps")
    nTLBPA = Bits(51, 48, "no caching of physical addresses of walks")
    AFP = Bits(47, 44, "alternate floating-point behaviour")
    HCX = Bits(43, 40, "HCRX_EL2")
    ETS = Bits(39, 36, "enhanced translation synchronization")
    TWED = Bits(35, 32, "delayed WFE traps")
    XNX = Bits(31, 28, "stage-2 execute-never by exception level")
    SpecSEI = Bits(27, 24, "SError from speculative reads")
    PAN = Bits(23, 20, "privileged access never", {1: "PAN", 2: "PAN and AT S1E1RP", 3: "PAN3"})
    LO = Bits(19, 16, "limited ordering regions")
    HPDS = Bits(15, 12, "hierarchical permissions can be disabled")
    VH = Bits(11, 8, "virtualization host extensions")
    VMIDBits = Bits(7, 4, "VMID", {0: "8 bits", 2: "16 bits"})
    HAFDBS = Bits(3, 0, "hardware access flag and dirty state", {1: "access flag", 2: "access flag and dirty state"})


class ID_AA64MMFR2_EL1(Register, width=64, source="DDI 0487, ID_AA64MMFR2_EL1"):
    """Memory Model Feature Register 2."""

    E0PD = Bits(63, 60, "EL0 can be kept from half the address space")
    EVT = Bits(59, 56, "enhanced virtualization traps")
    BBM = Bits(55, 52, "block size changes without break-before-make, level")
    TTL = Bits(51, 48, "TLBI level hint")
    FWB = Bits(43, 40, "HCR_EL2.FWB")
    IDS = Bits(39, 36, "feature registers trap with", {0: "EC 0", 1: "EC 0x18"})
    AT = Bits(35, 32, "unaligned single-copy atomicity")
    ST = Bits(31, 28, "small translation tables")
    NV = Bits(27, 24, "nested virtualization", {1: "NV", 2: "NV2"})
    CCIDX = Bits(23, 20, "CCSIDR_EL1", {0: "32 bits", 1: "64 bits"})
    VARange = Bits(19, 16, "virtual addresses", {0: "48 bits", 1: "52 bits with 64 KiB"})
    IESB = Bits(15, 12, "SCTLR_ELx.IESB")
    LSM = Bits(11, 8, "SCTLR_ELx.LSMAOE")
    UAO = Bits(7, 4, "user access override")
    CnP = Bits(3, 0, "common not private")
