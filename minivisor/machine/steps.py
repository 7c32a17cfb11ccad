"""The walk that ran, step by step, as plain data that prints.

    stage  level  table (IPA)  table (PA)  index  descriptor          means                   then
        2      1               0x80410000      2  0x0000000080400741  1 GiB block at …        the address
        1      1  0x80420000   0x80420000      0  0x0000000080421003  table at 0x80421000     the next table
        …
Nothing here walks. `explain` runs `walk.translate`, the source that every TLB miss runs, and hands it an array to leave notes
in: which descriptor it read, and where. The walk's own result then says why it ended. What a descriptor means is said by
`arch.descriptors`. A step of stage 2 on the way to a stage-1 descriptor comes before that descriptor.

A guest that aborts without end has each of its walks recorded, and the host pays for it: `record` makes rows of a trace out
of the notes, compiled, without a `Walk` of readable steps in between.

Source: DDI 0487, D8.2 "Translation process"; ESR_ELx.ISS.DFSC for the fault status.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from minivisor.arch.descriptors import describe
from minivisor.arch.esr import FSC_NAMES
from minivisor.errors import MinivisorError
from minivisor.machine.hot import array_at, entry, hot, share, span
from minivisor.machine.walk import FETCH, NOTE_WORDS, READ, WRITE, Ram, Regime, translate
from minivisor.trace.kinds import Kind, WalkAccess
from minivisor.trace.row import ROW
from minivisor.trace.store import Trace
from minivisor.trace.table import Table

__all__ = ["REGISTERS", "ROW_INTS", "ROW_WORDS", "Fault", "Step", "Walk", "explain", "record", "row_head"]

REGISTERS = ("SCTLR_EL1", "TCR_EL1", "TTBR0_EL1", "TTBR1_EL1", "VTTBR_EL2", "VTCR_EL2", "HCR_EL2")
"""The registers that steer translation for EL1 and EL0; one that is not given is 0."""
KINDS = {"r": (READ, "read"), "w": (WRITE, "write"), "x": (FETCH, "fetch")}
ACCESSES = {"r": WalkAccess.READ, "w": WalkAccess.WRITE, "x": WalkAccess.FETCH}
MOST_STEPS = 24  # four levels of stage 1, each after four of stage 2, and four more for the address itself
FSC_MASK = np.uint64(0x3F)
NOTE_INTS = int(NOTE_WORDS)
NOTED = np.uint64((1 + MOST_STEPS) * NOTE_INTS)
TABLE, LEAF = "the next table", "the address"
GOES_ON, FOUND, FAILED = (np.uint64(n) for n in range(3))  # what came of a step: TABLE, LEAF, the fault in words
ZERO, ONE, TWO, FOUR = (np.uint64(n) for n in (0, 1, 2, 4))
ROW_INTS, WHY = ROW.size // 8, 8  # words of a trace's row, and which of them is `argument`
ROW_WORDS = np.uint64(ROW_INTS)
WALK, STEP = np.uint64(Kind.WALK), np.uint64(Kind.STEP)


@dataclass(frozen=True, slots=True)
class Step:
    """One descriptor that the walk read, or tried to.

    table_ipa: None for stage 2, whose tables have no IPA. table_pa, address: of the table and of the descriptor, in bytes;
    index: between them, in descriptors. wanted: the VA (stage 1) or IPA (stage 2) being translated. descriptor: None when
    no memory answers there. why: what came of it.
    """

    stage: int
    level: int
    table_ipa: int | None
    table_pa: int
    index: int
    address: int
    wanted: int
    descriptor: int | None
    why: str = TABLE

    @property
    def meaning(self) -> str:
        """The descriptor in words."""
        if self.descriptor is None:
            return "no memory answers"
        return describe(self.descriptor, self.level, self.stage).partition(": ")[2]


@dataclass(frozen=True, slots=True)
class Fault:
    """fsc: fault status code with its level, as in ESR_ELx. ipa: HPFAR_EL2's address when stage is 2. s1ptw: stage 2 failed
    on the address of a stage-1 descriptor."""

    fsc: int
    stage: int
    s1ptw: bool = False
    ipa: int | None = None

    @property
    def level(self) -> int:
        """The level in the fault status code."""
        return self.fsc & 3

    def __str__(self) -> str:
        where = " on a stage-1 table walk" if self.s1ptw else ""
        return f"stage {self.stage}: {FSC_NAMES[self.fsc]}{where}"


@dataclass(frozen=True)
class Walk:
    """va: bytes. kind: "r", "w" or "x". el: 0 or 1. pa, ipa: the result, or None and `fault` says why."""

    va: int
    kind: str
    el: int
    steps: tuple[Step, ...]
    pa: int | None = None
    ipa: int | None = None
    fault: Fault | None = None

    @property
    def result(self) -> str:
        """The outcome in a line."""
        if self.fault is None:
            return f"IPA {self.ipa:#x}, PA {self.pa:#x}"
        ipa = "" if self.fault.ipa is None else f", IPA {self.fault.ipa:#x}"
        early = "" if self.steps else ", before any table was read"
        return f"{self.fault}{ipa}{early}"

    def record(self, trace: Trace, time: int, vcpu: int) -> None:
        """Put it into a trace: a WALK record, and a STEP record for each step."""
        fault = self.fault
        ipa = (fault.ipa if fault else self.ipa) or 0
        head = ACCESSES[self.kind], self.el, fault.fsc if fault else 0, self.va, ipa, self.pa or 0, len(self.steps)
        trace.walk(time, vcpu, *head)
        for step in self.steps:
            place = step.stage, step.level, step.index, step.table_pa
            trace.step(time, vcpu, *place, step.wanted, step.descriptor or 0, step.why)

    @property
    def table(self) -> Table:
        """One row for each step; it prints, and shows in a notebook."""
        title = f"VA {self.va:#x}, a {KINDS[self.kind][1]} at EL{self.el}: {self.result}"
        columns = ("stage", "level", "table (IPA)", "table (PA)", "index", "descriptor", "means", "then")
        return Table(columns, tuple(map(_row, self.steps)), title)

    def __str__(self) -> str:
        return str(self.table)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


def explain(
    memory: np.ndarray, base: int, va: int, kind: str = "r", el: int = 1, registers: Mapping[str, int] | None = None
) -> Walk:
    """Translate one access as the MMU does, and keep its steps. Nothing changes: no TLB, no table, no register.

    memory, base: RAM as uint64[n] and its physical address. kind: "r", "w" or "x". el: 0 or 1. registers: by name, see
    REGISTERS; others may be among them. Raises MinivisorError for another kind or level.
    """
    if kind not in KINDS or el not in (0, 1):
        raise MinivisorError(f'walk: kind {kind!r} at EL{el}; "r", "w" or "x" at 0 or 1 were expected')
    head, notes, whys, found = np.array([va], np.uint64), *_scratch()
    arrays = head, _steering(registers or {}), notes, whys, found
    note_walk(*map(int, span(memory)), base, int(KINDS[kind][0]), el == 0, *map(share, arrays))
    pa, _leaf, ipa, status, stage, s1ptw = found.tolist()
    fault = Fault(status & int(FSC_MASK), stage, bool(s1ptw), ipa if stage == 2 else None) if status else None
    reasons = (TABLE, LEAF, str(fault))
    rows = notes.reshape(-1, NOTE_INTS)[1 : 1 + int(notes[0])].tolist()
    steps = tuple(_step(row, reasons[why]) for row, why in zip(rows, whys.tolist(), strict=False))
    return Walk(va, kind, el, steps, fault=fault) if fault else Walk(va, kind, el, steps, pa, ipa)


def record(
    trace: Trace, time: int, vcpu: int, memory: np.ndarray, base: int, va: int, kind: str, el: int, registers: Mapping[str, int]
) -> None:
    """The same as `explain(…).record(trace, time, vcpu)`, several times cheaper."""
    rows = np.empty((1 + MOST_STEPS) * ROW_INTS, "<u8")
    head, notes, whys, found = np.array((va, time, vcpu, ACCESSES[kind]), np.uint64), *_scratch()
    arrays = head, _steering(registers), notes, whys, found, rows
    addresses = list(map(share, arrays))
    note_walk(*map(int, span(memory)), base, int(KINDS[kind][0]), el == 0, *addresses[:-1])
    walk_rows(el, addresses[0], *addresses[2:])
    count, (status, stage, s1ptw) = int(notes[0]), found[3:].tolist()
    table = rows[: (1 + count) * ROW_INTS].reshape(-1, ROW_INTS)
    whys = table[1:, WHY].tolist()
    numbers = dict.fromkeys(whys, 0)  # in the order of their first appearance, as `Walk.record` names them
    for why in numbers:
        words = str(Fault(status & int(FSC_MASK), stage, bool(s1ptw))) if why == FAILED else (TABLE, LEAF)[why]
        numbers[why] = trace.text(words)
    table[1:, WHY] = [numbers[why] for why in whys]
    trace.extend(table.tobytes())


def _scratch() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """notes: see `walk.translate`. whys: what came of each step. found: what `translate` returned."""
    return np.zeros((1 + MOST_STEPS) * NOTE_INTS, np.uint64), np.zeros(MOST_STEPS, np.uint64), np.zeros(6, np.uint64)


def _steering(registers: Mapping[str, int]) -> np.ndarray:
    """uint64[7], in the order of REGISTERS."""
    return np.array([registers.get(name, 0) for name in REGISTERS], np.uint64)


@entry("void", *["u64"] * 10)
def note_walk(ram, words, base, kind, el0, head, steering, notes, whys, found):  # type: ignore[no-untyped-def]
    """`translate`, with notes, and what came of each step. ram, words: see `hot.span`; the last five are arrays."""
    steer, noted = array_at(steering, np.uint64(len(REGISTERS))), array_at(notes, NOTED)
    regime = Regime(steer[0], steer[1], steer[2], steer[3], steer[4], steer[5], steer[6] & ONE)
    memory = Ram(ram, words, base)
    pa, leaf, ipa, status, stage, s1ptw = translate(memory, regime, array_at(head, ONE)[0], kind, el0, noted, None)
    _judge(noted, array_at(whys, np.uint64(MOST_STEPS)), ipa, status, stage, s1ptw)
    what = array_at(found, np.uint64(6))
    what[0], what[1], what[2], what[3], what[4], what[5] = pa, leaf, ipa, status, stage, s1ptw


@hot
def _judge(notes, whys, ipa, status, stage, s1ptw):  # type: ignore[no-untyped-def]
    """Say of each step what came of it: a next table when the same walk goes on, else the address it looked for.

    The last one has the fault, unless the walk that failed read nothing (its address is out of range): then it is another's.
    """
    count = notes[0]
    stage1_goes_on, next_stage, next_wanted = s1ptw != ZERO, ZERO, ZERO
    for back in range(count):
        at = count - ONE - np.uint64(back)
        row = NOTE_WORDS * (at + ONE)
        of, wanted = notes[row], notes[row + np.uint64(5)]
        goes_on = stage1_goes_on if of == ONE else (next_stage == TWO and next_wanted == wanted)
        whys[at] = GOES_ON if goes_on else FOUND
        stage1_goes_on, next_stage, next_wanted = stage1_goes_on or of == ONE, of, wanted
    last = NOTE_WORDS * count
    if status != ZERO and count != ZERO and notes[last] == stage:
        if stage == ONE or notes[last + np.uint64(5)] == ipa:
            whys[count - ONE] = FAILED


@entry("void", *["u64"] * 6)
def walk_rows(el, head, notes, whys, found, rows):  # type: ignore[no-untyped-def]
    """What `note_walk` left as rows of a trace (`trace.row`), WALK and then STEPs, whose texts are GOES_ON, FOUND or FAILED.

    head: VA, time, vCPU, access. rows: room for MOST_STEPS and one.
    """
    about, noted, why = array_at(head, FOUR), array_at(notes, NOTED), array_at(whys, np.uint64(MOST_STEPS))
    what, words = array_at(found, np.uint64(6)), array_at(rows, (ONE + np.uint64(MOST_STEPS)) * ROW_WORDS)
    words[:] = ZERO
    for number in range(noted[0] + ONE):
        at, note = ROW_WORDS * np.uint64(number), NOTE_WORDS * np.uint64(number)
        words[at] = about[1]
        step, row = noted[note : note + NOTE_WORDS], words[at : at + ROW_WORDS]
        if number == 0:
            row[1] = row_head(WALK, about[2], el, about[3], what[3] & FSC_MASK)
            row[5], row[6], row[7], row[8] = about[0], what[2], what[0], noted[0]
        else:
            row[1] = row_head(STEP, about[2], step[0], step[1], step[3])
            table = step[4] - (step[3] << np.uint64(3))
            row[5], row[6], row[7], row[8] = step[5], table, step[7] * step[6], why[np.uint64(number) - ONE]


@hot
def row_head(kind, vcpu, outcome, detail, number):  # type: ignore[no-untyped-def]
    """The second word of a row: u8 kind, vcpu, outcome, detail, and u32 number."""
    low = kind | vcpu << np.uint64(8) | outcome << np.uint64(16) | detail << np.uint64(24)
    return low | number << np.uint64(32)


def _step(row: list[int], why: str) -> Step:
    stage, level, table, index, address, wanted, answered, descriptor = row
    ipa = table if stage == 1 else None
    return Step(stage, level, ipa, address - 8 * index, index, address, wanted, descriptor if answered else None, why)


def _row(step: Step) -> tuple[object, ...]:
    descriptor = "" if step.descriptor is None else f"{step.descriptor:#018x}"
    ipa = "" if step.table_ipa is None else f"{step.table_ipa:#x}"
    return step.stage, step.level, ipa, f"{step.table_pa:#x}", step.index, descriptor, step.meaning, step.why
