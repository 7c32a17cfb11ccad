"""The exit timeline shows what the trace says: counted again here, and different when the run is."""

from __future__ import annotations

import numpy as np
import pytest

from minivisor import guests
from minivisor.errors import GuestImageError
from minivisor.trace.records import NOBODY, Kind, PolicyEvent
from minivisor.trace.store import Trace
from minivisor.views import Timeline
from minivisor.views.code import elf_reader
from tests.trace.traces import PERSONAS, made_up, real_run


def exits(pcs: list[int], esr: int = 0x5A000000) -> Trace:
    trace = Trace(PERSONAS)
    trace.switch(0, 0, NOBODY, 0)
    for at, pc in enumerate(pcs):
        trace.exit(1000 * at + 1000, 0, 0, pc, esr, outcome=1)
    return trace


def test_it_counts_exits_as_the_trace_does() -> None:
    frame = Timeline(real_run()).frame()
    counted = {row[0]: row[-1] for row in real_run().exits_by_class().rows}
    assert f"Data abort {counted['Data Abort from a lower EL']:,}<" in frame.svg
    assert f"WFI/WFE {counted['Trapped WFI or WFE']:,}<" in frame.svg
    assert frame.say.startswith(f"{sum(counted.values()):,} exits of personal and work")


def test_it_begins_at_the_most_frequent_class() -> None:
    view = Timeline(real_run())
    first = next(n for n, row in enumerate(real_run()) if row.kind is Kind.EXIT and row.esr >> 26 == 0x24)
    steps = np.flatnonzero(np.isin(real_run().rows()["kind"], Timeline.kinds))
    assert (steps[view.step], view.record) == (first, first)


def test_a_step_is_a_record_and_the_detail_decodes_its_syndrome() -> None:
    view = Timeline(real_run(), code=elf_reader(guests.path("persona")))
    frame = view.frame()
    record = real_run()[frame.record]
    assert f"ESR_EL2 = {record.esr:#x}" in frame.detail and "DFSC" in frame.detail
    assert "<mark>→ " + f"{record.pc:x}" in frame.detail and "str w" in frame.detail
    assert f"PC {record.pc:#x}" in frame.say


def test_a_window_holds_its_records_and_no_other() -> None:
    rows = real_run().rows()
    times = rows["time"][np.isin(rows["kind"], Timeline.kinds)]
    view = Timeline(real_run(), 5_000_000, 15_000_000)
    assert view.frame().steps == ((times >= 5_000_000) & (times < 15_000_000)).sum()
    assert view.frame(step=0).record == (rows["time"] < 5_000_000).sum()


def test_another_exception_class_is_another_row() -> None:
    hvc, wfi = Timeline(exits([1, 2])).frame(), Timeline(exits([1, 2], esr=0x06000000)).frame()
    assert "HVC" in hvc.svg and "WFI/WFE" not in hvc.svg
    assert "WFI/WFE" in wfi.svg and "HVC" not in wfi.svg


def test_decisions_by_rule_are_rows_below_the_exits() -> None:
    trace = exits([1, 2])
    plain = Timeline(trace).frame()
    trace.policy(3000, 0, PolicyEvent.SPILL, "mine", "no room", 27)
    view = Timeline(trace, step=3)
    assert "Policy" not in plain.svg and "Policy: spill 1<" in view.frame().svg and "HVC 2<" in view.frame().svg
    assert view.frame().say.startswith("2 exits of personal in") and "1 policy decision." in view.frame().say
    assert "personal: policy decision, spill: no room (rule: mine)" in view.frame().say
    assert Timeline(trace).step == 1  # the story is still that of the most frequent exit


def test_an_empty_trace_is_a_picture_too() -> None:
    frame = Timeline(Trace(PERSONAS)).frame()
    assert frame.say.startswith("No exits") and frame.steps == 1 and frame.svg.startswith("<svg")


def test_a_gap_in_the_instructions_is_no_error() -> None:
    assert Timeline(made_up(), code=elf_reader(guests.path("persona"))).frame().svg


def test_a_guest_that_is_no_elf_file_is_one_line(tmp_path: object) -> None:
    with pytest.raises(GuestImageError, match="expected an ELF file"):
        elf_reader(__file__)
