"""Exception syndromes: why an exception was taken, in one word.

    63      56 55    32 31   26 25 24                                0
    ┌─────────┬────────┬───────┬──┬──────────────────────────────────┐     EC: exception class, which exception this is
    │  RES0   │  ISS2  │  EC   │IL│               ISS                │     IL: 1 for a 32-bit instruction
    └─────────┴────────┴───────┴──┴──────────────────────────────────┘     ISS: what it means depends on EC

ESR_EL1 and ESR_EL2 have one layout. EC selects the form of the ISS; `FORMS` says which, `ESR.syndrome` decodes it, and
`describe` puts the whole into a line for people:

    >>> describe(0x93810046)
    'Data Abort from a lower EL: translation fault, level 2, write of 4 bytes from w1'

Source: DDI 0487, D17.2.37 "ESR_EL1" and ESR_EL2 "ISS encoding".
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import SupportsIndex

from minivisor.arch import encoding
from minivisor.arch.bits import Bit, Bits, Register

__all__ = [
    "EC",
    "EC_NAMES",
    "ESR_EL1",
    "ESR_EL2",
    "FORMS",
    "FSC",
    "FSC_NAMES",
    "Breakpoint",
    "DataAbort",
    "FPAccess",
    "Immediate",
    "InstructionAbort",
    "NoSyndrome",
    "SError",
    "SoftwareStep",
    "SysregTrap",
    "WFx",
    "Watchpoint",
    "describe",
    "esr",
    "fault_level",
]


class EC(IntEnum):
    """Exception classes. `_LOWER` from a lower exception level, `_CURRENT` without a change of level."""

    UNKNOWN = 0x00
    WFX = 0x01
    MCR_CP15 = 0x03
    MCRR_CP15 = 0x04
    MCR_CP14 = 0x05
    LDC_CP14 = 0x06
    FP_ASIMD = 0x07
    VMRS = 0x08
    PAUTH = 0x09
    LD64B = 0x0A
    MRRC_CP14 = 0x0C
    BRANCH_TARGET = 0x0D
    ILLEGAL_STATE = 0x0E
    SVC32 = 0x11
    HVC32 = 0x12
    SMC32 = 0x13
    SVC64 = 0x15
    HVC64 = 0x16
    SMC64 = 0x17
    SYSREG = 0x18
    SVE = 0x19
    ERET = 0x1A
    FPAC = 0x1C
    SME = 0x1D
    IABT_LOWER = 0x20
    IABT_CURRENT = 0x21
    PC_ALIGNMENT = 0x22
    DABT_LOWER = 0x24
    DABT_CURRENT = 0x25
    SP_ALIGNMENT = 0x26
    FP_EXC32 = 0x28
    FP_EXC64 = 0x2C
    SERROR = 0x2F
    BREAKPOINT_LOWER = 0x30
    BREAKPOINT_CURRENT = 0x31
    STEP_LOWER = 0x32
    STEP_CURRENT = 0x33
    WATCHPOINT_LOWER = 0x34
    WATCHPOINT_CURRENT = 0x35
    BKPT32 = 0x38
    VECTOR_CATCH32 = 0x3A
    BRK64 = 0x3C


EC_NAMES: dict[int, str] = {
    EC.UNKNOWN: "Unknown reason",
    EC.WFX: "Trapped WFI or WFE",
    EC.MCR_CP15: "Trapped MCR or MRC, coprocessor 15 (AArch32)",
    EC.MCRR_CP15: "Trapped MCRR or MRRC, coprocessor 15 (AArch32)",
    EC.MCR_CP14: "Trapped MCR or MRC, coprocessor 14 (AArch32)",
    EC.LDC_CP14: "Trapped LDC or STC, coprocessor 14 (AArch32)",
    EC.FP_ASIMD: "Trapped SVE, SIMD or floating point",
    EC.VMRS: "Trapped VMRS (AArch32)",
    EC.PAUTH: "Trapped pointer authentication",
    EC.LD64B: "Trapped LD64B or ST64B",
    EC.MRRC_CP14: "Trapped MRRC, coprocessor 14 (AArch32)",
    EC.BRANCH_TARGET: "Branch Target Exception",
    EC.ILLEGAL_STATE: "Illegal Execution state",
    EC.SVC32: "SVC (AArch32)",
    EC.HVC32: "HVC (AArch32)",
    EC.SMC32: "Trapped SMC (AArch32)",
    EC.SVC64: "SVC",
    EC.HVC64: "HVC",
    EC.SMC64: "Trapped SMC",
    EC.SYSREG: "Trapped MSR, MRS or system instruction",
    EC.SVE: "Trapped SVE",
    EC.ERET: "Trapped ERET",
    EC.FPAC: "Pointer authentication failure",
    EC.SME: "Trapped SME",
    EC.IABT_LOWER: "Instruction Abort from a lower EL",
    EC.IABT_CURRENT: "Instruction Abort without a change of EL",
    EC.PC_ALIGNMENT: "PC alignment fault",
    EC.DABT_LOWER: "Data Abort from a lower EL",
    EC.DABT_CURRENT: "Data Abort without a change of EL",
    EC.SP_ALIGNMENT: "SP alignment fault",
    EC.FP_EXC32: "Trapped floating-point exception (AArch32)",
    EC.FP_EXC64: "Trapped floating-point exception",
    EC.SERROR: "SError interrupt",
    EC.BREAKPOINT_LOWER: "Breakpoint from a lower EL",
    EC.BREAKPOINT_CURRENT: "Breakpoint without a change of EL",
    EC.STEP_LOWER: "Software Step from a lower EL",
    EC.STEP_CURRENT: "Software Step without a change of EL",
    EC.WATCHPOINT_LOWER: "Watchpoint from a lower EL",
    EC.WATCHPOINT_CURRENT: "Watchpoint without a change of EL",
    EC.BKPT32: "BKPT (AArch32)",
    EC.VECTOR_CATCH32: "Vector Catch (AArch32)",
    EC.BRK64: "BRK",
}


class FSC(IntEnum):
    """Fault status codes (DFSC, IFSC, PAR_EL1.FST). A level stands in the low two bits: `TRANSLATION | 3`."""

    ADDRESS_SIZE = 0x00
    TRANSLATION = 0x04
    ACCESS_FLAG = 0x08
    PERMISSION = 0x0C
    EXTERNAL_ABORT = 0x10
    TAG_CHECK = 0x11
    EXTERNAL_ABORT_ON_WALK = 0x14
    PARITY = 0x18
    PARITY_ON_WALK = 0x1C
    ALIGNMENT = 0x21
    DEBUG = 0x22
    TLB_CONFLICT = 0x30
    ATOMIC_UPDATE = 0x31
    LOCKDOWN = 0x34
    UNSUPPORTED_EXCLUSIVE = 0x35


_LEVELLED = {
    FSC.ADDRESS_SIZE: "address size fault",
    FSC.TRANSLATION: "translation fault",
    FSC.ACCESS_FLAG: "access flag fault",
    FSC.PERMISSION: "permission fault",
    FSC.EXTERNAL_ABORT_ON_WALK: "synchronous external abort on a table walk",
    FSC.PARITY_ON_WALK: "synchronous parity or ECC error on a table walk",
}

FSC_NAMES: dict[int, str] = {
    **{base | level: f"{words}, level {level}" for base, words in _LEVELLED.items() for level in range(4)},
    FSC.EXTERNAL_ABORT: "synchronous external abort",
    FSC.TAG_CHECK: "synchronous tag check fault",
    0x13: "synchronous external abort on a table walk, level -1",
    FSC.PARITY: "synchronous parity or ECC error",
    0x1B: "synchronous parity or ECC error on a table walk, level -1",
    FSC.ALIGNMENT: "alignment fault",
    FSC.DEBUG: "debug exception",
    0x29: "address size fault, level -1",
    0x2B: "translation fault, level -1",
    FSC.TLB_CONFLICT: "TLB conflict abort",
    FSC.ATOMIC_UPDATE: "unsupported atomic hardware update",
    FSC.LOCKDOWN: "IMPLEMENTATION DEFINED fault (lockdown)",
    FSC.UNSUPPORTED_EXCLUSIVE: "IMPLEMENTATION DEFINED fault (unsupported exclusive or atomic access)",
}


def fault_level(status: int) -> int | None:
    """The table level a fault status code names, or None for a fault that has no level."""
    if status in (0x13, 0x1B, 0x29, 0x2B):
        return -1
    return status & 3 if status & ~3 in _LEVELLED else None


# ── forms of the ISS ─────────────────────────────────────────────────────────────────────────────────────────────────


class NoSyndrome(Register, width=25, source="DDI 0487, ESR_EL2, ISS encoding for exceptions with an unknown reason"):
    """No field: unknown reasons, illegal state, PC and SP alignment. Also what reserved classes decode to."""


class WFx(Register, width=25, source="DDI 0487, ESR_EL2, ISS encoding for an exception from a WF* instruction"):
    CV = Bit(24, "COND is valid")
    COND = Bits(23, 20, "condition", {14: "always"})
    RN = Bits(9, 5, "register of the timeout")
    RV = Bit(2, "RN is valid")
    TI = Bits(1, 0, "instruction", {0: "WFI", 1: "WFE", 2: "WFIT", 3: "WFET"})


class FPAccess(Register, width=25, source="DDI 0487, ESR_EL2, ISS encoding for SVE, Advanced SIMD or FP access"):
    CV = Bit(24, "COND is valid")
    COND = Bits(23, 20, "condition", {14: "always"})


class Immediate(Register, width=25, source="DDI 0487, ESR_EL2, ISS encoding for HVC or SVC, SMC, BRK"):
    imm16 = Bits(15, 0, "the instruction's immediate")


class SysregTrap(Register, width=25, source="DDI 0487, ESR_EL2, ISS encoding for MSR, MRS or system instruction"):
    """`encoding.from_iss` gives the register as one tuple."""

    Op0 = Bits(21, 20)
    Op2 = Bits(19, 17)
    Op1 = Bits(16, 14)
    CRn = Bits(13, 10)
    Rt = Bits(9, 5, "general register", {31: "XZR"})
    CRm = Bits(4, 1)
    Direction = Bit(0, "direction", {0: "write: MSR", 1: "read: MRS"})


class InstructionAbort(Register, width=25, source="DDI 0487, ESR_EL2, ISS encoding for an Instruction Abort"):
    SET = Bits(12, 11, "synchronous error type", {0: "recoverable", 2: "uncontainable", 3: "restartable"})
    FnV = Bit(10, "FAR", {0: "valid", 1: "not valid"})
    EA = Bit(9, "external abort type")
    S1PTW = Bit(7, "stage-2 fault on a stage-1 table walk")
    IFSC = Bits(5, 0, "fault status", FSC_NAMES)


class DataAbort(Register, width=25, source="DDI 0487, ESR_EL2, ISS encoding for a Data Abort"):
    """Bits [23:14] describe the instruction, and mean something only when ISV is 1."""

    ISV = Bit(24, "instruction syndrome", {0: "not valid", 1: "valid"})
    SAS = Bits(23, 22, "access size", {0: "1 byte", 1: "2 bytes", 2: "4 bytes", 3: "8 bytes"})
    SSE = Bit(21, "sign extend")
    SRT = Bits(20, 16, "general register", {31: "XZR"})
    SF = Bit(15, "register width", {0: "32 bits", 1: "64 bits"})
    AR = Bit(14, "acquire or release")
    VNCR = Bit(13, "from VNCR_EL2")
    SET = Bits(12, 11, "synchronous error type", {0: "recoverable", 2: "uncontainable", 3: "restartable"})
    FnV = Bit(10, "FAR", {0: "valid", 1: "not valid"})
    EA = Bit(9, "external abort type")
    CM = Bit(8, "cache maintenance or address translation instruction")
    S1PTW = Bit(7, "stage-2 fault on a stage-1 table walk")
    WnR = Bit(6, "direction", {0: "read", 1: "write"})
    DFSC = Bits(5, 0, "fault status", FSC_NAMES)

    @property
    def size(self) -> int:
        """Access size in bytes: 1, 2, 4 or 8."""
        return 1 << self.SAS

    @property
    def register(self) -> str:
        """The general register as assemblers write it."""
        prefix = "x" if self.SF else "w"
        return f"{prefix}zr" if self.SRT == 31 else f"{prefix}{self.SRT}"


class SError(Register, width=25, source="DDI 0487, ESR_EL2, ISS encoding for an SError interrupt"):
    IDS = Bit(24, "IMPLEMENTATION DEFINED syndrome")
    IESB = Bit(13, "taken at an implicit error synchronization")
    AET = Bits(12, 10, "asynchronous error type")
    EA = Bit(9, "external abort type")
    DFSC = Bits(5, 0, "fault status", {0: "uncategorized", 0x11: "asynchronous SError interrupt"})


class Breakpoint(Register, width=25, source="DDI 0487, ESR_EL2, ISS encoding for a Breakpoint exception"):
    IFSC = Bits(5, 0, "fault status", FSC_NAMES)


class SoftwareStep(Register, width=25, source="DDI 0487, ESR_EL2, ISS encoding for a Software Step exception"):
    ISV = Bit(24, "EX is valid")
    EX = Bit(6, "a Load-Exclusive was stepped")
    IFSC = Bits(5, 0, "fault status", FSC_NAMES)


class Watchpoint(Register, width=25, source="DDI 0487, ESR_EL2, ISS encoding for a Watchpoint exception"):
    VNCR = Bit(13, "from VNCR_EL2")
    CM = Bit(8, "cache maintenance instruction")
    WnR = Bit(6, "direction", {0: "read", 1: "write"})
    DFSC = Bits(5, 0, "fault status", FSC_NAMES)


FORMS: dict[int, type[Register]] = {
    EC.WFX: WFx,
    EC.FP_ASIMD: FPAccess,
    EC.SVC64: Immediate,
    EC.HVC64: Immediate,
    EC.SMC64: Immediate,
    EC.BRK64: Immediate,
    EC.SYSREG: SysregTrap,
    EC.IABT_LOWER: InstructionAbort,
    EC.IABT_CURRENT: InstructionAbort,
    EC.DABT_LOWER: DataAbort,
    EC.DABT_CURRENT: DataAbort,
    EC.SERROR: SError,
    EC.BREAKPOINT_LOWER: Breakpoint,
    EC.BREAKPOINT_CURRENT: Breakpoint,
    EC.STEP_LOWER: SoftwareStep,
    EC.STEP_CURRENT: SoftwareStep,
    EC.WATCHPOINT_LOWER: Watchpoint,
    EC.WATCHPOINT_CURRENT: Watchpoint,
}


class ESR_EL2(Register, width=64, source="DDI 0487, ESR_EL2"):
    ISS2 = Bits(55, 32, "second part of the syndrome")
    EC = Bits(31, 26, "reserved exception class", EC_NAMES)
    IL = Bit(25, "instruction length", {0: "16-bit instruction", 1: "32-bit instruction"})
    ISS = Bits(24, 0, "instruction specific syndrome")

    @property
    def syndrome(self) -> Register:
        """The ISS in the form that EC selects."""
        return FORMS.get(self.EC, NoSyndrome)(self.ISS)


class ESR_EL1(ESR_EL2, source="DDI 0487, ESR_EL1"):
    """The same layout, for exceptions taken to EL1."""


def esr(ec: SupportsIndex, iss: SupportsIndex = 0, il: int = 1) -> int:
    """Encode a syndrome as an integer. iss: an integer or one of the forms above."""
    return int(ESR_EL2.of(EC=ec, IL=il, ISS=iss))


# ── in words ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def describe(value: SupportsIndex) -> str:
    """One line about a syndrome: the exception class, and what its ISS adds."""
    whole = ESR_EL2(value)
    title = EC_NAMES.get(whole.EC, f"Reserved exception class {whole.EC:#x}")
    detail = _DETAILS.get(FORMS.get(whole.EC, NoSyndrome), _no_detail)(whole.ISS)
    return f"{title}: {detail}" if detail else title


def _no_detail(iss: int) -> str:
    return f"ISS {iss:#x}" if iss else ""


def _wfx_detail(iss: int) -> str:
    return WFx(iss).meaning("TI")


def _immediate_detail(iss: int) -> str:
    return f"#{Immediate(iss).imm16:#x}"


def _sysreg_detail(iss: int) -> str:
    access = encoding.from_iss(iss)
    general = "xzr" if access.rt == 31 else f"x{access.rt}"
    if access.register[0] == 1:
        return f"{access.name}, {general}"
    return f"mrs {general}, {access.name}" if access.is_read else f"msr {access.name}, {general}"


def _status(code: int, s1ptw: int) -> str:
    words = FSC_NAMES.get(code, f"reserved fault status {code:#x}")
    return f"{words}, on a stage-1 table walk" if s1ptw else words


def _instruction_detail(iss: int) -> str:
    abort = InstructionAbort(iss)
    return _status(abort.IFSC, abort.S1PTW)


def _data_detail(iss: int) -> str:
    abort = DataAbort(iss)
    what = "cache maintenance" if abort.CM else abort.meaning("WnR")
    if abort.ISV:
        what += f" of {abort.size} byte{'s' if abort.size > 1 else ''} "
        what += f"from {abort.register}" if abort.WnR else f"to {abort.register}"
        what += ", sign extended" if abort.SSE else ""
    return f"{_status(abort.DFSC, abort.S1PTW)}, {what}"


_DETAILS: dict[type[Register], Callable[[int], str]] = {
    WFx: _wfx_detail,
    Immediate: _immediate_detail,
    SysregTrap: _sysreg_detail,
    InstructionAbort: _instruction_detail,
    DataAbort: _data_detail,
}
