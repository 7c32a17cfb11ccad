"""Finishing a load or store for the guest: what the CPU would have done, had the address been memory.

A data abort with valid instruction fields (ISS.ISV) names everything there is to know: where, how wide, which register,
which extension. `access` puts that in one record together with the bytes a store carries; a device answers; `finish`
says which register changes. A store through XZR writes zero; a load into XZR changes nothing.

Source: DDI 0487, "ISS encoding for an exception from a Data Abort" (SAS, SSE, SRT, SF, WnR).
"""

from __future__ import annotations

from collections.abc import Sequence

from minivisor.stages import Access, DataAbort

__all__ = ["access", "finish"]

XZR = 31


def access(exit: DataAbort, registers: Sequence[int]) -> Access:
    """Decode a data abort, whose `valid` is set, into one device access.

    registers: X0..X30. Returns the access; `value` holds the low `width` bytes of the stored register, 0 for a load.
    """
    stored = registers[exit.register] if exit.write and exit.register != XZR else 0
    width, value = exit.size, stored & (1 << exit.size * 8) - 1
    return Access(exit.ipa, width, exit.write, exit.register, value, exit.sign_extend, exit.sixty_four)


def finish(access: Access, value: int) -> dict[str, int]:
    """Complete an access: the register writes of a load that read `value`; none for a store or a load into XZR.

    A load cuts `value` to `width` bytes, extends its sign up to the register's width when `sign_extend`, and always
    clears what is above: a write to a W register zeroes the upper half of X.
    """
    if access.write or access.register == XZR:
        return {}
    bits = access.width * 8
    value &= _mask(bits)
    if access.sign_extend and value >> bits - 1:
        value |= _mask(64) ^ _mask(bits)
    return {f"X{access.register}": value & _mask(64 if access.sixty_four else 32)}


def _mask(bits: int) -> int:
    return (1 << bits) - 1
