"""Shares, latencies and waits, counted by hand on a trace of a few records."""

from __future__ import annotations

import pytest

from minivisor.trace.records import NOBODY, IrqEvent, Outcome, StopReason, SwitchReason
from minivisor.trace.store import Trace
from minivisor.trace.usage import usage, usage_table


@pytest.fixture
def trace() -> Trace:
    """0 runs from 10 and sleeps at 100; 1 is ready from 5, runs at 110, loses the core to 0 (awake at 150) at 160."""
    trace = Trace()
    trace.start(0, 0, 0)
    trace.start(5, 1, 0)
    trace.sched(10, 0, 1000, 0b11)
    trace.switch(10, 0, NOBODY, SwitchReason.START)
    trace.exit(60, 0, 0, 0, 0, outcome=Outcome.WAIT)  # something was pending: it goes on
    trace.exit(70, 0, 0, 0, 0, outcome=Outcome.RESUME)
    trace.exit(100, 0, 0, 0, 0, outcome=Outcome.WAIT)
    trace.sched(110, 1, 1000, 0b10)
    trace.switch(110, 1, NOBODY, SwitchReason.START)
    trace.irq(150, 0, IrqEvent.RAISED, 27)
    trace.sched(160, 0, 1000, 0b11)
    trace.switch(160, 0, 1, SwitchReason.SLICE)
    return trace


def test_who_ran_and_who_waited(trace: Trace) -> None:
    first, second = usage(trace.rows(), 0, 200)
    assert (first.ran, first.waited, first.latencies, first.longest_wait) == (90 + 40, 10 + 10, (10,), 10)
    assert (second.ran, second.waited, second.latencies, second.longest_wait) == (50, 105 + 40, (), 105)
    assert (first.share, second.share) == (0.65, 0.25)


def test_only_what_lies_between_the_two_times_counts(trace: Trace) -> None:
    first, second = usage(trace.rows(), 90, 150)
    assert (first.ran, first.waited, first.latencies) == (10, 0, ())
    assert (first.share, second.share) == (10 / 60, 40 / 60)
    assert (second.ran, second.waited, second.longest_wait) == (40, 20, 20)


def test_a_wait_at_the_end_counts_and_a_sleep_there_does_not(trace: Trace) -> None:
    trace.exit(170, 0, 0, 0, 0, outcome=Outcome.WAIT)
    first, second = usage(trace.rows(), 0, 1000)
    assert first.ran == 90 + 10
    assert second.longest_wait == 1000 - 160


def test_a_vcpu_whose_persona_went_off_waits_for_nothing(trace: Trace) -> None:
    trace.exit(170, 0, 0, 0, 0, outcome=Outcome.SHUTDOWN)
    trace.stop(170, 0, StopReason.SHUTDOWN, "off")
    trace.start(180, 2, 0)
    trace.sched(180, 2, 1000, 0b100)
    trace.switch(180, 2, NOBODY, SwitchReason.START)
    assert usage(trace.rows(), 0, 1000)[1].longest_wait == 105


def test_quantiles_are_latencies_that_happened() -> None:
    trace = Trace()
    for turn in range(100):
        trace.irq(1000 * turn, 0, IrqEvent.RAISED, 27)
        trace.switch(1000 * turn + turn + 1, 0, NOBODY, SwitchReason.WAKE)
        trace.exit(1000 * turn + 500, 0, 0, 0, 0, outcome=Outcome.WAIT)
    (only,) = usage(trace.rows())
    assert [only.latency(quantile) for quantile in (0, 0.5, 0.99, 1)] == [1, 50, 99, 100]


def test_an_empty_trace_and_a_table() -> None:
    assert usage(Trace().rows()) == ()
    trace = Trace()
    trace.start(0, 0, 0)
    trace.switch(2000, 0, NOBODY, SwitchReason.START)
    shown = str(usage_table(usage(trace.rows(), 0, 10_000), "core {}".format))
    assert "core 0" in shown and "80.0" in shown
