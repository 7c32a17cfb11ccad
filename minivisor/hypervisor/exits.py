"""From a syndrome to an exit: every exception taken to EL2 is decoded here, once.

The hardware leaves three words behind: ESR_EL2 says why, FAR_EL2 at which virtual address, HPFAR_EL2 at which
intermediate physical page. `decode` turns them into one frozen dataclass of `minivisor.stages`, and from there on
nobody looks at bits again. An exception class without a decoder becomes an `UnknownExit`, never an error: what the
guest did is data.

    ESR_EL2   31      26 25 24                                    0
             +----------+--+---------------------------------------+
             |    EC    |IL|                  ISS                  |     DDI 0487, "ESR_EL2"
             +----------+--+---------------------------------------+
"""

from __future__ import annotations

from collections.abc import Callable

from minivisor.stages import DataAbort, Exit, Hvc, InstructionAbort, Smc, SysregTrap, UnknownExit, Wfx

__all__ = [
    "EC_DATA_ABORT_LOWER",
    "EC_HVC64",
    "EC_INSTRUCTION_ABORT_LOWER",
    "EC_SMC64",
    "EC_SYSREG",
    "EC_WFX",
    "decode",
]

# DDI 0487, ESR_EL2.EC: the exception classes that have a dataclass of their own.
EC_WFX = 0x01
EC_HVC64 = 0x16
EC_SMC64 = 0x17
EC_SYSREG = 0x18
EC_INSTRUCTION_ABORT_LOWER = 0x20
EC_DATA_ABORT_LOWER = 0x24

PAGE_OFFSET = 0xFFF


def decode(esr: int, far: int, hpfar: int) -> Exit:
    """Decode one exception taken to EL2.

    esr:   ESR_EL2; ISS2 (bits 55:32) is not used by any exit we take.
    far:   FAR_EL2, the virtual address in bytes; read for aborts only.
    hpfar: HPFAR_EL2; read for aborts only.
    Returns the `Exit` subclass of the exception class, `UnknownExit` for all others.
    Source: DDI 0487, "ESR_EL2", one ISS encoding for each exception class.
    """
    ec, iss = _bits(esr, 31, 26), _bits(esr, 24, 0)
    if ec in _ABORTS:
        return _ABORTS[ec](esr, ec, iss, far, _ipa(far, hpfar))
    return _OTHERS.get(ec, UnknownExit)(esr, ec, iss)


def _bits(value: int, high: int, low: int) -> int:
    return value >> low & (1 << high - low + 1) - 1


def _flag(value: int, bit: int) -> bool:
    return bool(value >> bit & 1)


def _hvc(esr: int, ec: int, iss: int) -> Exit:
    return Hvc(esr, ec, iss, immediate=_bits(iss, 15, 0))


def _smc(esr: int, ec: int, iss: int) -> Exit:
    return Smc(esr, ec, iss, immediate=_bits(iss, 15, 0))


# ISS.TI, bits 1:0: 0 WFI, 1 WFE, 2 WFIT, 3 WFET.
def _wfx(esr: int, ec: int, iss: int) -> Exit:
    return Wfx(esr, ec, iss, event=_flag(iss, 0))


#   24  22 21 20 19 17 16 14 13  10 9    5 4    1  0
#  +------+-----+-----+-----+------+------+------+---+
#  | RES0 | Op0 | Op2 | Op1 | CRn  |  Rt  | CRm  |Dir|      Dir is 1 for MRS
#  +------+-----+-----+-----+------+------+------+---+
def _sysreg(esr: int, ec: int, iss: int) -> Exit:
    register = (_bits(iss, 21, 20), _bits(iss, 16, 14), _bits(iss, 13, 10), _bits(iss, 4, 1), _bits(iss, 19, 17))
    return SysregTrap(esr, ec, iss, register=register, rt=_bits(iss, 9, 5), is_read=_flag(iss, 0))


# HPFAR_EL2.FIPA, bits 47:4, holds IPA[55:12]; the offset in the page is that of the virtual address, because
# translation never touches the low twelve bits.
def _ipa(far: int, hpfar: int) -> int:
    return _bits(hpfar, 47, 4) << 12 | far & PAGE_OFFSET


def _instruction_abort(esr: int, ec: int, iss: int, far: int, ipa: int) -> Exit:
    return InstructionAbort(esr, ec, iss, far=far, ipa=ipa, status=_bits(iss, 5, 0), s1ptw=_flag(iss, 7))


#   24 23 22 21 20   16 15 14 13 12 11 10  9  8    7    6  5    0
#  +---+-----+---+-----+--+--+--+-----+---+--+--+-----+---+------+
#  |ISV| SAS |SSE| SRT |SF|AR|  | SET |FnV|EA|CM|S1PTW|WnR| DFSC |      bits 23:14 mean something only with ISV
#  +---+-----+---+-----+--+--+--+-----+---+--+--+-----+---+------+
def _data_abort(esr: int, ec: int, iss: int, far: int, ipa: int) -> Exit:
    return DataAbort(
        esr,
        ec,
        iss,
        far=far,
        ipa=ipa,
        status=_bits(iss, 5, 0),
        s1ptw=_flag(iss, 7),
        write=_flag(iss, 6),
        valid=_flag(iss, 24),
        size=1 << _bits(iss, 23, 22),
        sign_extend=_flag(iss, 21),
        register=_bits(iss, 20, 16),
        sixty_four=_flag(iss, 15),
        cache_maintenance=_flag(iss, 8),
    )


_OTHERS: dict[int, Callable[[int, int, int], Exit]] = {
    EC_WFX: _wfx,
    EC_HVC64: _hvc,
    EC_SMC64: _smc,
    EC_SYSREG: _sysreg,
}

_ABORTS: dict[int, Callable[[int, int, int, int, int], Exit]] = {
    EC_INSTRUCTION_ABORT_LOWER: _instruction_abort,
    EC_DATA_ABORT_LOWER: _data_abort,
}
