"""What a trace is made of: one row of fixed layout for each exit, world switch, interrupt and decision.

What a shared column means depends on `kind`, and each record class below says so once: a field lives in the column of
its own name, or in the one its annotation names; with TEXT it is the number of one of the trace's texts. `codec` reads it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Annotated, ClassVar

from minivisor.arch.esr import EC_NAMES, FSC_NAMES, describe
from minivisor.arch.gic import describe_intid
from minivisor.arch.psci import function_name
from minivisor.trace.kinds import (
    DeviceEvent,
    ExitCause,
    InputEvent,
    IrqEvent,
    Kind,
    Outcome,
    PolicyEvent,
    Stage2Event,
    StopReason,
    SwitchReason,
    SwitchSide,
    TimerEvent,
    TlbiEvent,
    WalkAccess,
)

__all__ = [
    "COLUMNS", "DTYPE", "KINDS", "NOBODY", "TEXT", "DataRecord", "DeviceRecord", "ExitCause", "ExitRecord",
    "ForegroundRecord", "FrameRecord", "InputEvent", "InputRecord", "IrqEvent", "IrqRecord", "Kind", "Outcome",
    "PolicyEvent", "PolicyRecord", "PsciRecord", "Record", "RegistersRecord", "Rows", "SchedRecord", "Stage2Record",
    "StartRecord", "StepRecord", "StopReason", "StopRecord", "SwitchReason", "SwitchRecord", "SwitchSide", "TimerEvent",
    "TimerRecord", "TlbiRecord", "WalkRecord", "exit_class",
]  # fmt: skip
from minivisor.trace.row import COLUMNS, DTYPE, NOBODY, Rows

TEXT = "text"

# ── records ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What every record has. time: virtual ns. vcpu: its index, NOBODY for none. host: ns of the host's, not digested;
    0 where nobody measured, as for exits that compiled code answers."""

    kind: ClassVar[Kind]
    time: int = 0
    vcpu: int = 0
    host: int = 0

    def describe(self) -> str:
        """One line for people, without time and vCPU."""
        own = [f for f in fields(self) if f.name not in ("time", "vcpu", "host")]
        return ", ".join(f"{f.name} {_show(getattr(self, f.name))}" for f in own)


def _show(value: int) -> str:
    if isinstance(value, IntEnum):
        return value.name.lower().replace("_", " ")
    return f"{value:#x}" if value > 9 else str(value)


