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
from typing import TypeAlias

from minivisor.arch.bits import Register
from minivisor.arch.encoding import INSTRUCTIONS, REGISTERS, Encoding
from minivisor.arch.esr import EC
from minivisor.arch.idregs import ID_AA64DFR0_EL1, ID_AA64ISAR0_EL1, ID_AA64MMFR0_EL1, ID_AA64PFR0_EL1
from minivisor.arch.psci import ReturnCode
from minivisor.hypervisor.psci import answer
from minivisor.stages import Exit, Handler, Hvc, Outcome, Smc, SysregTrap, Vcpu, Wfx

__all__ = ["INSTRUCTION", "SysregHandler", "handler_table", "hvc_handler", "on_smc", "on_unknown", "on_wfx"]

INSTRUCTION = 4  # bytes of an A64 instruction
XZR = 31
Writes: TypeAlias = Mapping[Encoding, Callable[[int, int], None]]


def handler_table(
    psci: Callable[[int, Sequence[int], Vcpu], Outcome],
    identification: Mapping[Encoding, int],
    on_abort: Handler,
    writes: Writes | None = None,
) -> dict[int, Handler]:
    """The reference table: 64 entries, one an exception class, `on_unknown` wherever nothing better is known.

    psci: answers SMCCC calls. identification: raw identification registers by (op0, op1, CRn, CRm, op2).
    on_abort: handles both kinds of stage-2 abort (see `minivisor.hypervisor.aborts`). writes: see `SysregHandler`.
    """
    table: dict[int, Handler] = dict.fromkeys(range(64), on_unknown)
    table[EC.WFX] = on_wfx
    table[EC.HVC64] = hvc_handler(psci)
    table[EC.SMC64] = on_smc
    table[EC.SYSREG] = SysregHandler(identification, writes or {})
    table[EC.IABT_LOWER] = on_abort
    table[EC.DABT_LOWER] = on_abort
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
# reads there, so a persona sees only what this hypervisor carries across a world switch and between boards: named
# fields show what the core has, the others read as zero (for nearly every field "not implemented"), or as forced here.


def _show(register: type[Register], *fields: str, **forced: int) -> tuple[int, int]:
    """(mask of the fields that show what the core has, value of those forced)."""
    return sum(register.layout[name].mask for name in fields), int(register.of(**forced))


_VISIBLE: dict[Encoding, tuple[int, int]] = {
    # AArch64 only. GIC system registers: none with a GICv2, see below.
    REGISTERS["ID_AA64PFR0_EL1"]: _show(ID_AA64PFR0_EL1, "FP", "AdvSIMD", EL0=1, EL1=1, EL2=1),
    # PMUVer 0: a cycle counter would tell host time. A core cannot say that it has no breakpoints.
    REGISTERS["ID_AA64DFR0_EL1"]: _show(ID_AA64DFR0_EL1, "DebugVer", "BRPs", "WRPs", "CTX_CMPs"),
    # User instructions without state of their own.
    REGISTERS["ID_AA64ISAR0_EL1"]: _show(ID_AA64ISAR0_EL1, "AES", "SHA1", "SHA2", "CRC32"),
    # 36 bits of address, which the 39 of stage 2 hold. TGran4 0 is "implemented", TGran16 0 is not.
    REGISTERS["ID_AA64MMFR0_EL1"]: _show(ID_AA64MMFR0_EL1, "ASIDBits", PARange=1, TGran64=0xF),
}

# A virtual cache needs no maintenance by set and way: memory is coherent for every observer a persona has.
_SET_WAY = {INSTRUCTIONS["DC ISW"], INSTRUCTIONS["DC CSW"], INSTRUCTIONS["DC CISW"]}

# Read as zero, ignore writes: what KVM does with them.
_READ_AS_ZERO = {REGISTERS["ACTLR_EL1"], REGISTERS["OSDLR_EL1"], REGISTERS["DBGPRCR_EL1"]}
_OS_LOCK_OPEN = 0x8  # OSLSR_EL1.OSLM = 0b10: the lock is implemented, and open


class SysregHandler:
    """on_sysreg(exit, vcpu): the trapped registers of one persona.

    identification: the physical core's values by (op0, op1, CRn, CRm, op2); a register that is missing reads as zero.
    writes: function(value, vCPU) for registers of a GICv3 that trap; the guest has GIC system registers if there are any.
    """

    def __init__(self, identification: Mapping[Encoding, int], writes: Writes | None = None) -> None:
        self._writes = writes or {}
        known = identification.get
        self._values = {register: known(register, 0) & keep | force for register, (keep, force) in _VISIBLE.items()}
        if self._writes:
            self._values[REGISTERS["ID_AA64PFR0_EL1"]] |= int(ID_AA64PFR0_EL1.of(GIC=1))
        self._values |= dict.fromkeys(_READ_AS_ZERO, 0)
        self._values[REGISTERS["OSLSR_EL1"]] = _OS_LOCK_OPEN

    def __call__(self, exit: SysregTrap, vcpu: Vcpu) -> Outcome:
        if not exit.is_read and exit.register in self._writes:
            self._writes[exit.register]((*vcpu.x, 0)[exit.rt], vcpu.index)
            return Outcome(writes={"PC": vcpu.pc + INSTRUCTION})
        value = self.read(exit.register) if exit.is_read else None
        if value is None and (exit.is_read or not _write_ignored(exit.register)):
            return Outcome("undefined")
        target = {f"X{exit.rt}": value} if value is not None and exit.rt != XZR else {}
        return Outcome(writes={**target, "PC": vcpu.pc + INSTRUCTION})

    def read(self, register: Encoding) -> int | None:
        """What MRS returns, or None where the read is UNDEFINED."""
        return self._values.get(register, 0 if _identification_space(register) else None)


def _identification_space(register: Encoding) -> bool:
    op0, op1, crn, crm, _ = register
    return (op0, op1, crn) == (3, 0, 0) and 1 <= crm <= 7


def _write_ignored(register: Encoding) -> bool:
    return register in _SET_WAY or register in _READ_AS_ZERO or register == REGISTERS["OSLAR_EL1"]
