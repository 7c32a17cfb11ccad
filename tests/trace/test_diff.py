"""Two traces: equal, parted at a record, one shorter, different only where records were lost."""

from __future__ import annotations

from minivisor.trace.diff import divergence
from minivisor.trace.store import CHUNK, Trace
from tests.trace.traces import PERSONAS, made_up


def test_equal_runs_have_no_divergence() -> None:
    assert divergence(made_up(), made_up()) is None


def test_what_the_host_spent_is_no_difference() -> None:
    ours, theirs = Trace(PERSONAS), Trace(PERSONAS)
    ours.exit(1, 0, 1, 4, 0, host=5)
    theirs.exit(1, 0, 1, 4, 0, host=6)
    assert divergence(ours, theirs) is None


def test_the_first_record_that_differs_and_its_field() -> None:
    found = divergence(made_up(), made_up(second_pc=0x2004))
    assert found is not None and found.number == 10 and found.columns == ("pc",)
    assert found.describe() == "record 10 differs in pc"
    assert [row[1] for row in found.table().rows] == ["both", "both", "both", "first", "second"]
    assert "0x2004" in str(found.table())


def test_a_field_has_the_name_its_kind_gives_it() -> None:
    ours, theirs = Trace(PERSONAS), Trace(PERSONAS)
    ours.sched(0, 0, 5000)
    theirs.sched(0, 0, 6000)
    found = divergence(ours, theirs)
    assert found is not None and found.columns == ("slice",)


def test_one_ends_before_the_other() -> None:
    longer = made_up()
    longer.switch(80, 0, 1, 1)
    found = divergence(made_up(), longer)
    assert found is not None and found.number == 12
    assert found.describe() == "the first trace ends before record 12; up to there they are equal"
    assert [row[1] for row in found.table().rows][-1] == "second"


def test_a_difference_in_what_was_lost() -> None:
    traces = []
    for first in (1, 2):
        trace = Trace(PERSONAS, limit=CHUNK)
        trace.exit(0, 0, first, 4, 0)
        for number in range(3 * CHUNK):
            trace.exit(number, 0, number, 4, 0)
        traces.append(trace)
    found = divergence(*traces)
    assert found is not None and found.number == -1 and "lost" in found.describe()
    assert found.table().rows == ()
