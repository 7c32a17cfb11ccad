"""The walk that ran, step by step, as plain data that prints.

    stage  level  table (IPA)  table (PA)  index  descriptor          means                   then
        2      1               0x80410000      2  0x0000000080400741  1 GiB block at …        the address
        1      1  0x80420000   0x80420000      0  0x0000000080421003  table at 0x80421000     the next table
        …
Nothing here walks. `explain` runs `walk.translate`, the source that every TLB miss runs, and hands it an array to leave notes
in: which descriptor it read, and where. The walk's own result then says why it ended. What a descriptor means is said by
`arch.descriptors`. A step of stage 2 on the way to a stage-1 descriptor comes before that descriptor.

Source: DDI 0487, D8.2 "Translation process"; ESR_ELx.ISS.DFSC for the fault status.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from minivisor.arch.descriptors import describe
from minivisor.arch.esr import FSC_NAMES
from minivisor.errors import MinivisorError
from minivisor.machine.hot import span
from minivisor.machine.walk import FETCH, NOTE_WORDS, READ, WRITE, translate
from minivisor.trace.kinds import WalkAccess
from minivisor.trace.records import StepRecord, WalkRecord
from minivisor.trace.store import Trace
from minivisor.trace.table import Table

__all__ = ["REGISTERS", "Fault", "Step", "Walk", "explain"]

REGISTERS = ("SCTLR_EL1", "TCR_EL1", "TTBR0_EL1", "TTBR1_EL1", "VTTBR_EL2", "VTCR_EL2", "HCR_EL2")
"""The registers that steer translation for EL1 and EL0; one that is not given is 0."""
KINDS = {"r": (READ, "read"), "w": (WRITE, "write"), "x": (FETCH, "fetch")}
ACCESSES = {"r": WalkAccess.READ, "w": WalkAccess.WRITE, "x": WalkAccess.FETCH}
MOST_STEPS = 24  # four levels of stage 1, each after four of stage 2, and four more for the address itself
FSC_MASK = 0x3F
TABLE, LEAF = "the next table", "the address"


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
        fsc, pa = (self.fault.fsc, 0) if self.fault else (0, self.pa or 0)
        ipa = (self.fault.ipa if self.fault else self.ipa) or 0
        trace.append(
            WalkRecord(
                time=time, vcpu=vcpu, access=ACCESSES[self.kind], el=self.el, fsc=fsc, va=self.va, ipa=ipa, pa=pa,
                steps=len(self.steps),
            )
        )  # fmt: skip
        for step in self.steps:
            trace.append(
                StepRecord(
                    time=time, vcpu=vcpu, stage=step.stage, level=step.level, index=step.index, table=step.table_pa,
                    wanted=step.wanted, descriptor=step.descriptor or 0, why=trace.text(step.why),
                )
            )  # fmt: skip

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
    sctlr, tcr, ttbr0, ttbr1, vttbr, vtcr, hcr = (np.uint64((registers or {}).get(name, 0)) for name in REGISTERS)
    notes = np.zeros((1 + MOST_STEPS, int(NOTE_WORDS)), np.uint64)
    access = (np.uint64(va), KINDS[kind][0], np.uint64(el == 0))
    steering = (sctlr, tcr, ttbr0, ttbr1, vttbr, vtcr, hcr & np.uint64(1))
    found = translate(span(memory), np.uint64(base), *access, *steering, notes.reshape(-1))
    pa, _leaf, ipa, status, stage, s1ptw = map(int, found)
    steps = [_step(row) for row in notes[1 : 1 + int(notes[0, 0])].tolist()]
    if status == 0:
        return Walk(va, kind, el, _reasons(steps, LEAF), pa, ipa)
    fault = Fault(status & FSC_MASK, stage, bool(s1ptw), ipa if stage == 2 else None)
    return Walk(va, kind, el, _reasons(steps, str(fault), fault), fault=fault)


def _step(row: list[int]) -> Step:
    stage, level, table, index, address, wanted, answered, descriptor = row
    ipa = table if stage == 1 else None
    return Step(stage, level, ipa, address - 8 * index, index, address, wanted, descriptor if answered else None)


def _reasons(steps: list[Step], ending: str, fault: Fault | None = None) -> tuple[Step, ...]:
    """Say of each step what came of it: a next table when the same walk goes on, else the address it looked for.

    The last one has the ending, unless the walk that failed read nothing (its address is out of range): then it is another's.
    """
    told = []
    for number, step in enumerate(steps):
        rest = steps[number + 1 :]
        if step.stage == 1:
            goes_on = any(later.stage == 1 for later in rest) or (fault is not None and fault.s1ptw)
        else:
            goes_on = bool(rest) and (rest[0].stage, rest[0].wanted) == (2, step.wanted)
        told.append(replace(step, why=TABLE if goes_on else LEAF))
    if told and (fault is None or _ended(told[-1], fault)):
        told[-1] = replace(told[-1], why=ending)
    return tuple(told)


def _ended(last: Step, fault: Fault) -> bool:
    return last.stage == fault.stage and (fault.stage == 1 or last.wanted == fault.ipa)


def _row(step: Step) -> tuple[object, ...]:
    descriptor = "" if step.descriptor is None else f"{step.descriptor:#018x}"
    ipa = "" if step.table_ipa is None else f"{step.table_ipa:#x}"
    return step.stage, step.level, ipa, f"{step.table_pa:#x}", step.index, descriptor, step.meaning, step.why
