"""Keeping a trace: a ring of chunks that is cheap to append to, and a digest that the ring's losses do not change.

A row is packed with `struct` straight into a preallocated chunk (well under 1.5 µs). A full chunk is hashed once, then
kept; when more than `limit` records are kept, the oldest chunk goes and is counted in `lost`. So the digest always
covers every record since the start, whatever the ring still holds, and reading it changes nothing.

Two runs of the same images, input log and seed have one digest, on either MMU engine and at either speed; that is what
replay, grading and the security tests stand on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np

from minivisor.trace import codec, file, input_log, kinds, records
from minivisor.trace.digest import Digest, digest_of
from minivisor.trace.file import Document, Metadata
from minivisor.trace.kinds import PHYSICAL, SwitchSide
from minivisor.trace.records import ForegroundRecord, InputRecord, Kind, Record
from minivisor.trace.registers import Registers
from minivisor.trace.row import DTYPE, NOBODY, ROW, Rows
from minivisor.trace.table import Table

__all__ = ["Metadata", "Trace"]

CHUNK = 4096
"""Records in one chunk: the granule in which the ring forgets."""
LOG = 1 << 18
"""Records of the input log kept beside the ring."""
TEXTS = 4096
"""Different texts a trace keeps: a guest that is reset for ever must not fill the host."""
SWITCHES = 32
"""World switches of which the registers are recorded."""
NOTHING: Mapping[str, int] = {}
MORE = "(one of more texts than a trace keeps)"

_EXIT, _DEVICE = int(Kind.EXIT), int(Kind.DEVICE)


class Trace:
    """The records of one run, oldest first.

    limit: how many records to keep at least (rounded up to chunks of 4,096; 80 bytes each). registers: of how many world
    switches, the first of the run, the registers are recorded. Arguments of the appending
    methods are integers: u64 for times, registers and addresses, or struct.error is raised.
    """

    def __init__(
        self, metadata: Metadata | None = None, limit: int = 500_000, registers: int = SWITCHES
    ) -> None:
        if limit < 1:
            raise ValueError(f"trace limit: {limit}, expected at least 1 record")
        self.metadata = metadata or Metadata()
        self.registers = Registers(registers)
        self.lost = self.log_lost = 0
        self.log: Rows = np.zeros(0, DTYPE)
        """Records of the input log that the ring has lost; `log_lost`: those that are not here either."""
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}
        self._full: deque[Rows] = deque()
        self._keep = -(-limit // CHUNK)
        self._buffer = bytearray(CHUNK * ROW.size)
        self._at = 0
        self._hash = Digest()
        self._sealed: str | None = None

    # ── appending ────────────────────────────────────────────────────────────────────────────────────────────────────

    def append(self, record: Record) -> None:
        """Append any record. The methods below do the same for one kind each, several times faster."""
        self._row(*codec.encode(record))

    def _row(
        self, time: int, kind: int, vcpu: int, outcome: int = 0, detail: int = 0, number: int = 0, retired: int = 0,
        pc: int = 0, esr: int = 0, far: int = 0, ipa: int = 0, value: int = 0, argument: int = 0, host: int = 0,
    ) -> None:  # fmt: skip
        at = self._at
        if at == len(self._buffer):
            at = self._next_chunk()
        ROW.pack_into(
            self._buffer, at,
            time, kind, vcpu, outcome, detail, number, retired, pc, esr, far, ipa, value, argument, host,
        )  # fmt: skip
        self._at = at + ROW.size

    def extend(self, rows: bytes) -> None:
        """Append packed rows, as `trace.row.ROW` has them; the texts that they number are this trace's."""
        while rows:
            at = self._next_chunk() if self._at == len(self._buffer) else self._at
            part = rows[: len(self._buffer) - at]
            self._buffer[at : at + len(part)] = part
            self._at, rows = at + len(part), rows[len(part) :]

    def _next_chunk(self) -> int:
        """Hash and keep the full chunk, drop the oldest beyond the limit, and start an empty one."""
        self._refuse_when_loaded()
        rows = np.frombuffer(self._buffer, DTYPE)
        self._hash.update(rows)
        self._full.append(rows)
        if len(self._full) > self._keep:
            self._forget(self._full.popleft())
        self._buffer = bytearray(CHUNK * ROW.size)
        return 0

    def _forget(self, rows: Rows) -> None:
        """A chunk leaves the ring; what came from outside in it is kept, as long as there is room."""
        inputs = input_log.chosen(rows)
        self.lost += len(rows)
        if len(self.log) + len(inputs) > LOG or self.log_lost:
            self.log_lost += len(inputs)
        elif len(inputs):
            self.log = np.concatenate([self.log, inputs])

    def _refuse_when_loaded(self) -> None:
        if self._sealed is not None:
            raise TypeError("a loaded trace is a document: it cannot be appended to")

    def exit(
        self, time: int, vcpu: int, retired: int, pc: int, esr: int, far: int = 0, ipa: int = 0, outcome: int = 0,
        value: int = 0, host: int = 0, cause: int = 0,
    ) -> None:  # fmt: skip
        """An exception to EL2 and its outcome (records.ExitRecord). Most records are these: packed in place."""
        at = self._at
        if at == len(self._buffer):
            at = self._next_chunk()
        ROW.pack_into(
            self._buffer, at, time, _EXIT, vcpu, outcome, cause, 0, retired, pc, esr, far, ipa, value, 0, host
        )
        self._at = at + ROW.size

    def switch(
        self, time: int, vcpu: int, previous: int, reason: int, retired: int = 0, saved: Mapping[str, int] = NOTHING,
        loaded: Mapping[str, int] = NOTHING, host: int = 0,
    ) -> None:  # fmt: skip
        """A world switch from `previous` to `vcpu` (records.SwitchRecord), and the registers it moved, at the first ones."""
        told, counts = self.registers.left > 0, {"value": len(saved), "argument": len(loaded)}
        self._row(time, Kind.SWITCH, vcpu, told, reason, previous, retired, host=host, **counts)
        if told:
            for side, who, state in ((SwitchSide.SAVED, previous, saved), (SwitchSide.LOADED, vcpu, loaded)):
                for names, sets, words in self.registers.rows(who, state) if state else ():
                    self._row(time, Kind.REGISTERS, who, sets, side, self.text(names), 0, *words)
            self.registers.left -= bool(saved)

    def irq(self, time: int, vcpu: int, event: int, intid: int, priority: int = 0, slot: int = 0) -> None:
        """A step of a virtual interrupt's life (records.IrqRecord)."""
        self._row(time, Kind.IRQ, vcpu, 0, event, intid, value=priority, argument=slot)

    def timer(self, time: int, vcpu: int, event: int, intid: int, deadline: int = 0) -> None:
        """A timer armed, fired or cancelled (records.TimerRecord)."""
        self._row(time, Kind.TIMER, vcpu, 0, event, intid, value=deadline)

    def psci(self, time: int, vcpu: int, function: int, x1: int, x2: int, x3: int, result: int, host: int = 0) -> None:
        """A PSCI or SMCCC call (records.PsciRecord)."""
        self._row(time, Kind.PSCI, vcpu, 0, 0, function, far=x1, ipa=x2, value=result, argument=x3, host=host)

    def sched(self, time: int, vcpu: int, slice: int, runnable: int = 0, host: int = 0, why: str = "") -> None:
        """A scheduling decision (records.SchedRecord)."""
        self._row(time, Kind.SCHED, vcpu, 0, 0, runnable, value=slice, argument=self.text(why), host=host)

    def policy(self, time: int, vcpu: int, event: int, rule: str, why: str, about: int = 0) -> None:
        """What a rule decided (records.PolicyRecord)."""
        self._row(time, Kind.POLICY, vcpu, 0, event, self.text(rule), value=about, argument=self.text(why))

    def input(
        self, time: int, vcpu: int, event: int, code: int, position: int = 0, slot: int = 0, data: bytes = b""
    ) -> None:
        """A key, a touch or a frame (records.InputRecord), and the bytes of it that a replay needs."""
        pieces = input_log.spread(data)
        self._row(time, Kind.INPUT, vcpu, len(pieces), event, code, value=position, argument=slot)
        for size, words in pieces:
            self._row(time, Kind.DATA, vcpu, 0, size, 0, 0, *words)

    def frame(self, time: int, vcpu: int, sequence: int, pixels: int, host: int = 0) -> None:
        """A composed frame (records.FrameRecord)."""
        self._row(time, Kind.FRAME, vcpu, 0, 0, sequence, value=pixels, host=host)

    def foreground(self, time: int, vcpu: int, previous: int = NOBODY) -> None:
        """Another persona in front (records.ForegroundRecord)."""
        self._row(time, Kind.FOREGROUND, vcpu, 0, 0, previous)

    def start(self, time: int, vcpu: int, pc: int, context: int = 0) -> None:
        """A vCPU starts (records.StartRecord)."""
        self._row(time, Kind.START, vcpu, 0, 0, 0, 0, pc, value=context)

    def stop(
        self, time: int, vcpu: int, reason: int, words: str, retired: int = 0, pc: int = 0, esr: int = 0, far: int = 0
    ) -> None:
        """A vCPU ends, and why in words (records.StopRecord)."""
        self._row(time, Kind.STOP, vcpu, 0, reason, self.text(words), retired, pc, esr, far)

    def stage2(self, time: int, vcpu: int, event: int, ipa: int, pa: int, size: int, prot: str = "") -> None:
        """A change to stage 2 (records.Stage2Record)."""
        self._row(time, Kind.STAGE2, vcpu, 0, event, self.text(prot), ipa=ipa, value=pa, argument=size)

    def tlbi(self, time: int, vcpu: int, event: int, vmid: int, ipa: int = 0) -> None:
        """Translations invalidated by EL2 (records.TlbiRecord)."""
        self._row(time, Kind.TLBI, vcpu, 0, event, vmid, ipa=ipa)

    def device(self, time: int, vcpu: int, event: int, device: str, ipa: int, width: int, value: int) -> None:
        """A device's register read or written (records.DeviceRecord). Nearly as many as exits: packed in place."""
        text, at = self.text(device), self._at
        if at == len(self._buffer):
            at = self._next_chunk()
        ROW.pack_into(self._buffer, at, time, _DEVICE, vcpu, width, event, text, 0, 0, 0, 0, ipa, value, 0, 0)
        self._at = at + ROW.size

    def walk(self, time: int, vcpu: int, access: int, el: int, fsc: int, va: int, ipa: int, pa: int, steps: int) -> None:
        """A translation that failed, or was asked for (records.WalkRecord); its steps follow."""
        self._row(time, Kind.WALK, vcpu, el, access, fsc, far=va, ipa=ipa, value=pa, argument=steps)

    def step(
        self, time: int, vcpu: int, stage: int, level: int, index: int, table: int, wanted: int, descriptor: int, why: str
    ) -> None:
        """One descriptor that the walk before it read (records.StepRecord)."""
        text = self.text(why)
        self._row(time, Kind.STEP, vcpu, stage, level, index, far=wanted, ipa=table, value=descriptor, argument=text)

    def number_of(self, words: str) -> int | None:
        """The number that a text has; None as long as no record refers to it."""
        return self._numbers.get(words)

    def text(self, words: str) -> int:
        """The number of a text that records refer to; the same words have the same number."""
        number = self._numbers.get(words)
        if number is not None:
            return number
        self._refuse_when_loaded()
        if len(self.texts) >= TEXTS - 1:
            words = MORE
        if words not in self._numbers:
            self._numbers[words] = len(self.texts)
            self.texts.append(words)
        return self._numbers[words]

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def __len__(self) -> int:
        """Records kept. `total` counts the lost ones too."""
        return sum(map(len, self._full)) + self._at // ROW.size

    @property
    def total(self) -> int:
        return self.lost + len(self)

    def rows(self, since: int = 0) -> Rows:
        """Kept records from number `since` (0 is the first of the run) as one structured array, a copy."""
        skip = max(0, since - self.lost)
        parts = []
        for part in (*self._full, np.frombuffer(self._buffer, DTYPE, self._at // ROW.size)):
            parts.append(part[skip:])
            skip = max(0, skip - len(part))
        return np.concatenate(parts)

    def select(self, kind: int, vcpu: int | None = None) -> Rows:
        """Kept records of one kind, of one vCPU if given."""
        rows = self.rows()
        wanted = np.equal(rows["kind"], kind) & (True if vcpu is None else np.equal(rows["vcpu"], vcpu))
        selected: Rows = rows[wanted]
        return selected

    def __iter__(self) -> Iterator[Record]:
        for row in self.rows().tolist():
            yield codec.decode(row)

    def inputs(self) -> Iterator[tuple[InputRecord | ForegroundRecord, bytes]]:
        """What came from outside since the run began, with its bytes (`input_log`); all of it unless `log_lost`."""
        rows = np.concatenate([self.log, input_log.chosen(self.rows())])
        return input_log.events(codec.decode(row) for row in rows.tolist())

    def __getitem__(self, index: int) -> Record:
        """One kept record; 0 is the oldest kept, -1 the newest."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"record {index} of {len(self)} kept")
        number = self.total + index if index < 0 else self.lost + index
        return codec.decode(self.rows(number)[0].item())

    def digest(self) -> str:
        """32 hexadecimal digits over every record of the run, kept or lost, and its texts."""
        if self._sealed is not None:
            return self._sealed
        so_far = self._hash.copy()
        so_far.update(np.frombuffer(self._buffer, DTYPE, self._at // ROW.size))
        return so_far.hexdigest(self.texts)

    def guest_visible(self) -> str:
        """As `digest`, over the kept records that name no physical address: equal on boards that no guest can tell apart."""
        rows = self.rows()
        return digest_of(rows[~np.isin(rows["kind"], PHYSICAL)], self.texts)

    # ── counting ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def exits_by_class(self) -> Table:
        """Exits by exception class, a column for each vCPU that had any, most frequent first."""
        exits = self.select(Kind.EXIT)
        vcpus = np.flatnonzero(np.bincount(exits["vcpu"])).tolist()
        causes, classes = exits["detail"], exits["esr"] >> np.uint64(26) & np.uint64(0x3F)
        counted: list[tuple[str, list[int]]] = []
        for cause, ec in sorted(set(zip(causes.tolist(), classes.tolist(), strict=True))):
            of_class = exits["vcpu"][(causes == cause) & (classes == ec)]
            counts = [int(np.count_nonzero(of_class == vcpu)) for vcpu in vcpus]
            counted.append((records.exit_class(cause, ec << 26), counts))
        counted.sort(key=lambda entry: (-sum(entry[1]), entry[0]))
        headings = ("exit class", *(self.metadata.name(vcpu) for vcpu in vcpus), "total")
        return Table(headings, tuple((name, *counts, sum(counts)) for name, counts in counted))

    def table(self, last: int = 20) -> Table:
        """The newest `last` records in words."""
        first = max(0, self.total - last)
        decoded = [codec.decode(row) for row in self.rows(first).tolist()]
        rows = tuple(
            (record.time, self.metadata.name(record.vcpu), record.kind.name, self.words(record)) for record in decoded
        )
        title = f"{self.total:,} records" + (f", the first {self.lost:,} lost" if self.lost else "")
        return Table(("time ns", "vcpu", "kind", "what"), rows, title)

    def words(self, record: Record) -> str:
        """What a record says, in words; those of this trace, where it refers to them."""
        if isinstance(record, records.StopRecord):
            return f"{record.reason.name.lower().replace('_', ' ')}: {self.texts[record.text]}"
        if isinstance(record, records.DeviceRecord):
            way = "read as" if record.event is kinds.DeviceEvent.READ else "written with"
            return f"{self.texts[record.device]}: {record.width} bytes at IPA {record.ipa:#x} {way} {record.value:#x}"
        if isinstance(record, records.Stage2Record):
            how = f"IPA {record.ipa:#x} to PA {record.pa:#x}, {record.size:#x} bytes {self.texts[record.prot]}".rstrip()
            return f"{record.event.name.lower()} {how}"
        if isinstance(record, records.PolicyRecord):
            return f"{record.event.name.lower()}: {self.texts[record.why]} (rule: {self.texts[record.rule]})"
        if isinstance(record, records.SchedRecord) and self.texts[record.why]:
            return f"{record.describe()}: {self.texts[record.why]}"
        if isinstance(record, records.StepRecord):
            return f"{record.describe()}: {self.texts[record.why]}"
        return record.describe()

    def __repr__(self) -> str:
        return f"<Trace of {self.total:,} records, {self.lost:,} lost, digest {self.digest()[:12]}…>"

    def _repr_html_(self) -> str:
        return self.exits_by_class()._repr_html_()

    def cut(self, since: int = 0, until: int | None = None) -> Self:
        """The records between two virtual times in ns (the second excluded) as a trace of its own, which is a document.

        Its digest is over what it holds; `metadata.extra["cut"]` says what it was cut from.
        """
        rows = self.rows()
        inside = rows["time"] >= since if until is None else (rows["time"] >= since) & (rows["time"] < until)
        origin = f"{since} to {'the end' if until is None else until} ns of {self.digest()}"
        metadata = replace(self.metadata, extra={**self.metadata.extra, "cut": origin})
        kept: Rows = rows[inside]
        return self._sealed_from(Document(metadata, kept, 0, tuple(self.texts), digest_of(kept, self.texts)))

    # ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def save(self, path: str | Path) -> None:
        """Write the trace to a file, whole or not at all (format: `minivisor.trace.file`), or raise TraceError."""
        texts, digest = tuple(self.texts), self.digest()
        file.write(Document(self.metadata, self.rows(), self.lost, texts, digest, self.log, self.log_lost), Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file that `save` wrote, as a trace that cannot be appended to. TraceError for anything else."""
        return cls._sealed_from(file.read(Path(path)))

    @classmethod
    def _sealed_from(cls, document: Document) -> Self:
        trace = cls(document.metadata)
        trace._buffer = bytearray()
        trace._full.append(document.rows)
        trace.lost, trace.texts, trace._sealed = document.lost, list(document.texts), document.digest
        trace.log, trace.log_lost = document.log, document.log_lost
        return trace
