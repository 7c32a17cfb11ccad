"""A trace for Perfetto's viewer: a process for each persona, a track for each vCPU and for each interrupt.

    personal                       process
      foreground                   since when it has the screen
      decisions                    an instant for each decision by rule: what, which rule, why
      vcpu 0                       a slice for each stay on the core, an instant for each exit inside
        27 virtual timer           a slice from "put in a list register" to "completed", an instant at "acknowledged"

Perfetto reads protocol buffers: a packet that describes each track once, then packets that begin a slice on one, end it, or
mark an instant, in virtual nanoseconds. Source: Perfetto's `protos/perfetto/trace/track_event/track_event.proto`, which the
`perfetto` package carries compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from minivisor.arch.gic import describe_intid
from minivisor.trace.records import (
    ExitRecord,
    ForegroundRecord,
    IrqEvent,
    IrqRecord,
    PolicyRecord,
    Record,
    StartRecord,
    StopRecord,
    exit_class,
)
from minivisor.trace.store import Trace
from minivisor.trace.usage import stays

__all__ = ["export"]

SEQUENCE = 1  # one writer: all packets belong to one sequence
SCREEN, DECISIONS = "foreground", "decisions"


def export(trace: Trace, progress: Callable[[Iterable[Record]], Iterable[Record]] = iter) -> bytes:
    """The bytes of a Perfetto trace file. progress: sees every record on its way, for a bar."""
    writer = _Writer(trace)
    for vcpu, spans in stays(trace.rows()).items():
        track = writer.vcpu(vcpu)
        for since, until in spans:
            writer.slice(track, "runs", since, until)
    for record in progress(trace):
        writer.record(record)
    writer.close(int(trace.rows()["time"].max()) if len(trace) else 0)
    return writer.bytes()


class _Writer:
    """Packets, and the tracks described so far. A track is known by the path of names that leads to it."""

    def __init__(self, trace: Trace) -> None:
        # Imported here: protocol buffers take a quarter of a second, and only an export needs them.
        from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TrackEvent
        from perfetto.trace_builder.proto_builder import TraceProtoBuilder

        self._trace, self._builder = trace, TraceProtoBuilder()
        self._begin, self._end = TrackEvent.TYPE_SLICE_BEGIN, TrackEvent.TYPE_SLICE_END
        self._instant = TrackEvent.TYPE_INSTANT
        self._tracks: dict[tuple[str, ...], int] = {}
        self._open: dict[int, int] = {}  # track of an interrupt or of the screen -> when its slice began

    def bytes(self) -> bytes:
        serialized: bytes = self._builder.serialize()
        return serialized

    # ── tracks ──

    def _track(self, *path: str, vcpu: int | None = None) -> int:
        """The number of a track, described first if it is new. The first name is a process, a vCPU a thread of it."""
        if path in self._tracks:
            return self._tracks[path]
        parent = self._track(*path[:-1]) if len(path) > 1 else 0
        number = self._tracks[path] = len(self._tracks) + 1
        descriptor = self._builder.add_packet().track_descriptor
        descriptor.uuid = number
        if not parent:
            descriptor.process.pid, descriptor.process.process_name = number, path[0]
        elif vcpu is not None:
            # A thread's parent is its process by number: a parent track would hide its name.
            descriptor.thread.pid, descriptor.thread.tid, descriptor.thread.thread_name = parent, number, path[-1]
        else:
            descriptor.parent_uuid, descriptor.name = parent, path[-1]
        return number

    def vcpu(self, vcpu: int) -> int:
        """A vCPU's track, under its persona."""
        name = self._trace.metadata.name(vcpu)
        return self._track(name, f"vcpu {vcpu}", vcpu=vcpu)

    # ── events ──

    def _event(self, kind: int, track: int, time: int, name: str = "", **arguments: Any) -> None:
        packet = self._builder.add_packet()
        packet.timestamp, packet.trusted_packet_sequence_id = time, SEQUENCE
        event = packet.track_event
        event.type, event.track_uuid = kind, track
        if name:
            event.name = name
        for key, value in arguments.items():
            annotation = event.debug_annotations.add()
            annotation.name, annotation.string_value = key, value

    def slice(self, track: int, name: str, since: int, until: int, **arguments: Any) -> None:
        """Something that lasted, in virtual ns."""
        self._event(self._begin, track, since, name, **arguments)
        self._event(self._end, track, until)

    def record(self, record: Record) -> None:
        """What one record adds; kinds that the stays on the core already show add nothing."""
        if isinstance(record, ExitRecord):
            said = dict(_registers(record), what=record.describe())
            self._event(
                self._instant, self.vcpu(record.vcpu), record.time, exit_class(record.cause, record.esr), **said
            )
        elif isinstance(record, IrqRecord):
            self._interrupt(record)
        elif isinstance(record, ForegroundRecord):
            self._foreground(record)
        elif isinstance(record, PolicyRecord):
            self._decision(record)
        elif isinstance(record, StartRecord | StopRecord):
            name = record.kind.name.lower()
            self._event(self._instant, self.vcpu(record.vcpu), record.time, name, what=self._trace.words(record))

    def _interrupt(self, record: IrqRecord) -> None:
        persona, vcpu = self._trace.metadata.name(record.vcpu), f"vcpu {record.vcpu}"
        track = self._track(persona, vcpu, f"{record.intid} {describe_intid(record.intid)}".strip())
        if record.event is IrqEvent.LISTED and track not in self._open:
            self._open[track] = record.time
            self._event(
                self._begin, track, record.time, "listed", slot=str(record.slot), priority=f"{record.priority:#x}"
            )
        elif record.event is IrqEvent.COMPLETED and track in self._open:
            del self._open[track]
            self._event(self._end, track, record.time)
        elif record.event not in (IrqEvent.LISTED, IrqEvent.COMPLETED):
            self._event(self._instant, track, record.time, record.event.name.lower())

    def _decision(self, record: PolicyRecord) -> None:
        """What a rule decided about a persona: which rule, and why."""
        texts, persona = self._trace.texts, self._trace.metadata.name(record.vcpu)
        said = {"rule": texts[record.rule], "why": texts[record.why], "about": f"{record.about:#x}"}
        self._event(self._instant, self._track(persona, DECISIONS), record.time, record.event.name.lower(), **said)

    def _foreground(self, record: ForegroundRecord) -> None:
        """One persona has the screen at a time: the other's slice ends where this one's begins."""
        for track in [self._track(name, SCREEN) for name in self._trace.metadata.personas]:
            if self._open.pop(track, None) is not None:
                self._event(self._end, track, record.time)
        track = self._track(self._trace.metadata.name(record.vcpu), SCREEN)
        self._open[track] = record.time
        self._event(self._begin, track, record.time, "in front")

    def close(self, time: int) -> None:
        """End what has not ended by itself."""
        for track in self._open:
            self._event(self._end, track, time)


def _registers(record: ExitRecord) -> Iterator[tuple[str, str]]:
    """The registers of an exit that say something, in hexadecimal."""
    for name in ("pc", "esr", "far", "ipa", "value"):
        if value := getattr(record, name):
            yield name, f"{value:#x}"
    yield "outcome", record.outcome.name.lower()
