"""Who had the core when, on traces written by hand, and on a real one against the scheduler's own accounts."""

from __future__ import annotations

from minivisor.course.timeline import Segment, Timeline, segments, who_ran
from minivisor.hypervisor.scheduler import RoundRobin
from minivisor.phone.phone import Phone
from minivisor.trace.records import NOBODY, Outcome, SwitchReason
from minivisor.trace.store import Metadata, Trace


def trace() -> Trace:
    """vCPU 0 for 100 ns until its slice ends, vCPU 1 for 50 ns until it sleeps, a pause, vCPU 0 again."""
    made = Trace(Metadata(personas=("personal", "<b>Ada</b>")))
    made.switch(0, 0, NOBODY, SwitchReason.START)
    made.exit(40, 0, 40, 0x1000, 0x5A000000, outcome=Outcome.RESUME)
    made.switch(100, 1, 0, SwitchReason.SLICE)
    made.exit(150, 1, 150, 0x1000, 0x06000000, outcome=Outcome.WAIT)
    made.switch(300, 0, NOBODY, SwitchReason.START)
    made.exit(400, 0, 250, 0x1000, 0x06000000, outcome=Outcome.WAIT)
    return made


def test_a_stay_ends_at_the_next_switch_or_where_the_vcpu_went_to_sleep() -> None:
    assert segments(trace()) == [Segment(0, 0, 100), Segment(1, 100, 150), Segment(0, 300, 400)]


def test_a_window_cuts_what_reaches_beyond_it() -> None:
    assert segments(trace(), 50, 120) == [Segment(0, 50, 100), Segment(1, 100, 120)]
    assert segments(Trace()) == []


def test_shares_are_of_the_time_shown() -> None:
    shown = Timeline(trace(), 0, 200)
    assert shown.share(0) == 0.5 and shown.share(1) == 0.25


def test_text_and_svg_show_names_and_shares() -> None:
    shown = Timeline(trace(), 0, 400)
    text = repr(shown)
    assert "personal" in text and " 50%" in text and text.splitlines()[0].count("█") == 32
    svg = shown._repr_html_()
    assert svg.count("<title>") == 3 and "&lt;b&gt;Ada" in svg and "<b>" not in svg
    assert "http" not in svg and "<script" not in svg


def test_an_empty_trace_draws_an_empty_picture() -> None:
    assert "0 ms … 0 ms" in repr(Timeline(Trace())) and Timeline(Trace())._repr_html_().startswith("<svg")


def test_it_agrees_with_what_the_scheduler_charged() -> None:
    phone = Phone(scheduler=RoundRobin(2_000_000))
    phone.run("12ms")
    phone.type("S", phone.personal)
    phone.type("S", phone.work)
    phone.run("31ms")
    for vcpu in phone.hypervisor.vcpus:
        drawn = sum(s.end - s.start for s in segments(phone.trace, 0, phone.now) if s.vcpu == vcpu.index)
        assert abs(drawn - vcpu.consumed) <= 2_000  # the trace's newest record is a little older than now
        assert drawn > 10_000_000
    shown = who_ran(phone, "30ms")
    assert (shown.since, shown.until) == (phone.now - 30_000_000, phone.now)
    assert shown.share(0) + shown.share(1) > 0.99
    assert all(f"#{persona.settings.colour:06x}" in shown._repr_html_() for persona in phone.personas)
