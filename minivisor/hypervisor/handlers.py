"""What EL2 does about each exception class: one table of 64 handlers, each Exit -> Outcome.

The contract of a handler, for all of them: it is a function of the exit and of a read-only view of the vCPU, and it
answers with an `Outcome`. If the guest should go on *after* the instruction, the handler writes "PC" itself; only an
HVC returns to the next instruction by itself, because the hardware has already moved on (DDI 0487, "Preferred
exception return address"). A class that nobody handles is loud: the persona stops, and the report says which syndrome
was new.

The answers follow KVM where the architecture leaves a choice, so that guests written for KVM feel at home.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from minivisor.arch.psci import ReturnCode
from minivisor.hypervisor.exits import (
    EC_DATA_ABORT_LOWER,
    EC_HVC64,
    EC_INSTRUCTION_ABORT_LOWER,
    EC_SMC64,
    EC_SYSREG,
    EC_WFX,
)
from minivisor.hypervisor.psci import answer
from minivisor.stages import Exit, Handler, Hvc, Outcome, Smc, SysregTrap, Vcpu, Wfx

__all__ = ["INSTRUCTION", "SysregHandler", "handler_table", "hvc_handler", "on_smc", "on_unknown", "on_wfx"]

INSTRUCTION = 4  # bytes of an A64 instruction
XZR = 31

SystemRegister = tuple[int, int, int, int, int]


def handler_table(
    psci: Callable[[int, Sequence[int], Vcpu], Outcome],
    identification: Mapping[SystemRegister, int],
    on_abort: Handler,
) -> dict[int, Handler]:
    """The reference table: 64 entries, one an exception class, `on_unknown` wherever nothing better is known.

    psci: answers SMCCC calls. identification: raw identification registers by (op0, op1, CRn, CRm, op2).
    on_abort: handles both kinds of stage-2 abort (see `minivisor.hypervisor.aborts`).
    """
    table: dict[int, Handler] = dict.fromkeys(range(64), on_unknown)
    table[EC_WFX] = on_wfx
    table[EC_HVC64] = hvc_handler(psci)
    table[EC_SMC64] = on_smc
    table[EC_SYSREG] = SysregHandler(identification)
    table[EC_INSTRUCTION_ABORT_LOWER] = on_abort
    table[EC_DATA_ABORT_LOWER] = on_abort
    return table


def on_unknown(exit: Exit, _vcpu: Vcpu) -> Outcome:
    """The loud default: stop the persona and say what came."""
    return Outcome("stop", reason=f"no handler for exception class 0x{exit.ec:02x} (ESR_EL2 0x{exit.esr:x})")


def hvc_handler(psci: Callable[[int, Sequence[int], Vcpu], Outcome]) -> Handler:
    """on_hvc: an SMCCC call, answered by `psci`. Only HVC #0 is a call of the convention."""

    def on_hvc(exit: Hvc, vcpu: Vcpu) -> Outcome:
        if exit.immediate != 0:
            return answer(ReturnCode.NOT_SUPPORTED)
        return psci(vcpu.x[0] & 0xFFFF_FFFF, vcpu.x[1:4], vcpu)

    return on_hvc


def on_smc(_exit: Smc, vcpu: Vcpu) -> Outcome:
    """There is no firmware behind a persona: NOT_SUPPORTED, and on to the next instruction."""
    return Outcome(writes={**answer(ReturnCode.NOT_SUPPORTED).writes, "PC": vcpu.pc + INSTRUCTION})


def on_wfx(exit: Wfx, vcpu: Vcpu) -> Outcome:
    """WFI sleeps until an interrupt is pending. A trapped WFE goes on: it may wait for an event we never see."""
    return Outcome("resume" if exit.event else "wait", writes={"PC": vcpu.pc + INSTRUCTION})