def _vcpu(index: int) -> str:
    return "nobody" if index == NOBODY else f"vcpu {index}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitRecord(Record):
    """An exception taken to EL2, and what came of it. value: what was read or written, or the call's result."""

    kind: ClassVar[Kind] = Kind.EXIT
    cause: Annotated[ExitCause, "detail"] = ExitCause.SYNC
    retired: int = 0
    pc: int = 0
    esr: int = 0
    far: int = 0
    ipa: int = 0
    outcome: Outcome = Outcome.NONE
    value: int = 0

    def describe(self) -> str:
        what = describe(self.esr) if self.cause is ExitCause.SYNC else f"physical {self.cause.name}"
        where = f" ipa {self.ipa:#x}" if self.ipa else ""
        return f"{what} at pc {self.pc:#x}{where}: {_show(self.outcome)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchRecord(Record):
    """A world switch to `vcpu`. previous: who ran before, NOBODY at first and after idling. saved, loaded: so many registers.

    told: 1 when REGISTERS records follow for whatever of them was not recorded before.
    """

    kind: ClassVar[Kind] = Kind.SWITCH
    previous: Annotated[int, "number"] = 0
    reason: Annotated[SwitchReason, "detail"] = SwitchReason.START
    retired: int = 0
    saved: Annotated[int, "value"] = 0
    loaded: Annotated[int, "argument"] = 0
    told: Annotated[int, "outcome"] = 0

    def describe(self) -> str:
        return f"{_show(self.reason)}: after {_vcpu(self.previous)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IrqRecord(Record):
    """A step in the life of a virtual interrupt. slot: the list register, where there is one."""

    kind: ClassVar[Kind] = Kind.IRQ
    event: Annotated[IrqEvent, "detail"] = IrqEvent.RAISED
    intid: Annotated[int, "number"] = 0
    priority: Annotated[int, "value"] = 0
    slot: Annotated[int, "argument"] = 0

    def describe(self) -> str:
        where = "" if self.event is IrqEvent.RAISED else f", list register {self.slot}"
        return f"{_show(self.event)}: {self.intid} {describe_intid(self.intid)}, priority {self.priority:#x}{where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerRecord(Record):
    """A timer armed for `deadline` (virtual ns), fired or cancelled. intid: its interrupt."""

    kind: ClassVar[Kind] = Kind.TIMER
    event: Annotated[TimerEvent, "detail"] = TimerEvent.ARMED
    intid: Annotated[int, "number"] = 0
    deadline: Annotated[int, "value"] = 0

    def describe(self) -> str:
        return f"{_show(self.event)}: {self.intid} {describe_intid(self.intid)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PsciRecord(Record):
    """A PSCI or SMCCC call: W0, X1 to X3, and the result as X0 shows it."""

    kind: ClassVar[Kind] = Kind.PSCI
    function: Annotated[int, "number"] = 0
    x1: Annotated[int, "far"] = 0
    x2: Annotated[int, "ipa"] = 0
    x3: Annotated[int, "argument"] = 0
    result: Annotated[int, "value"] = 0

    def describe(self) -> str:
        signed = self.result - (1 << 64) if self.result >> 63 else self.result
        return f"{function_name(self.function)}({self.x1:#x}, {self.x2:#x}, {self.x3:#x}) = {signed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedRecord(Record):
    """The scheduler chose `vcpu` for `slice` ns; NOBODY when it had nobody to choose. runnable: one bit a vCPU.

    why: number of the trace's text in which the policy says it; empty for a policy that does not say.
    """

    kind: ClassVar[Kind] = Kind.SCHED
    slice: Annotated[int, "value"] = 0
    runnable: Annotated[int, "number"] = 0
    why: Annotated[int, "argument", TEXT] = 0

    def describe(self) -> str:
        ready = [str(vcpu) for vcpu in range(32) if self.runnable >> vcpu & 1]
        return f"for {self.slice:,} ns; ready: vcpu {' '.join(ready) or 'none'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRecord(Record):
    """Something from outside. vcpu: the persona that got it. code: the byte or the key; 1 while a finger is down; a frame's
    bytes. position: 1 while a key is down; x and y, 32 bits each; the first 64 bits of a frame's blake2b.

    slot: 0 for the persona's own console, else that of the virtio device and 1. pieces: so many DATA records follow; none for
    a frame that another guest sent, since a replay sends it again.
    """

    kind: ClassVar[Kind] = Kind.INPUT
    event: Annotated[InputEvent, "detail"] = InputEvent.KEY
    code: Annotated[int, "number"] = 0
    position: Annotated[int, "value"] = 0
    slot: Annotated[int, "argument"] = 0
    pieces: Annotated[int, "outcome"] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Words(Record):
    """A record that is six words, in the columns that a page reads to the last bit (`retired` is a double there)."""

    pc: int = 0
    esr: int = 0
    far: int = 0
    ipa: int = 0
    value: int = 0
    argument: int = 0

    @property
    def words(self) -> tuple[int, ...]:
        """All six columns."""
        return self.pc, self.esr, self.far, self.ipa, self.value, self.argument


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRecord(Words):
    """The next `size` bytes, at most 48, of what came in the INPUT record before: eight in a column, little-endian."""

    kind: ClassVar[Kind] = Kind.DATA
    size: Annotated[int, "detail"] = 0

    def describe(self) -> str:
        return f"{self.size} bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRecord(Record):
    """A frame was composed from `vcpu`'s framebuffer. pixels: the first 64 bits of its blake2b."""

    kind: ClassVar[Kind] = Kind.FRAME
    sequence: Annotated[int, "number"] = 0
    pixels: Annotated[int, "value"] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ForegroundRecord(Record):
    """`vcpu`'s persona came to the front. previous: who was there, NOBODY at first."""

    kind: ClassVar[Kind] = Kind.FOREGROUND
    previous: Annotated[int, "number"] = 0

    def describe(self) -> str:
        return f"in front, after {_vcpu(self.previous)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRecord(Record):
    """`vcpu` starts at `pc` with `context` in X0: at power on, after CPU_ON, after a reset."""

    kind: ClassVar[Kind] = Kind.START
    pc: int = 0
    context: Annotated[int, "value"] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRecord(Record):
    """`vcpu` ended. text: number of the trace's text that says why in words."""

    kind: ClassVar[Kind] = Kind.STOP
    reason: Annotated[StopReason, "detail"] = StopReason.SHUTDOWN
    text: Annotated[int, "number", TEXT] = 0
    retired: int = 0
    pc: int = 0
    esr: int = 0
    far: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage2Record(Record):
    """A change to the stage 2 of `vcpu`'s persona. size: bytes. prot: number of the trace's text that says how, as "rwx"."""

    kind: ClassVar[Kind] = Kind.STAGE2
    event: Annotated[Stage2Event, "detail"] = Stage2Event.MAP
    ipa: int = 0
    pa: Annotated[int, "value"] = 0
    size: Annotated[int, "argument"] = 0
    prot: Annotated[int, "number", TEXT] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TlbiRecord(Record):
    """EL2 invalidated translations of `vcpu`'s persona. What a guest invalidates is its own affair, and is not here."""

    kind: ClassVar[Kind] = Kind.TLBI
    event: Annotated[TlbiEvent, "detail"] = TlbiEvent.VMID
    vmid: Annotated[int, "number"] = 0
    ipa: int = 0

    def describe(self) -> str:
        return f"VMID {self.vmid}" + (f", IPA {self.ipa:#x}" if self.event is TlbiEvent.IPA else ", all of it")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRecord(Record):
    """A device's register was read or written. width: bytes. device: number of the trace's text that names it."""

    kind: ClassVar[Kind] = Kind.DEVICE
    event: Annotated[DeviceEvent, "detail"] = DeviceEvent.READ
    width: Annotated[int, "outcome"] = 4
    device: Annotated[int, "number", TEXT] = 0
    ipa: int = 0
    value: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkRecord(Record):
    """A translation that failed, or was asked for. steps: so many STEP records follow. fsc: fault status, 0 for none.

    pa: the result, 0 when there is none. el: 0 or 1.
    """

    kind: ClassVar[Kind] = Kind.WALK
    access: Annotated[WalkAccess, "detail"] = WalkAccess.READ
    el: Annotated[int, "outcome"] = 1
    fsc: Annotated[int, "number"] = 0
    va: Annotated[int, "far"] = 0
    ipa: int = 0
    pa: Annotated[int, "value"] = 0
    steps: Annotated[int, "argument"] = 0

    def describe(self) -> str:
        came = FSC_NAMES.get(self.fsc, "fault") if self.fsc else f"IPA {self.ipa:#x}, PA {self.pa:#x}"
        return f"{_show(self.access)} of VA {self.va:#x} at EL{self.el}: {came}, {self.steps} steps"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord(Record):
    """One descriptor that the walk before it read. table: its PA. wanted: the VA or IPA being translated there.

    why: number of the trace's text that says what came of it.
    """

    kind: ClassVar[Kind] = Kind.STEP
    stage: Annotated[int, "outcome"] = 1
    level: Annotated[int, "detail"] = 0
    index: Annotated[int, "number"] = 0
    table: Annotated[int, "ipa"] = 0
    wanted: Annotated[int, "far"] = 0
    descriptor: Annotated[int, "value"] = 0
    why: Annotated[int, "argument", TEXT] = 0

    def describe(self) -> str:
        where = f"stage {self.stage} level {self.level}, table {self.table:#x}[{self.index}]"
        return f"{where} = {self.descriptor:#018x} for {self.wanted:#x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRecord(Record):
    """A rule decided something about `vcpu` or its persona. rule, why: numbers of the trace's texts: which rule, and on what
    grounds. about: the interrupt that must wait, the IPA that was asked for, what came from outside; 0 for the persona."""

    kind: ClassVar[Kind] = Kind.POLICY
    event: Annotated[PolicyEvent, "detail"] = PolicyEvent.SPILL
    rule: Annotated[int, "number", TEXT] = 0
    why: Annotated[int, "argument", TEXT] = 0
    about: Annotated[int, "value"] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistersRecord(Words):
    """Registers that the world switch before moved (`registers`). names: number of the trace's text that names the words.

    sets: so many different `names` there are.
    """

    kind: ClassVar[Kind] = Kind.REGISTERS
    side: Annotated[SwitchSide, "detail"] = SwitchSide.SAVED
    sets: Annotated[int, "outcome"] = 0
    names: Annotated[int, "number", TEXT] = 0


KINDS: dict[int, type[Record]] = {
    cls.kind: cls
    for cls in (
        ExitRecord, SwitchRecord, IrqRecord, TimerRecord, PsciRecord, SchedRecord, InputRecord, FrameRecord,
        ForegroundRecord, StartRecord, StopRecord, Stage2Record, TlbiRecord, DeviceRecord, WalkRecord, StepRecord,
        PolicyRecord, DataRecord, RegistersRecord,
    )
}  # fmt: skip


def exit_class(cause: int, esr: int) -> str:
    """The class an exit is counted under: its exception class in words, or the interrupt that caused it."""
    if cause != ExitCause.SYNC:
        return f"Physical {ExitCause(cause).name}"
    ec = esr >> 26 & 0x3F
    return EC_NAMES.get(ec, f"Reserved exception class {ec:#x}")
