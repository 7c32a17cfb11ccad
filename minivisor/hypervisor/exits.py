"""From a syndrome to an exit: every exception taken to EL2 is decoded here, once.

The hardware leaves three words behind: ESR_EL2 says why, FAR_EL2 at which virtual address, HPFAR_EL2 at which
intermediate physical page. `decode` turns them into one frozen dataclass of `minivisor.stages`, and from there on
nobody looks at bits again. An exception class without a decoder becomes an `UnknownExit`, never an error: what the
guest did is data.

The bits themselves are declared in `minivisor.arch.esr`; here is only what each of them means to EL2.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from minivisor.arch import esr as syndrome
from minivisor.arch.esr import EC, ESR_EL2
from minivisor.arch.sysregs import HPFAR_EL2
from minivisor.stages import DataAbort, Exit, Hvc, InstructionAbort, Smc, SysregTrap, UnknownExit, Wfx

__all__ = ["decode"]

PAGE_OFFSET = 0xFFF


def decode(esr: int, far: int, hpfar: int) -> Exit:
    """Decode one exception taken to EL2.

    esr:   ESR_EL2; ISS2 (bits 55:32) is not used by any exit we take.
    far:   FAR_EL2, the virtual address in bytes; read for aborts only.
    hpfar: HPFAR_EL2; read for aborts only.
    Returns the `Exit` subclass of the exception class, `UnknownExit` for all others.
    Source: DDI 0487, "ESR_EL2", one ISS encoding for each exception class.
    """
    ec, iss = ESR_EL2.EC.decode(esr), ESR_EL2.ISS.decode(esr)
    if ec in _ABORTS:
        return _ABORTS[ec](esr, ec, iss, far, _ipa(far, hpfar))
    return _OTHERS.get(ec, UnknownExit)(esr, ec, iss)


def _call(kind: type[Hvc | Smc], esr: int, ec: int, iss: int) -> Exit:
    return kind(esr, ec, iss, immediate=syndrome.Immediate.imm16.decode(iss))


# TI: 0 WFI, 1 WFE, 2 WFIT, 3 WFET.
def _wfx(esr: int, ec: int, iss: int) -> Exit:
    return Wfx(esr, ec, iss, event=bool(syndrome.WFx.TI.decode(iss) & 1))


def _sysreg(esr: int, ec: int, iss: int) -> Exit:
    form = syndrome.SysregTrap
    op0, op1, op2 = form.Op0.decode(iss), form.Op1.decode(iss), form.Op2.decode(iss)
    register = (op0, op1, form.CRn.decode(iss), form.CRm.decode(iss), op2)
    return SysregTrap(esr, ec, iss, register=register, rt=form.Rt.decode(iss), is_read=bool(form.Direction.decode(iss)))


# HPFAR_EL2.FIPA names the page; the offset in it is that of the virtual address, because translation never touches the
# low twelve bits.
def _ipa(far: int, hpfar: int) -> int:
    return HPFAR_EL2.FIPA.decode(hpfar) | far & PAGE_OFFSET


def _instruction_abort(esr: int, ec: int, iss: int, far: int, ipa: int) -> Exit:
    form = syndrome.InstructionAbort
    status, s1ptw = form.IFSC.decode(iss), bool(form.S1PTW.decode(iss))
    return InstructionAbort(esr, ec, iss, far=far, ipa=ipa, status=status, s1ptw=s1ptw)


def _data_abort(esr: int, ec: int, iss: int, far: int, ipa: int) -> Exit:
    form = syndrome.DataAbort
    return DataAbort(
        esr,
        ec,
        iss,
        far=far,
        ipa=ipa,
        status=form.DFSC.decode(iss),
        s1ptw=bool(form.S1PTW.decode(iss)),
        write=bool(form.WnR.decode(iss)),
        valid=bool(form.ISV.decode(iss)),
        size=1 << form.SAS.decode(iss),
        sign_extend=bool(form.SSE.decode(iss)),
        register=form.SRT.decode(iss),
        sixty_four=bool(form.SF.decode(iss)),
        cache_maintenance=bool(form.CM.decode(iss)),
    )


_OTHERS: dict[int, Callable[[int, int, int], Exit]]
_OTHERS = {EC.WFX: _wfx, EC.HVC64: partial(_call, Hvc), EC.SMC64: partial(_call, Smc), EC.SYSREG: _sysreg}
_ABORTS: dict[int, Callable[[int, int, int, int, int], Exit]]
_ABORTS = {EC.IABT_LOWER: _instruction_abort, EC.DABT_LOWER: _data_abort}
