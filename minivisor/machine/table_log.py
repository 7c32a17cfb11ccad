"""What guests do to their own translation tables, in order: a diagnostic that costs nothing until it is asked for.

The architecture wants a guest to break before it makes, and to invalidate in between; one that does not works nearly always,
on nearly every core. `course/bbm_guest.py` judges the order of three kinds of events, and this is where they come from:

    a walk reads a descriptor ──► TABLE  this page is a table: of which level, from which VA on (each time it is news)
    a store hits such a page ───► WRITE  what the descriptor said, and what it says now
    a TLBI ─────────────────────► TLBI   which form, with which operand

`TableLog(core)` takes the place of two hooks of a core and adds a third, for stores. A page counts as a table from the first
walk that reads it; nobody can have cached anything of it before. Barriers leave no trace in Unicorn: a missing DSB is not seen.

Compiled when the first log is made, not with the machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from unicorn import arm64_const as arm64
from unicorn import unicorn_const as const

from minivisor.errors import EngineError
from minivisor.machine import engine, hot
from minivisor.machine.core import Core
from minivisor.machine.hooks import asid_of, fill, refresh_regime, regime, system_instruction
from minivisor.machine.hot import array_at, callback, load32, load64, share
from minivisor.machine.registers import CP, REG, read_one
from minivisor.machine.state import core_at
from minivisor.machine.walk import NOTE_WORDS, READ, first_stage, untagged

__all__ = ["TableEvent", "TableLog", "TlbiEvent", "WriteEvent"]

CAPACITY = 1 << 19  # events
PAGE, ROW, MOST_NOTES = 4096, 8, 24
TABLE, WRITE, TLBI = (np.uint64(n) for n in (1, 2, 3))
ZERO, ONE, TWO, THREE, SEVEN = (np.uint64(n) for n in (0, 1, 2, 3, 7))
EIGHT, NINE, TWELVE, SIXTEEN = np.uint64(8), np.uint64(9), np.uint64(12), np.uint64(16)
BADDR = np.uint64(0x0000_FFFF_FFFF_FFFE)
ALL_ONES = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
# A generation ends where the reader of the log forgets a table: at a TLBI by ASID or of all, and when a table changes place.
# The control block, uint64[CONTROL]: what the callbacks are given instead of the core.
CORE_AT, ROWS_AT, COUNT, LOST, SEEN_AT, PAGES, GENERATION, NOTES_AT = range(8)
CONTROL = 8
NOTES = int(NOTE_WORDS) * (1 + MOST_NOTES)


@dataclass(frozen=True, slots=True)
class TableEvent:
    """A walk read a descriptor of a table that was not known: of a VMID and an ASID, at `level`, from virtual address `va` on.

    table: its PA; ipa: its IPA; root: the BADDR of the TTBR that leads to it.
    """

    vmid: int
    table: int
    ipa: int
    level: int
    va: int
    asid: int
    root: int


@dataclass(frozen=True, slots=True)
class WriteEvent:
    """A store to a page that walks have used. slot: PA of the descriptor. roots: the BADDRs of TTBR0 and TTBR1 then."""

    vmid: int
    slot: int
    old: int
    new: int
    pc: int
    roots: tuple[int, int]


@dataclass(frozen=True, slots=True)
class TlbiEvent:
    """A TLBI of EL1. op2: its form (DDI 0487, C5.5): 0 all, 1 VA, 2 ASID, 3 VA of all ASIDs, 5 and 7 those, last level only."""

    vmid: int
    op2: int
    operand: int
    roots: tuple[int, int]

    @property
    def asid(self) -> int:
        """Bits 63:48 of the operand."""
        return self.operand >> 48

    @property
    def va(self) -> int:
        """The page that it names, with the sign of bit 55."""
        va = self.operand << 12 & 0x00FF_FFFF_FFFF_F000
        return va | 0xFF << 56 if va >> 55 else va


class TableLog:
    """The log of one core with our walk in its path; make it before the core runs. Raises EngineError for the other engine."""

    def __init__(self, core: Core) -> None:
        if core.mmu != "minivisor":
            raise EngineError("table log: only our own walk can tell which pages are tables; mmu='minivisor' was expected")
        self._core = core
        self._rows = np.zeros(CAPACITY * ROW, np.uint64)
        self._seen = np.zeros(core.memory.size // PAGE, np.uint64)  # generation << 2 | level when it was announced, 0: never
        self._notes, self._control = np.zeros(NOTES, np.uint64), np.zeros(CONTROL, np.uint64)
        core_at, rows, seen, notes = int(core._address), *map(share, (self._rows, self._seen, self._notes))
        self._control[:] = core_at, rows, 0, 0, seen, self._seen.size, 1, notes
        user = share(self._control)
        engine.replace_hook(core.uc, core.hooks["fill_tlb"], const.UC_HOOK_TLB_FILL, fill_and_log.address, user)
        instruction = arm64.UC_ARM64_INS_SYS
        engine.replace_hook(core.uc, core.hooks["system"], const.UC_HOOK_INSN, system_and_log.address, user, instruction)
        engine.add_hook(core.uc, const.UC_HOOK_MEM_WRITE, store_and_log.address, user)

    @property
    def lost(self) -> int:
        """Events that came after the log was full."""
        return int(self._control[LOST])

    def events(self) -> list[TableEvent | WriteEvent | TlbiEvent]:
        """Everything so far, in order."""
        rows = self._rows[: int(self._control[COUNT]) * ROW].reshape(-1, ROW).tolist()
        return [_event(*row) for row in rows]

    def initial(self, events: list[TableEvent | WriteEvent | TlbiEvent]) -> dict[int, int]:
        """What each slot that is written said before; for one that is not, memory still says it."""
        first: dict[int, int] = {}
        for event in events:
            if isinstance(event, WriteEvent):
                first.setdefault(event.slot, event.old)
        return first


def _event(kind: int, vmid: int, a: int, b: int, c: int, d: int, e: int, f: int) -> TableEvent | WriteEvent | TlbiEvent:
    if kind == TABLE:
        return TableEvent(vmid, a, b, c, d, e, f)
    if kind == WRITE:
        return WriteEvent(vmid, a, b, c, d, (e, f))
    return TlbiEvent(vmid, a, b, (e, f))


# ── the hooks ────────────────────────────────────────────────────────────────────────────────────────────────────────


@hot.hot
def _append(control, kind, vmid, a, b, c, d, e, f):  # type: ignore[no-untyped-def]
    at = control[COUNT]
    if at >= np.uint64(CAPACITY):
        control[LOST] += ONE
        return
    rows = array_at(control[ROWS_AT], np.uint64(CAPACITY * ROW))
    first = at * EIGHT
    rows[first], rows[first + np.uint64(1)], rows[first + np.uint64(2)], rows[first + np.uint64(3)] = kind, vmid, a, b
    rows[first + np.uint64(4)], rows[first + np.uint64(5)], rows[first + np.uint64(6)] = c, d, e
    rows[first + np.uint64(7)] = f
    control[COUNT] = at + ONE


@hot.hot
def _announce(control, core, va):  # type: ignore[no-untyped-def]
    """Walk once more, for the notes: every stage-1 table on the way that is not known in this generation."""
    notes, seen = array_at(control[NOTES_AT], np.uint64(NOTES)), array_at(control[SEEN_AT], control[PAGES])
    notes[0], tcr = ZERO, core.cp[CP.TCR_EL1].val
    va = untagged(va, tcr)
    first_stage((core.ram, core.ram_words), core.ram_base, va, READ, ZERO, *regime(core), notes)
    root = core.reg[REG.TTBR1_EL1] if va >> np.uint64(55) & ONE != ZERO else core.reg[REG.TTBR0_EL1]
    for row in range(int(notes[0])):
        at = NOTE_WORDS * (np.uint64(row) + ONE)
        if notes[at] != ONE or notes[at + np.uint64(6)] == ZERO:
            continue
        level, table, index = notes[at + ONE], notes[at + np.uint64(2)], notes[at + np.uint64(3)]
        address = notes[at + np.uint64(4)]
        page = (address - core.ram_base) >> TWELVE
        if seen[page] != (control[GENERATION] << TWO) | level:
            seen[page] = (control[GENERATION] << TWO) | level
            span, first = np.uint64(39) - NINE * level, address - (index << np.uint64(3))
            start = (va >> span << span) - (index << span)
            _append(control, TABLE, core.vmid, first, table, level, start, asid_of(core), root & BADDR)


@callback("u32", "u64", "u64", "u32", "u64", "u64")
def fill_and_log(uc, va, access, result, user):  # type: ignore[no-untyped-def]
    """uc_cb_tlbevent_t: `hooks.fill_tlb`; a walk it makes is also read for tables."""
    control = array_at(user, np.uint64(CONTROL))
    core = core_at(control[CORE_AT])
    walks = core.walks
    done = fill(core, va, access, result)
    if core.walks != walks and core.cp[CP.SCTLR_EL1].val & ONE != ZERO:
        _announce(control, core, va)
    return done


@callback("void", "u64", "u32", "u64", "u32", "u64", "u64")
def store_and_log(uc, access, pa, size, value, user):  # type: ignore[no-untyped-def]
    """uc_cb_hookmem_t, before the store; pa is physical. A store across two words counts in the first."""
    control = array_at(user, np.uint64(CONTROL))
    core = core_at(control[CORE_AT])
    page = (pa - core.ram_base) >> TWELVE
    if pa < core.ram_base or page >= control[PAGES]:
        return
    seen = array_at(control[SEEN_AT], control[PAGES])[page]
    if seen == ZERO:
        return
    old, shift = load64(core.ram + ((pa - core.ram_base) & ~SEVEN)), (pa & SEVEN) * EIGHT
    mask = ALL_ONES if np.uint64(size) >= EIGHT else (ONE << (np.uint64(size) * EIGHT)) - ONE
    new = (old & ~(mask << shift)) | ((value & mask) << shift)
    if new != old:
        pc = read_one(core, REG.PC)
        refresh_regime(core)
        low, high = core.reg[REG.TTBR0_EL1] & BADDR, core.reg[REG.TTBR1_EL1] & BADDR
        _append(control, WRITE, core.vmid, pa & ~SEVEN, old, new, pc, low, high)
        if seen & THREE != THREE and (old & THREE == THREE or new & THREE == THREE):
            control[GENERATION] += ONE  # a table was linked or unlinked


@callback("u32", "u64", "u32", "u64", "u64")
def system_and_log(uc, register, encoding, user):  # type: ignore[no-untyped-def]
    """uc_cb_insn_sys_t: `hooks.system`; a TLBI that it carries out is noted."""
    control = array_at(user, np.uint64(CONTROL))
    core = core_at(control[CORE_AT])
    done = system_instruction(core, encoding)
    if load32(encoding) == EIGHT and done != ZERO:
        refresh_regime(core)
        low, high = core.reg[REG.TTBR0_EL1] & BADDR, core.reg[REG.TTBR1_EL1] & BADDR
        operand, op2 = load64(encoding + np.uint64(24)), load32(encoding + SIXTEEN)
        _append(control, TLBI, core.vmid, op2, operand, ZERO, ZERO, low, high)
        if op2 == ZERO or op2 == TWO:
            control[GENERATION] += ONE
    return done
