"""Many translations at once, on all cores: the walk of `walk.py` under one regime, for an array of addresses.

A sweep over an address space (which pages can EL0 write? what does this persona reach?) is a million independent walks over
memory that does not change meanwhile. So each piece of the array has a walk cache, and most walks read three descriptors,
not fifteen. It is compiled when it is first used, not with the machine, which never needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minivisor.machine.hot import hot_parallel, prange, span
from minivisor.machine.steps import KINDS, REGISTERS
from minivisor.machine.walk import Ram, Regime, translate
from minivisor.machine.walk_cache import WALK_CACHE_WORDS

__all__ = ["Translations", "translate_batch"]

Words = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]
FAULTED, FSC, STAGE, S1PTW = range(4)  # rows of what is small
FAULT, FSC_MASK = np.uint64(0x100), np.uint64(0x3F)
PIECE = 4096  # addresses that one core takes at a time, with a walk cache of their own


@dataclass(frozen=True, slots=True)
class Translations:
    """One element for each address. pa: bytes, 0 at a fault. ipa: HPFAR_EL2's address at a stage-2 fault, bytes.

    fault: true where there is no translation; then fsc, stage and s1ptw are as in ESR_ELx. stage is 0 without a fault.
    """

    pa: Words
    ipa: Words
    fault: npt.NDArray[np.bool_]
    fsc: Bytes
    stage: Bytes
    s1ptw: npt.NDArray[np.bool_]


@hot_parallel
def _translate_all(ram, regime, vas, kind, el0, caches, pas, ipas, small):  # type: ignore[no-untyped-def]
    """pas, ipas: uint64[n], small: uint8[4, n], what comes of each address: memory is filled once, and no more than needed."""
    for piece in prange((vas.shape[0] + PIECE - 1) // PIECE):
        walk_cache = caches + np.uint64(piece * WALK_CACHE_WORDS * 8)
        for at in range(piece * PIECE, min(piece * PIECE + PIECE, vas.shape[0])):
            pas[at], _leaf, ipas[at], status, stage, s1ptw = translate(ram, regime, vas[at], kind, el0, None, walk_cache)
            small[FAULTED, at], small[FSC, at] = status >= FAULT, status & FSC_MASK
            small[STAGE, at], small[S1PTW, at] = stage, s1ptw


def translate_batch(
    memory: Words,
    base: int,
    vas: npt.ArrayLike,
    kind: str = "r",
    el: int = 1,
    registers: Mapping[str, int] | None = None,
) -> Translations:
    """Translate every address of `vas` (uint64[n]) as `steps.explain` does one: the same arguments, without the steps.

    memory, base: RAM as uint64[m] and its physical address. kind: "r", "w" or "x". el: 0 or 1. registers: see REGISTERS.
    """
    given = registers or {}
    regime = Regime(*(np.uint64(given.get(name, 0)) for name in REGISTERS))
    ram, regime = Ram(*span(memory), np.uint64(base)), regime._replace(two_stages=regime.two_stages & np.uint64(1))
    addresses, access = np.ascontiguousarray(vas, np.uint64), (KINDS[kind][0], np.uint64(el == 0))
    pas, ipas, small = np.empty_like(addresses), np.empty_like(addresses), np.empty((4, addresses.size), np.uint8)
    caches = np.zeros((-(-addresses.size // PIECE), WALK_CACHE_WORDS), np.uint64)
    _translate_all(ram, regime, addresses, *access, span(caches)[0], pas, ipas, small)
    return Translations(pas, ipas, small[FAULTED] != 0, small[FSC], small[STAGE], small[S1PTW] != 0)
