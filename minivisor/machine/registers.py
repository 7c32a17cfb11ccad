"""Registers in hot code: positions in the core record, and batch calls that move them between the engine and the record."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np

from minivisor.machine.hot import call, hot, store64
from minivisor.machine.state import CP_NAMES, REG_NAMES, VECTORS

__all__ = [
    "CP",
    "GENERAL_BYTES",
    "REG",
    "change",
    "look",
    "read_all",
    "read_cp",
    "read_from",
    "read_general",
    "read_one",
    "write_all",
    "write_cp",
    "write_general",
    "write_one",
]


REG: Any = namedtuple("REG", REG_NAMES)(*range(len(REG_NAMES)))
"""Index of a register in `core.reg`; a named tuple, because Numba takes no class attributes."""

CP: Any = namedtuple("CP", CP_NAMES)(*range(len(CP_NAMES)))
"""Index of a register in `core.cp`."""

ZERO, FOUR, EIGHT = np.uint64(0), np.uint64(4), np.uint64(8)
GENERAL_COUNT = np.uint64(34)  # X0..X30, SP, PC, PSTATE
REG_COUNT = np.uint64(len(REG_NAMES))
ALL_COUNT = np.uint64(len(REG_NAMES) + len(CP_NAMES))
VECTOR_COUNT = np.uint64(VECTORS)
GENERAL_BYTES, VECTOR_BYTES = GENERAL_COUNT * EIGHT, VECTOR_COUNT * np.uint64(16)


@hot
def _batch(core, function, first, count):  # type: ignore[no-untyped-def]
    return call(function, core.uc, core.batch_ids + first * FOUR, core.batch_values + first * EIGHT, count, ZERO)


@hot
def look(core):  # type: ignore[no-untyped-def]
    """Make `core.context` show the engine as it is now. Where it is the engine's own memory there is nothing to do."""
    if core.live == ZERO:
        call(core.context_save, core.uc, core.context, ZERO, ZERO, ZERO)


@hot
def change(core, offset, value):  # type: ignore[no-untyped-def]
    """Store a word of the engine's registers that no call of its own reaches. After `look`."""
    store64(core.context + offset, value)
    if core.live == ZERO:
        call(core.context_restore, core.uc, core.context, ZERO, ZERO, ZERO)


@hot
def read_general(core):  # type: ignore[no-untyped-def]
    """X0..X30, SP, PC and PSTATE into `core.reg`."""
    _batch(core, core.reg_read_batch, ZERO, GENERAL_COUNT)


@hot
def read_all(core):  # type: ignore[no-untyped-def]
    """Every register into the record, except FP."""
    _batch(core, core.reg_read_batch, ZERO, ALL_COUNT)


@hot
def read_from(core, first):  # type: ignore[no-untyped-def]
    """All registers from number `first` on into the record, FP last. Returns the engine's status."""
    core.moved += (ALL_COUNT - first) * EIGHT + VECTOR_BYTES
    return _batch(core, core.reg_read_batch, first, ALL_COUNT + VECTOR_COUNT - first)


@hot
def write_general(core):  # type: ignore[no-untyped-def]
    """X0..X30, SP, PC and PSTATE, and HCR_EL2: one by encoding last, for the translation flags."""
    _batch(core, core.reg_write_batch, ZERO, GENERAL_COUNT)
    write_cp(core, CP.HCR_EL2, core.cp[CP.HCR_EL2].val)
    core.moved += GENERAL_BYTES


@hot
def write_all(core):  # type: ignore[no-untyped-def]
    """Every register, FP first, those by encoding last."""
    _batch(core, core.reg_write_batch, ALL_COUNT, VECTOR_COUNT)
    _batch(core, core.reg_write_batch, ZERO, ALL_COUNT)
    core.moved += ALL_COUNT * EIGHT + VECTOR_BYTES


@hot
def read_one(core, index):  # type: ignore[no-untyped-def]
    """One of REG into the record; returns it."""
    _batch(core, core.reg_read_batch, np.uint64(index), np.uint64(1))
    return core.reg[index]


@hot
def write_one(core, index, value):  # type: ignore[no-untyped-def]
    """Write one of REG, in the record and in the engine."""
    core.reg[index] = value
    _batch(core, core.reg_write_batch, np.uint64(index), np.uint64(1))


@hot
def read_cp(core, index):  # type: ignore[no-untyped-def]
    """One of CP into the record; returns it."""
    _batch(core, core.reg_read_batch, REG_COUNT + np.uint64(index), np.uint64(1))
    return core.cp[index].val


@hot
def write_cp(core, index, value):  # type: ignore[no-untyped-def]
    """Write one of CP, in the record and in the engine; rebuilds the translation flags."""
    core.cp[index].val = value
    _batch(core, core.reg_write_batch, REG_COUNT + np.uint64(index), np.uint64(1))
