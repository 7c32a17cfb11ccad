"""What Perfetto's own reader finds in an export."""

from __future__ import annotations

from typing import Any

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace as PerfettoTrace
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TrackEvent

from minivisor.trace.perfetto import export
from minivisor.trace.records import Kind, PolicyEvent
from minivisor.trace.store import Trace
from minivisor.trace.usage import stays
from tests.trace.traces import made_up, real_run


def parsed(trace: Trace) -> tuple[dict[int, str], list[tuple[int, int, int, str]]]:
    """Track number -> its name; and (time, type, track, name) of each event."""
    read: Any = PerfettoTrace()
    read.ParseFromString(export(trace))
    tracks, events = {}, []
    for packet in read.packet:
        if packet.HasField("track_descriptor"):
            described = packet.track_descriptor
            tracks[described.uuid] = described.name or described.thread.thread_name or described.process.process_name
        else:
            event = packet.track_event
            assert event.track_uuid in tracks, "a track is described before its first event"
            events.append((packet.timestamp, event.type, event.track_uuid, event.name))
    return tracks, events


def slices(events: list[tuple[int, int, int, str]], track: int) -> list[tuple[int, int]]:
    own = [(time, kind) for time, kind, where, _ in events if where == track and kind != TrackEvent.TYPE_INSTANT]
    begins, ends = own[::2], own[1::2]
    assert all(kind == TrackEvent.TYPE_SLICE_BEGIN for _, kind in begins)
    assert all(kind == TrackEvent.TYPE_SLICE_END for _, kind in ends) and len(begins) == len(ends)
    return [(begin[0], end[0]) for begin, end in zip(begins, ends, strict=True)]


def test_tracks_of_personas_vcpus_and_interrupts() -> None:
    tracks, events = parsed(made_up())
    assert sorted(tracks.values()) == sorted(
        ["personal", "vcpu 0", "27 virtual timer", "foreground", "work", "vcpu 1", "foreground"]
    )
    number = {name: track for track, name in tracks.items()}
    assert slices(events, number["vcpu 0"]) == [(0, 50)]
    assert slices(events, number["27 virtual timer"]) == [(10, 40)]
    assert [name for time, _, _, name in events if time == 30] == ["acknowledged"]


def test_the_screen_is_one_persona_s_at_a_time() -> None:
    tracks, events = parsed(made_up())
    screens = [slices(events, track) for track, name in tracks.items() if name == "foreground"]
    assert sorted(span for spans in screens for span in spans) == [(0, 55), (55, 70)]


def test_a_real_run_has_each_exit_and_each_stay_on_the_core() -> None:
    trace = real_run()
    tracks, events = parsed(trace)
    instants = [
        event for event in events if event[1] == TrackEvent.TYPE_INSTANT and tracks[event[2]].startswith("vcpu")
    ]
    expected = [k for k in (Kind.EXIT, Kind.START, Kind.STOP) for _ in trace.select(k)]
    assert len(instants) == len(expected) > 20
    for track, name in tracks.items():
        if name.startswith("vcpu"):
            assert slices(events, track) == stays(trace.rows())[int(name.split()[1])]


def test_a_decision_is_an_instant_with_its_rule_and_reason() -> None:
    trace = made_up()
    trace.policy(80, 1, PolicyEvent.SPILL, "mine", "no room", 27)
    read: Any = PerfettoTrace()
    read.ParseFromString(export(trace))
    tracks, events = parsed(trace)
    assert [tracks[where] for time, _, where, name in events if (time, name) == (80, "spill")] == ["decisions"]
    (said,) = [packet.track_event for packet in read.packet if packet.timestamp == 80 and packet.track_event.name]
    assert {a.name: a.string_value for a in said.debug_annotations} == {"rule": "mine", "why": "no room", "about": "0x1b"}


def test_nothing_is_left_open() -> None:
    _, events = parsed(real_run())
    kinds = [kind for _, kind, _, _ in events]
    assert kinds.count(TrackEvent.TYPE_SLICE_BEGIN) == kinds.count(TrackEvent.TYPE_SLICE_END) > 0


def test_an_empty_trace_is_an_empty_file() -> None:
    assert parsed(Trace()) == ({}, [])
