"""What a trace is made of: one row of fixed layout for each exit, world switch, interrupt and decision.

All kinds share one row of 80 bytes, so that a run is one numpy array: appended cheaply, filtered by column, saved
as it is.

    time  kind vcpu outcome detail number  retired  pc   esr  far  ipa  value argument │ host
    u64   u8   u8   u8      u8     u32     u64      u64  u64  u64  u64  u64   u64      │ u64
    └──────────────────── the digest covers this ─────────────────────────────────────┘ └ never this

Times are virtual, in nanoseconds; `retired` counts instructions. `host` is what the host spent, in ns: it differs from
run to run, so no digest and no decision may depend on it.

What a shared column means depends on `kind`, and each record class below says so once: a field lives in the column of
its own name, or in the one its annotation names. Decoding (row to record) and encoding (record to row) follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from struct import Struct
from typing import Annotated, ClassVar, TypeAlias, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from minivisor.arch.esr import EC_NAMES, describe
from minivisor.arch.psci import function_name

__all__ = [
    "COLUMNS",
    "DIGEST_BYTES",
    "DTYPE",
    "KINDS",
    "NOBODY",
    "ROW",
    "ExitCause",
    "ExitRecord",
    "ForegroundRecord",
    "FrameRecord",
    "InputEvent",
    "InputRecord",
    "IrqEvent",
    "IrqRecord",
    "Kind",
    "Outcome",
    "PsciRecord",
    "Record",
    "Rows",
    "SchedRecord",
    "StartRecord",
    "StopReason",
    "StopRecord",
    "SwitchReason",
    "SwitchRecord",
    "TimerEvent",
    "TimerRecord",
    "decode",
    "encode",
    "exit_class",
    "field_names",
    "problem",
]

DTYPE = np.dtype(
    [
        ("time", "<u8"), ("kind", "u1"), ("vcpu", "u1"), ("outcome", "u1"), ("detail", "u1"), ("number", "<u4"),
        ("retired", "<u8"), ("pc", "<u8"), ("esr", "<u8"), ("far", "<u8"), ("ipa", "<u8"), ("value", "<u8"),
        ("argument", "<u8"), ("host", "<u8"),
    ]
)  # fmt: skip
COLUMNS: tuple[str, ...] = DTYPE.names or ()
ROW = Struct("<QBBBBI8Q")
"""The same row for `struct`: packing one is several times faster than assigning to a numpy record."""
DIGEST_BYTES = 72
"""The digest covers the first 72 bytes of a row: all but `host`."""

Rows: TypeAlias = npt.NDArray[np.void]
"""A structured array of DTYPE."""

NOBODY = 255
"""The `vcpu` of a record that belongs to no vCPU."""


class Kind(IntEnum):
    EXIT = 1
    SWITCH = 2
    IRQ = 3
    TIMER = 4
    PSCI = 5
    SCHED = 6
    INPUT = 7
    FRAME = 8
    FOREGROUND = 9
    START = 10
    STOP = 11


class Outcome(IntEnum):
    """What EL2 did about an exit: the kinds of `stages.Outcome`, and NONE where there was nothing to do."""

    NONE = 0
    RESUME = 1
    WAIT = 2
    UNDEFINED = 3
    ABORT = 4
    OFF = 5
    ON = 6
    SHUTDOWN = 7
    RESET = 8
    STOP = 9


class ExitCause(IntEnum):
    """Which vector of EL2 the exit took. Only a synchronous exception has a syndrome."""

    SYNC = 0
    IRQ = 1
    FIQ = 2
    SERROR = 3


class SwitchReason(IntEnum):
    """Why the core changed hands."""

    START = 0
    SLICE = 1
    WAIT = 2
    WAKE = 3
    FOREGROUND = 4
    OFF = 5
    STOP = 6


class IrqEvent(IntEnum):
    """The life of a virtual interrupt: put in a list register (or spilled for want of one), taken, ended.

    RAISED is recorded where it ends a WFI: from then on its vCPU wants the core.
    """

    RAISED = 0
    LISTED = 1
    ACKNOWLEDGED = 2
    COMPLETED = 3
    SPILLED = 4
    LOWERED = 5


class TimerEvent(IntEnum):
    ARMED = 0
    FIRED = 1
    CANCELLED = 2


class InputEvent(IntEnum):
    """What came from outside: a byte on a console, a finger, a key of a keyboard, an Ethernet frame."""

    KEY = 0
    TOUCH = 1
    KEYBOARD = 2
    FRAME = 3


class StopReason(IntEnum):
    """Why a persona's vCPU will not run again."""

    SHUTDOWN = 0
    RESET = 1
    OFF = 2
    FIXED_POINT = 3
    NEVER_WAKES = 4
    HANDLER = 5
    LIMIT = 6


