"""The scheduler's picture against `trace.usage`, which reads the same records in another way; and another slice changes it."""

from __future__ import annotations

import re

import pytest

from minivisor.trace.records import IrqEvent, SwitchReason
from minivisor.trace.store import Trace
from minivisor.trace.usage import usage
from minivisor.views import Scheduler
from tests.trace.traces import PERSONAS, real_run
from tests.views.examples import contended, crowded


def milliseconds(words: str) -> float:
    value, unit = words.split()
    return float(value) * {"ns": 1e-6, "µs": 1e-3, "ms": 1.0, "s": 1e3}[unit]


@pytest.mark.parametrize("trace", [real_run(), contended().trace, crowded().trace], ids=["idle", "busy", "keys"])
def test_shares_waits_and_latencies_are_those_of_the_trace(trace: Trace) -> None:
    table = Scheduler(trace, size=None).frame().rows
    counted = usage(trace.rows())
    assert len(table) == len(counted)
    for row, each in zip(table, counted, strict=True):
        assert row[0] == trace.metadata.name(each.vcpu)
        assert float(row[1]) == pytest.approx(100 * each.share, abs=0.06)
        assert int(row[3]) == len(each.latencies)
        expected = [each.ran, each.latency(0.5), each.latency(0.99), each.latency(1), each.longest_wait]
        found = [milliseconds(row[at]) for at in (2, 4, 5, 6, 7)]
        assert found == pytest.approx([value / 1e6 for value in expected], abs=1e-3, rel=1e-3)


def test_a_longer_slice_is_fewer_decisions_and_longer_waits() -> None:
    short, long = Scheduler(contended("100us").trace).frame(), Scheduler(contended("400us").trace).frame()
    assert short.steps > 2 * long.steps
    assert "gets the core for 100 µs" in short.say and "gets the core for 400 µs" in long.say
    waits = [max(milliseconds(row[7]) for row in frame.rows) for frame in (short, long)]
    assert waits[1] > waits[0]


def test_it_says_why_the_policy_chose() -> None:
    frame = Scheduler(contended("100us").trace).frame()
    assert re.search(r"gets the core for 100 µs: \w+ has advanced least for its weight\.", frame.say)
    assert "for 50 µs." in Scheduler(woken(3000)).frame().say  # a policy that does not say


def woken(after: int) -> Trace:
    """vCPU 1 is woken while vCPU 0 runs, and gets the core so much later, in ns."""
    trace = Trace(PERSONAS)
    trace.start(0, 0, 0)
    trace.sched(0, 0, 50_000, 1)
    trace.switch(0, 0, 255, SwitchReason.START)
    trace.irq(10_000, 1, IrqEvent.RAISED, 27)
    trace.sched(10_000 + after, 1, 50_000, 3)
    trace.switch(10_000 + after, 1, 0, SwitchReason.WAKE)
    trace.exit(90_000, 1, 0, 0, 0x06000000, outcome=2)
    return trace


@pytest.mark.parametrize(("after", "under"), [(3000, "under 4 µs"), (20_000, "under 32 µs")])
def test_a_wake_up_falls_into_its_class_of_latency(after: int, under: str) -> None:
    frame = Scheduler(woken(after)).frame()
    assert f">{under}<" in frame.svg
    assert f"longest {after / 1000:g} µs" in frame.say
    assert "personal and work ready; work gets the core" in frame.say
