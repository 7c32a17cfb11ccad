"""Registers by their architectural names, one at a time or all of a vCPU's at once: which word of the record holds each.

    at once   X0..X30, SP, PC, PSTATE, and the timers, which are ours: a run brings them back
    later     all others: read from the engine when somebody asks for the first of them after a run
    vectors   V0..V31, two words each

A world switch moves 116 of them by name, and Python takes 50 ns for whatever it does to one. So which words a list of names
means is worked out once (`_Move`), and what is read with it is kept as words (`Saved`): a mapping like any other, in which
nothing is done for a name that nobody looks at, and which goes back in one piece.

The stack pointer in use is SP, and not where its own bank is: that depends on PSTATE, which is written first.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Protocol

import numpy as np

from minivisor.errors import EngineError
from minivisor.machine.breakpoints import BREAKPOINTS
from minivisor.machine.state import (
    CP_NAMES,
    REG_NAMES,
    WORD,
    WRITE_BREAKPOINT,
    WRITE_GENERAL,
    WRITE_REGIME,
    WRITE_SYSTEM,
)

__all__ = [
    "AT_ONCE",
    "DIRTY_AT",
    "GENERAL",
    "LATER",
    "REG_AT",
    "TIMERS",
    "VECTORS",
    "RegisterNames",
    "Saved",
    "SystemRegisters",
]

TIMERS = {
    "CNTVOFF_EL2": "cntvoff",
    "CNTV_CTL_EL0": "cntv_ctl",
    "CNTV_CVAL_EL0": "cntv_cval",
    "CNTP_CTL_EL0": "cntp_ctl",
    "CNTP_CVAL_EL0": "cntp_cval",
    "CNTHP_CTL_EL2": "cnthp_ctl",
    "CNTHP_CVAL_EL2": "cnthp_cval",
}
MASK64 = (1 << 64) - 1
REGIME = ("SCTLR_EL1", "TCR_EL1", "TTBR0_EL1", "TTBR1_EL1")
# What a write from outside does not do in the engine: drop what its own TLB does not tell apart, arm breakpoints.
FOLLOWED = dict.fromkeys(REGIME, WRITE_REGIME) | dict.fromkeys(BREAKPOINTS, WRITE_BREAKPOINT)
REG_AT, DIRTY_AT = WORD["reg"], WORD["dirty"]
GENERAL = REG_NAMES[:34]  # X0..X30, SP, PC, PSTATE: what a run brings back
CP_WORDS, CP_VALUE = 4, 3  # a cell of `cp` is four words, its value the last

# Architectural name -> the word of the record that holds it: at once, or after the rest has been read from the engine.
AT_ONCE = {name: REG_AT + index for index, name in enumerate(GENERAL)}
AT_ONCE |= {name: WORD[field] for name, field in TIMERS.items()}
LATER = {name: REG_AT + index for index, name in enumerate(REG_NAMES) if name not in AT_ONCE}
LATER |= {name: WORD["cp"] + CP_WORDS * index + CP_VALUE for index, name in enumerate(CP_NAMES)}
VECTORS = {f"V{n}": WORD["v"] + 2 * n for n in range(32)}  # the low half; the high one follows
BANKED = {"SP_EL0": 0, "SP_EL1": 1}
STEERING = itemgetter(*(LATER[name] for name in FOLLOWED))


def stack_level(pstate: int) -> int:
    """Whose banked stack pointer SP is: SP_EL0 at EL0 and with PSTATE.SP=0, otherwise SP_EL1."""
    return 1 if pstate & 0b1101 == 0b0101 else 0


class SystemRegisters(Protocol):
    """Registers that belong to the board rather than to the core, as a GIC's do: None or False where there is no such name."""

    def read(self, name: str) -> int | None: ...

    def write(self, name: str, value: int) -> bool: ...


def _unknown(name: str) -> EngineError:
    return EngineError(f"core: no register named {name!r}; names are the architecture's (DDI 0487)")


class _Move:
    """A list of names, while SP is that of `level`. words: of the record. at: of each name, which of those is its first."""

    def __init__(self, names: tuple[str, ...], level: int) -> None:
        known = AT_ONCE | LATER | {name: AT_ONCE["SP"] for name, bank in BANKED.items() if bank == level}
        self.names, self.level = names, level
        self.at: dict[str, int] = {}
        words: list[int] = []
        for name in names:
            if name not in VECTORS and name not in known:
                raise _unknown(name)
            self.at[name] = len(words)
            words += (VECTORS[name], VECTORS[name] + 1) if name in VECTORS else (known[name],)
        self.words = np.array(words, np.intp)


_move = functools.lru_cache(64)(_Move)