# ── records ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What every record has. time: virtual ns. vcpu: its index, NOBODY for none. host: host ns, not digested."""

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
    """A world switch to `vcpu`. previous: who ran before, NOBODY at first and after idling."""

    kind: ClassVar[Kind] = Kind.SWITCH
    previous: Annotated[int, "number"] = 0
    reason: Annotated[SwitchReason, "detail"] = SwitchReason.START
    retired: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IrqRecord(Record):
    """A step in the life of a virtual interrupt. slot: the list register, where there is one."""

    kind: ClassVar[Kind] = Kind.IRQ
    event: Annotated[IrqEvent, "detail"] = IrqEvent.RAISED
    intid: Annotated[int, "number"] = 0
    priority: Annotated[int, "value"] = 0
    slot: Annotated[int, "argument"] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerRecord(Record):
    """A timer armed for `deadline` (virtual ns), fired or cancelled. intid: its interrupt."""

    kind: ClassVar[Kind] = Kind.TIMER
    event: Annotated[TimerEvent, "detail"] = TimerEvent.ARMED
    intid: Annotated[int, "number"] = 0
    deadline: Annotated[int, "value"] = 0


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
    """The scheduler chose `vcpu` for `slice` ns; NOBODY when it had nobody to choose. runnable: one bit a vCPU."""

    kind: ClassVar[Kind] = Kind.SCHED
    slice: Annotated[int, "value"] = 0
    runnable: Annotated[int, "number"] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRecord(Record):
    """Something from outside. vcpu: the persona that got it.

    code: the byte or the key; 1 while a finger is down; the bytes of a frame. position: 1 while a key is down; x and y, 32
    bits each; the first 64 bits of a frame's blake2b.
    """

    kind: ClassVar[Kind] = Kind.INPUT
    event: Annotated[InputEvent, "detail"] = InputEvent.KEY
    code: Annotated[int, "number"] = 0
    position: Annotated[int, "value"] = 0


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
    text: Annotated[int, "number"] = 0
    retired: int = 0
    pc: int = 0
    esr: int = 0
    far: int = 0


KINDS: dict[int, type[Record]] = {
    cls.kind: cls
    for cls in (
        ExitRecord, SwitchRecord, IrqRecord, TimerRecord, PsciRecord, SchedRecord, InputRecord, FrameRecord,
        ForegroundRecord, StartRecord, StopRecord,
    )
}  # fmt: skip

_INDEX = {name: position for position, name in enumerate(COLUMNS)}


def _columns(cls: type[Record]) -> list[tuple[str, int, type[IntEnum] | None]]:
    """(field, position of its column, its members or None) for each field of a record class."""
    found = []
    for name, hint in get_type_hints(cls, include_extras=True).items():
        if get_origin(hint) is ClassVar:
            continue
        kind, column = get_args(hint) if get_origin(hint) is Annotated else (hint, name)
        found.append((name, _INDEX[column], kind if issubclass(kind, IntEnum) else None))
    return found


_FIELDS = {kind: _columns(cls) for kind, cls in KINDS.items()}


def decode(row: Sequence[int]) -> Record:
    """The record a row holds. row: integers in the order of COLUMNS. ValueError for an unknown kind or member."""
    kind = row[_INDEX["kind"]]
    if kind not in KINDS:
        raise ValueError(f"unknown record kind {kind}")
    return KINDS[kind](**{name: enum(row[at]) if enum else row[at] for name, at, enum in _FIELDS[kind]})


def encode(record: Record) -> tuple[int, ...]:
    """A record as the integers of a row, in the order of COLUMNS; columns it does not use are 0."""
    row = [0] * len(COLUMNS)
    row[_INDEX["kind"]] = record.kind
    for name, at, _ in _FIELDS[record.kind]:
        row[at] = int(getattr(record, name))
    return tuple(row)


def field_names(kind: int) -> dict[str, str]:
    """Column -> what a kind calls the field it keeps there."""
    return {COLUMNS[at]: name for name, at, _ in _FIELDS[Kind(kind)]}


def exit_class(cause: int, esr: int) -> str:
    """The class an exit is counted under: its exception class in words, or the interrupt that caused it."""
    if cause != ExitCause.SYNC:
        return f"Physical {ExitCause(cause).name}"
    ec = esr >> 26 & 0x3F
    return EC_NAMES.get(ec, f"Reserved exception class {ec:#x}")


def problem(rows: Rows, texts: int) -> str | None:
    """What keeps rows from a file from being decoded, or None. texts: how many texts the file has."""
    unknown = ~np.isin(rows["kind"], list(KINDS))
    if unknown.any():
        return f"record {int(unknown.argmax())} of unknown kind {int(rows['kind'][unknown.argmax()])}"
    for kind, declared in _FIELDS.items():
        own = rows[rows["kind"] == kind]
        for name, at, enum in declared:
            if enum and not np.isin(own[COLUMNS[at]], list(enum)).all():
                return f"a {Kind(kind).name} record with an unknown {name}"
    stops = rows[rows["kind"] == Kind.STOP]
    return "a STOP record without its text" if (stops["number"] >= texts).any() else None