# ── trapped system registers ─────────────────────────────────────────────────────────────────────────────────────────
#
# HCR_EL2.TID3 traps reads of the identification space, op0=3 op1=0 CRn=0 CRm=1..7. A guest may believe every field it
# reads there, so a persona sees only what this hypervisor carries across a world switch and between boards: fields
# outside `keep` read as zero (for nearly every field "not implemented"), `force` is or-ed in afterwards.
#
#   register            keep                             force
#   ID_AA64PFR0_EL1     FP, AdvSIMD                      EL0 = EL1 = EL2 = 1: AArch64 only. No GIC system registers.
#   ID_AA64DFR0_EL1     DebugVer BRPs WRPs CTX_CMPs      PMUVer = 0: no cycle counter, it would tell host time
#   ID_AA64ISAR0_EL1    AES SHA1 SHA2 CRC32              user instructions without state of their own
#   ID_AA64MMFR0_EL1    ASIDBits                         PARange = 36 bits, below the 39 of stage 2. TGran64 = 0xF: none
#
# TGran4 = 0 means "supported", TGran16 = 0 means "not supported" (DDI 0487, ID_AA64MMFR0_EL1).

_VISIBLE: dict[SystemRegister, tuple[int, int]] = {
    (3, 0, 0, 4, 0): (0x00FF_0000, 0x111),  # ID_AA64PFR0_EL1
    (3, 0, 0, 5, 0): (0xF0F0_F00F, 0),  # ID_AA64DFR0_EL1
    (3, 0, 0, 6, 0): (0x000F_FFF0, 0),  # ID_AA64ISAR0_EL1
    (3, 0, 0, 7, 0): (0x0000_00F0, 0x0F00_0001),  # ID_AA64MMFR0_EL1
}

_SET_WAY = {
    (1, 0, 7, 6, 2),  # DC ISW
    (1, 0, 7, 10, 2),  # DC CSW
    (1, 0, 7, 14, 2),  # DC CISW
}

# Readable as a constant, writes ignored: what KVM does with the registers of a debugger that is never there.
_READ_CONSTANT_WRITE_IGNORED = {
    (3, 0, 1, 0, 1): 0,  # ACTLR_EL1
    (2, 0, 1, 3, 4): 0,  # OSDLR_EL1
    (2, 0, 1, 4, 4): 0,  # DBGPRCR_EL1
}
_OSLAR_EL1 = (2, 0, 1, 0, 4)
_OSLSR_EL1 = (2, 0, 1, 1, 4)
_OSLSR_UNLOCKED = 0x8  # OSLM = 0b10: the lock is implemented, and open


class SysregHandler:
    """on_sysreg(exit, vcpu): the trapped registers of one persona.

    identification: the physical core's values by (op0, op1, CRn, CRm, op2); a register that is missing reads as zero.
    """

    def __init__(self, identification: Mapping[SystemRegister, int]) -> None:
        self._values = {
            register: identification.get(register, 0) & keep | force for register, (keep, force) in _VISIBLE.items()
        }
        self._values[_OSLSR_EL1] = _OSLSR_UNLOCKED

    def __call__(self, exit: SysregTrap, vcpu: Vcpu) -> Outcome:
        value = self.read(exit.register) if exit.is_read else None
        if value is None and (exit.is_read or not _write_ignored(exit.register)):
            return Outcome("undefined")
        target = {f"X{exit.rt}": value} if value is not None and exit.rt != XZR else {}
        return Outcome(writes={**target, "PC": vcpu.pc + INSTRUCTION})

    def read(self, register: SystemRegister) -> int | None:
        """What MRS returns, or None where the read is UNDEFINED."""
        if register in _READ_CONSTANT_WRITE_IGNORED:
            return _READ_CONSTANT_WRITE_IGNORED[register]
        return self._values.get(register, 0 if _identification_space(register) else None)


def _identification_space(register: SystemRegister) -> bool:
    op0, op1, crn, crm, _ = register
    return (op0, op1, crn) == (3, 0, 0) and 1 <= crm <= 7


# A virtual cache needs no maintenance by set and way: memory is coherent for every observer a persona has.
def _write_ignored(register: SystemRegister) -> bool:
    return register in _SET_WAY or register in _READ_CONSTANT_WRITE_IGNORED or register == _OSLAR_EL1
