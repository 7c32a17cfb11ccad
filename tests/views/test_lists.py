"""The list registers replay what was recorded: with more of them nothing spills, and the picture shows it."""

from __future__ import annotations

import numpy as np

from minivisor.trace.records import IrqEvent, Kind
from minivisor.trace.store import Trace
from minivisor.views import ListRegisters
from tests.trace.traces import PERSONAS
from tests.views.examples import crowded


def spills(trace: Trace) -> int:
    return int(np.count_nonzero(trace.select(Kind.IRQ)["detail"] == IrqEvent.SPILLED))


def test_more_list_registers_leave_nothing_outside() -> None:
    one, four = (ListRegisters(crowded(n).trace, list_registers=n).frame() for n in (1, 4))
    assert spills(crowded(1).trace) > 0 == spills(crowded(4).trace)
    assert one.say.startswith(f"1 list register, {spills(crowded(1).trace)} spills in ")
    assert four.say.startswith("4 list registers, 0 spills in ")
    assert "finds no list register and waits outside" in one.say
    assert ">LR3<" in four.svg and ">LR1<" not in one.svg
    assert "spilled, priority 0xa0" in one.svg and "spilled, priority" not in four.svg


def story(*events: tuple[IrqEvent, int, int]) -> Trace:
    trace = Trace(PERSONAS)
    for at, (event, intid, slot) in enumerate(events):
        trace.irq(1000 * at, 0, event, intid, 0xA0, slot)
    return trace


def test_an_interrupt_goes_from_outside_into_a_list_register_and_is_done() -> None:
    raised, listed = (IrqEvent.RAISED, 27, 0), (IrqEvent.LISTED, 27, 2)
    view = ListRegisters(story(raised, listed, (IrqEvent.ACKNOWLEDGED, 27, 2), (IrqEvent.COMPLETED, 27, 2)))
    looks = [view.frame(step=at) for at in range(4)]
    assert "pending, priority 0xa0" in looks[0].svg and looks[0].svg.count(">empty<") == 3
    assert looks[1].svg.count(">empty<") == 2 and "list register 2" in looks[1].say
    assert "active, priority 0xa0" in looks[2].svg
    assert "1 times" in looks[3].svg and looks[3].svg.count(">empty<") == 3
    assert view.step == 2  # nothing spilled: the first acknowledgement is the story


def test_a_spilled_interrupt_that_is_not_spilled_again_was_completed_outside() -> None:
    trace = Trace(PERSONAS)
    for time, again in ((1000, True), (2000, True), (3000, False)):
        trace.irq(time, 0, IrqEvent.LISTED, 27, 0xA0, 0)
        if again:
            trace.irq(time, 0, IrqEvent.SPILLED, 33, 0xA0)
    view = ListRegisters(trace)
    assert "spilled, priority" in view.frame(step=3).svg
    assert "spilled, priority" not in view.frame(step=4).svg and "1 times" in view.frame(step=4).svg


def test_a_step_far_into_a_run_is_what_replaying_all_of_it_gives() -> None:
    events = [(IrqEvent.LISTED, 27, 0), (IrqEvent.COMPLETED, 27, 0)] * 200
    assert "200 times" in ListRegisters(story(*events)).frame(step=399).svg


def test_an_interrupt_is_called_what_it_is() -> None:
    view = ListRegisters(story((IrqEvent.LISTED, 3, 0), (IrqEvent.LISTED, 27, 1), (IrqEvent.LISTED, 33, 2)))
    assert {"3 SGI 3", "27 virtual timer", "33 SPI 1"} <= {row[3] for row in view.frame().rows}