class Saved(Mapping[str, int]):
    """Registers as they were when they were read, by name."""

    __slots__ = ("move", "words")

    def __init__(self, move: _Move, words: np.ndarray) -> None:
        self.move, self.words = move, words

    def __getitem__(self, name: str) -> int:
        at = self.move.at[name]
        low = int(self.words[at])
        return low | int(self.words[at + 1]) << 64 if name in VECTORS else low

    def __iter__(self) -> Iterator[str]:
        return iter(self.move.names)

    def __len__(self) -> int:
        return len(self.move.names)

    def __repr__(self) -> str:
        return f"Saved({dict(self)})"


class RegisterNames:
    """A part of `Core`, which gives it the record: `state`, and the same as `words`."""

    def __init__(self, state: np.ndarray) -> None:
        self.state = state
        self.words = memoryview(state).cast("B").cast("Q")  # type: ignore[arg-type]  # the same record, as integers
        self._flat = state.view(np.uint64)
        self._stale = False  # registers beyond the general ones must be read before they are seen
        self._attached: SystemRegisters | None = None

    def _read_all_but_general(self) -> None:
        raise NotImplementedError

    def attach(self, registers: SystemRegisters) -> None:
        """The board's own system registers are reached by name like all others."""
        self._attached = registers

    # ── one ──

    def read(self, name: str) -> int:
        """A register by its architectural name; V0..V31 are 128 bits. SP_EL0 and SP_EL1 are the banked values."""
        words, at = self.words, AT_ONCE.get(name)
        if at is not None:
            return words[at]
        if self._stale:
            self._read_all_but_general()
        if name in VECTORS:
            at = VECTORS[name]
            return words[at] | words[at + 1] << 64
        if name[:2] == "IC" and self._attached is not None:
            value = self._attached.read(name)
            if value is not None:
                return value
        return words[self._word_of(name)]

    def write(self, name: str, value: int) -> None:
        """Write a register by its architectural name. "CLREX" clears the exclusive monitor, which every return does."""
        words, at = self.words, AT_ONCE.get(name)
        if at is not None:
            if name == "PSTATE":
                self._select_stack(value)
            words[at] = value & MASK64
            if name not in TIMERS:
                words[DIRTY_AT] |= WRITE_GENERAL
            return
        if name == "CLREX" or (name[:2] == "IC" and self._attached is not None and self._attached.write(name, value)):
            return
        if self._stale:
            self._read_all_but_general()
        if name in VECTORS:
            at = VECTORS[name]
            words[at], words[at + 1] = value & MASK64, value >> 64 & MASK64
        else:
            at = self._word_of(name)
            if words[at] != value & MASK64 and name in FOLLOWED:
                words[DIRTY_AT] |= FOLLOWED[name]
            words[at] = value & MASK64
        words[DIRTY_AT] |= WRITE_SYSTEM

    def _word_of(self, name: str) -> int:
        """Where a system register is: the stack pointer in use is SP, not its own bank."""
        if BANKED.get(name) == self._stack_level():
            return AT_ONCE["SP"]
        at = LATER.get(name)
        if at is None:
            raise _unknown(name)
        return at

    def _stack_level(self) -> int:
        """Which banked stack pointer SP is now."""
        return stack_level(self.words[AT_ONCE["PSTATE"]])

    def _select_stack(self, pstate: int) -> None:
        """Another PSTATE may have another stack pointer in use: the one before goes to its bank, the new one comes out."""
        before, after, words = self._stack_level(), stack_level(pstate), self.words
        if before == after:
            return
        if self._stale:
            self._read_all_but_general()
        words[LATER[f"SP_EL{before}"]] = words[AT_ONCE["SP"]]
        words[AT_ONCE["SP"]] = words[LATER[f"SP_EL{after}"]]
        words[DIRTY_AT] |= WRITE_SYSTEM

    # ── many ──

    def read_many(self, names: Sequence[str]) -> Mapping[str, int]:
        """The same as `read` of each, names known, in one go: a world switch asks for a hundred."""
        if self._stale:
            self._read_all_but_general()
        move = _move(tuple(names), self._stack_level())
        return Saved(move, self._flat[move.words])

    def write_many(self, values: Mapping[str, int]) -> None:
        """The same as `write` of each, names known, PSTATE first. What `read_many` gave is written in one go."""
        if "PSTATE" in values:
            self.write("PSTATE", values["PSTATE"])
        if isinstance(values, Saved):
            self._restore(values)
            return
        for name, value in values.items():
            if name != "PSTATE":
                self.write(name, value)

    def _restore(self, saved: Saved) -> None:
        if self._stale:
            self._read_all_but_general()
        words, move, level = self.words, saved.move, self._stack_level()
        if move.level != level:
            move = _move(move.names, level)
        before = STEERING(words)
        self._flat[move.words] = saved.words
        after = STEERING(words)
        words[DIRTY_AT] |= WRITE_GENERAL | WRITE_SYSTEM
        if after != before:
            for follow, old, new in zip(FOLLOWED.values(), before, after, strict=True):
                words[DIRTY_AT] |= follow if old != new else 0
