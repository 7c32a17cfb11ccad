"""What guests do to their own translation tables, in order: a diagnostic that costs nothing until it is asked for.

The architecture wants a guest to break before it makes, and to invalidate in between; one that does not works nearly always,
on nearly every core. `course/bbm_guest.py` judges the order of such events, and this is where they come from:

    a walk reads a descriptor ──► TABLE  this page is a table: of which level, from which VA on (each time it is news)
    a store hits such a page ───► WRITE  what the descriptor said, and what it says now
    a TLBI ─────────────────────► TLBI   which form, with which operand, for this vCPU alone or for all
    a DSB after one of those ───► DSB    of which kind, the first that the same vCPU comes to
    a vCPU has other tables ────► USE    whose translations it may hold from now on

`TableLog(core)` takes the place of three hooks of a core and adds a fourth, for stores. A page counts as a table from the
first walk that reads it; nobody can have cached anything of it before. Unicorn tells nobody of a DSB. But a block is straight
code, so while a vCPU owes one, its blocks are read ahead for it, and where it left a block says which of those it executed.

Compiled when the first log is made, not with the machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from unicorn import arm64_const as arm64
from unicorn import unicorn_const as const

from minivisor.errors import EngineError
from minivisor.machine import engine
from minivisor.machine.core import Core
from minivisor.machine.hooks import (
    asid_of,
    begin_block,
    fill,
    peek,
    ram_of,
    refresh_regime,
    regime,
)
from minivisor.machine.hot import array_at, callback, entry, hot, load32, load64, share
from minivisor.machine.registers import CP, REG, read_cp, read_one
from minivisor.machine.state import core_at
from minivisor.machine.system import invalidates, system_instruction
from minivisor.machine.walk import NOTE_WORDS, READ, first_stage, untagged

__all__ = ["BarrierEvent", "Event", "TableEvent", "TableLog", "TlbiEvent", "UseEvent", "WriteEvent"]

CAPACITY = 1 << 20  # events
PAGE, ROW, MOST_NOTES = 4096, 8, 24
TABLE, WRITE, TLBI, BARRIER, USE = (np.uint64(n) for n in (1, 2, 3, 4, 5))
ZERO, ONE, TWO, THREE, FOUR, SEVEN = (np.uint64(n) for n in (0, 1, 2, 3, 4, 7))
EIGHT, NINE, TWELVE, SIXTEEN = np.uint64(8), np.uint64(9), np.uint64(12), np.uint64(16)
BADDR = np.uint64(0x0000_FFFF_FFFF_FFFE)
ROOT = 0x0000_FFFF_FFFF_FFFF  # what is above has the ASID
ALL_ONES = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
# A generation ends where the reader of the log forgets a table: at a TLBI by ASID or of all, and when a table changes place.
# The control block, uint64[CONTROL]: what the callbacks are given instead of the core.
CORE_AT, ROWS_AT, COUNT, LOST, SEEN_AT, PAGES, GENERATION, NOTES_AT = range(8)
# By vCPU, which is (VMID, MPIDR_EL1.Aff0) as one number: does it owe a DSB, and how many do; its tables when last noted.
OWING_AT, OWE, TABLES_AT = range(8, 11)
# Code read ahead: whose, from where to where, and the barriers in it: (PC, CRm) each.
OWNER, START, END, AHEAD, BARRIERS = range(11, 16)
MOST_BARRIERS = 8
CONTROL = BARRIERS + 2 * MOST_BARRIERS
VCPUS = 256 << 3
PAIR = np.uint64(1 << 48)  # bit 0 of an ASID
DSB_MASK, DSB, ANY_KIND = np.uint64(0xFFFF_F0FF), np.uint64(0xD503_309F), np.uint64(15)  # DDI 0487, C6 "DSB"
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
    """A store to a page that walks have used. slot: PA of the descriptor. roots, asid: the BADDRs of TTBR0 and TTBR1 then."""

    vmid: int
    cpu: int
    slot: int
    old: int
    new: int
    pc: int
    roots: tuple[int, int]
    asid: int


@dataclass(frozen=True, slots=True)
class TlbiEvent:
    """A TLBI of EL1. op2: its form (DDI 0487, C5.5): 0 all, 1 VA, 2 ASID, 3 VA of all ASIDs, 5 and 7 those, last level only.

    broadcast: Inner Shareable, for all vCPUs.
    """

    vmid: int
    cpu: int
    op2: int
    operand: int
    broadcast: bool
    pc: int
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


@dataclass(frozen=True, slots=True)
class BarrierEvent:
    """A DSB that a vCPU executed after a store to a table or a TLBI. kind: CRm, domain in bits 3:2 and accesses in 1:0."""

    vmid: int
    cpu: int
    kind: int
    pc: int


@dataclass(frozen=True, slots=True)
class UseEvent:
    """From now on a vCPU walks the tables at these BADDRs of TTBR0 and TTBR1, with this ASID.

    A kernel that takes itself out of EL0's tables has two ASIDs for a process, which differ in bit 0: no news by itself.
    """

    vmid: int
    cpu: int
    roots: tuple[int, int]
    asid: int


Event = TableEvent | WriteEvent | TlbiEvent | BarrierEvent | UseEvent


class TableLog:
    """The log of one core with our walk in its path; make it before the core runs. Raises EngineError for the other engine."""

    def __init__(self, core: Core) -> None:
        if core.mmu != "minivisor":
            raise EngineError("table log: only our own walk can tell which pages are tables; mmu='minivisor' was expected")
        self._core = core
        self._rows = np.zeros(CAPACITY * ROW, np.uint64)
        self._seen = np.zeros(core.memory.size // PAGE, np.uint64)  # generation << 2 | level when it was announced, 0: never
        self._notes, self._control = np.zeros(NOTES, np.uint64), np.zeros(CONTROL, np.uint64)
        self._owing, self._tables = np.zeros(VCPUS, np.uint64), np.zeros(2 * VCPUS, np.uint64)
        arrays = self._rows, self._seen, self._notes, self._owing, self._tables
        core_at, rows, seen, notes, owing, tables = core.address, *map(share, arrays)
        self._control[:OWNER] = core_at, rows, 0, 0, seen, self._seen.size, 1, notes, owing, 0, tables
        self._address = user = share(self._control)
        engine.replace_hook(core.uc, core.hooks["fill_tlb"], const.UC_HOOK_TLB_FILL, fill_and_log.address, user)
        instruction = arm64.UC_ARM64_INS_SYS
        engine.replace_hook(core.uc, core.hooks["system"], const.UC_HOOK_INSN, system_and_log.address, user, instruction)
        if "block" in core.hooks:
            engine.remove_hook(core.uc, core.hooks["block"])
        engine.add_hook(core.uc, const.UC_HOOK_BLOCK, block_and_log.address, user)
        engine.add_hook(core.uc, const.UC_HOOK_MEM_WRITE, store_and_log.address, user)

    @property
    def lost(self) -> int:
        """Events that came after the log was full."""
        return int(self._control[LOST])

    def events(self) -> list[Event]:
        """Everything so far, in order."""
        finish_block(self._address)
        rows = self._rows[: int(self._control[COUNT]) * ROW].reshape(-1, ROW).tolist()
        return [_event(*row) for row in rows]

    def initial(self, events: list[Event]) -> dict[int, int]:
        """What each slot that is written said before; for one that is not, memory still says it."""
        first: dict[int, int] = {}
        for event in events:
            if isinstance(event, WriteEvent):
                first.setdefault(event.slot, event.old)
        return first


def _event(kind_of: int, vmid: int, a: int, b: int, c: int, d: int, e: int, f: int) -> Event:
    kind, cpu = kind_of & 0xFF, kind_of >> 8
    if kind == TABLE:
        return TableEvent(vmid, a, b, c, d, e, f)
    if kind == WRITE:
        return WriteEvent(vmid, cpu, a, b, c, d, (e & ROOT, f), e >> 48)
    if kind == TLBI:
        return TlbiEvent(vmid, cpu, a, b, bool(c), d, (e & ROOT, f))
    return BarrierEvent(vmid, cpu, a, b) if kind == BARRIER else UseEvent(vmid, cpu, (a & ROOT, b), a >> 48)


# ── the hooks ────────────────────────────────────────────────────────────────────────────────────────────────────────


@hot
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


@hot
def _announce(control, core, va):  # type: ignore[no-untyped-def]
    """Walk once more, for the notes: every stage-1 table on the way that is not known in this generation."""
    notes, seen = array_at(control[NOTES_AT], np.uint64(NOTES)), array_at(control[SEEN_AT], control[PAGES])
    notes[0], tcr = ZERO, core.cp[CP.TCR_EL1].val
    va = untagged(va, tcr)
    first_stage(ram_of(core), regime(core), va, READ, ZERO, notes, None)
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


# ── barriers and users ──


@hot
def _vcpu(core):  # type: ignore[no-untyped-def]
    return (core.vmid & np.uint64(0xFF)) << THREE | (read_cp(core, CP.VMPIDR_EL2) & SEVEN)


@hot
def _roots(core):  # type: ignore[no-untyped-def]
    """TTBR0_EL1.BADDR with the ASID above it, and TTBR1_EL1.BADDR."""
    refresh_regime(core)
    return core.reg[REG.TTBR0_EL1] & BADDR | asid_of(core) << np.uint64(48), core.reg[REG.TTBR1_EL1] & BADDR


@hot
def _read_ahead(control, core, vcpu, start, end):  # type: ignore[no-untyped-def]
    """Note the barriers in a piece of straight code; a word that cannot be read may be one."""
    control[OWNER], control[START], control[END], control[AHEAD] = vcpu, start, end, ZERO
    for at in range(int((end - start) >> TWO)):
        pc = start + (np.uint64(at) << TWO)
        word = peek(core, pc)
        crm = ANY_KIND if word == ZERO else (word >> EIGHT) & ANY_KIND
        barrier = word == ZERO or (word & DSB_MASK == DSB and crm & THREE != ZERO)
        if barrier and control[AHEAD] < np.uint64(MOST_BARRIERS):
            first = np.uint64(BARRIERS) + TWO * control[AHEAD]
            control[first], control[first + ONE] = pc, crm
            control[AHEAD] += ONE


@hot
def _executed(control, limit):  # type: ignore[no-untyped-def]
    """The code read ahead was executed up to this PC: its barriers are noted. One for all accesses is what is owed."""
    vcpu, owing = control[OWNER], array_at(control[OWING_AT], np.uint64(VCPUS))
    for number in range(int(control[AHEAD])):
        first = np.uint64(BARRIERS) + TWO * np.uint64(number)
        pc, crm = control[first], control[first + ONE]
        if pc < limit and owing[vcpu] != ZERO:
            _append(control, BARRIER | (vcpu & SEVEN) << EIGHT, vcpu >> THREE, crm, pc, ZERO, ZERO, ZERO, ZERO)
            if crm & THREE == THREE:
                owing[vcpu] = ZERO
                control[OWE] -= ONE
    control[AHEAD] = ZERO


@hot
def _left_block(control, core):  # type: ignore[no-untyped-def]
    """The block is over; where the engine stopped in the middle of it, up to there."""
    if control[AHEAD] != ZERO:
        stopped = core.block_insns == ZERO and core.block_pc + FOUR >= control[START] and core.block_pc <= control[END]
        _executed(control, core.block_pc if stopped else control[END])


@entry("void", "u64")
def finish_block(user):  # type: ignore[no-untyped-def]
    """Before Python reads the log: what is over is in it."""
    control = array_at(user, np.uint64(CONTROL))
    _left_block(control, core_at(control[CORE_AT]))


@hot
def _append_owing(control, core, kind, pc, a, b, c, d):  # type: ignore[no-untyped-def]
    """A store or a TLBI at this PC: whoever executed it owes a DSB from now on."""
    if control[AHEAD] != ZERO:
        _executed(control, pc)
    vcpu, owing = _vcpu(core), array_at(control[OWING_AT], np.uint64(VCPUS))
    low, high = _roots(core)
    _append(control, kind | (vcpu & SEVEN) << EIGHT, core.vmid, a, b, c, d, low, high)
    if owing[vcpu] == ZERO:
        owing[vcpu] = ONE
        control[OWE] += ONE
    _read_ahead(control, core, vcpu, pc + FOUR, max(pc + FOUR, core.block_pc + (core.block_insns << TWO)))


@hot
def _note_use(control, core):  # type: ignore[no-untyped-def]
    """Which tables this vCPU walks, when they are others than before."""
    vcpu, tables = _vcpu(core), array_at(control[TABLES_AT], np.uint64(2 * VCPUS))
    low, high = _roots(core)
    at = TWO * vcpu
    if (tables[at] ^ low) & ~PAIR != ZERO or tables[at + ONE] != high:
        tables[at], tables[at + ONE] = low, high
        _append(control, USE | (vcpu & SEVEN) << EIGHT, core.vmid, low, high, ZERO, ZERO, ZERO, ZERO)


@callback("void", "u64", "u64", "u32", "u64")
def block_and_log(uc, address, size, user):  # type: ignore[no-untyped-def]
    """uc_cb_hookcode_t: `hooks.count_block`; a block of a vCPU that owes a DSB is read for one."""
    control = array_at(user, np.uint64(CONTROL))
    core = core_at(control[CORE_AT])
    _left_block(control, core)
    begin_block(core, uc, address, size)
    if control[OWE] != ZERO:
        vcpu = _vcpu(core)
        if array_at(control[OWING_AT], np.uint64(VCPUS))[vcpu] != ZERO:
            _read_ahead(control, core, vcpu, address, address + np.uint64(size))


# ── what takes the place of the core's hooks ──


@callback("u32", "u64", "u64", "u32", "u64", "u64")
def fill_and_log(uc, va, access, result, user):  # type: ignore[no-untyped-def]
    """uc_cb_tlbevent_t: `hooks.fill_tlb`; a walk it makes is also read for tables."""
    control = array_at(user, np.uint64(CONTROL))
    core = core_at(control[CORE_AT])
    walks = core.walks
    done = fill(core, va, access, result)
    if core.cp[CP.SCTLR_EL1].val & ONE != ZERO:
        _note_use(control, core)
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
        _append_owing(control, core, WRITE, pc, pa & ~SEVEN, old, new, pc)
        if seen & THREE != THREE and (old & THREE == THREE or new & THREE == THREE):
            control[GENERATION] += ONE  # a table was linked or unlinked


@callback("u32", "u64", "u32", "u64", "u64")
def system_and_log(uc, register, encoding, user):  # type: ignore[no-untyped-def]
    """uc_cb_insn_sys_t: `system.system`; a TLBI is noted."""
    control = array_at(user, np.uint64(CONTROL))
    core = core_at(control[CORE_AT])
    done = system_instruction(core, encoding)
    if invalidates(core, encoding):
        operand, op2, crm = load64(encoding + np.uint64(24)), load32(encoding + SIXTEEN), load32(encoding + FOUR)
        pc = read_one(core, REG.PC)
        _append_owing(control, core, TLBI, pc, op2, operand, ONE if crm == THREE else ZERO, pc)
        if op2 == ZERO or op2 == TWO:
            control[GENERATION] += ONE
    return done
