"""The two-stage walk shows the walk that ran: one cause changed in stage 2 (S2AP, a page unmapped) changes the picture."""

from __future__ import annotations

from functools import cache

from minivisor import Phone
from minivisor.trace.store import Trace
from minivisor.views import TwoStageWalk
from tests.trace.traces import PERSONAS
from tests.views.examples import KERNEL, crowded, example

DATA = 0x4020_C000  # IPA of the kernel's data
VA = 0xFFFF_FF80_4020_C000


@cache
def phone(prot: str = "rwx") -> Phone:
    """A phone whose personal side may use the 2 MiB of its kernel's data only so."""
    made = Phone()
    made.run("5ms")
    if prot != "rwx":
        made.personal.stage2.protect(0x4020_0000, 1 << 21, prot)
    return made


def test_the_default_frame_shows_the_result_of_the_walk() -> None:
    walk = crowded().walk(KERNEL, kind="x")
    frame = TwoStageWalk(walk).frame()
    assert (frame.step, frame.steps) == (len(walk.steps), len(walk.steps) + 1)
    assert f"✓ IPA {walk.ipa:#x}, PA {walk.pa:#x}" in frame.svg
    assert [row[0] for row in frame.rows] == [str(n + 1) for n in range(len(walk.steps))]
    assert [row[5] for row in frame.rows] == [
        f"{step.descriptor:#x}" for step in walk.steps if step.descriptor is not None
    ]


def test_each_step_decodes_its_descriptor() -> None:
    view = example("walk")
    walk = crowded().walk(KERNEL, kind="x")
    for at, step in enumerate(walk.steps):
        frame = view.frame(step=at)
        kind = "TABLE" if "table" in step.meaning else "PAGE" if "page" in step.meaning else "BLOCK"
        assert f"S{step.stage}_{kind}" in frame.detail and step.meaning in frame.say
        assert f"stage {step.stage} level {step.level}, descriptor {step.index}" in frame.say


def test_a_stage_2_that_allows_reads_only_stops_a_write_where_the_picture_says_so() -> None:
    allowed = TwoStageWalk(phone().walk(VA, kind="w")).frame()
    refused = TwoStageWalk(phone("r").walk(VA, kind="w")).frame()
    assert "✕" not in allowed.svg and "read only" not in str(allowed.rows)
    assert "✕ stage 2: permission fault" in refused.svg and "✕ fault" in refused.svg and "no PA" in refused.svg
    assert "permission fault" in refused.say
    read = TwoStageWalk(phone("r").walk(VA, kind="r"))
    assert "✕" not in read.frame().svg


def test_a_table_of_the_guest_that_stage_2_hides_is_s1ptw() -> None:
    made = Phone()
    made.run("5ms")
    made.personal.stage2.unmap(0x4020_0000, 1 << 21)
    walk = made.walk(VA)
    assert walk.fault is not None and walk.fault.s1ptw
    frame = TwoStageWalk(walk).frame()
    assert "on a stage-1 table walk" in frame.svg and "✕ fault" in frame.svg


def test_a_trace_shows_the_walks_it_recorded_in_the_same_picture() -> None:
    walk = phone("r").walk(VA, kind="w")
    trace = Trace(PERSONAS)
    trace.start(0, 0, 0)
    walk.record(trace, 1000, 0)
    recorded, given = TwoStageWalk(trace), TwoStageWalk(walk)
    for step in range(given.frame().steps):
        ours, theirs = recorded.frame(step), given.frame(step)
        assert [row[:6] for row in ours.rows] == [row[:6] for row in theirs.rows]
        assert ours.detail == theirs.detail
        assert ("✕" in ours.svg) == ("✕" in theirs.svg)
    assert recorded.record == 1 and "by personal" in recorded.frame().say


def test_a_trace_without_walks_says_so() -> None:
    assert TwoStageWalk(Trace(PERSONAS)).frame().say == "No walk was recorded."
