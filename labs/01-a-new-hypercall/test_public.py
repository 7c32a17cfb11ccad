"""The public tests of lab 01, for plain pytest. A failure shows the trap in the guest, and your answer to it.

One phone runs two guests for 60 ms of virtual time with your `on_hvc` in its hypervisor; each test looks at that run.
MINIVISOR_WORK names another file to test than starter.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from minivisor import Phone, guests
from minivisor.arch.psci import ReturnCode, to_register
from minivisor.course import code_of, explain, load_stage
from minivisor.course.stage import Call, Parts
from minivisor.errors import MinivisorError

FILE = Path(os.environ.get("MINIVISOR_WORK") or Path(__file__).with_name("starter.py"))
HOW_LONG_HAVE_I_RUN = 0xC600_0001
NOT_SUPPORTED = to_register(ReturnCode.NOT_SUPPORTED)
Run = tuple[Phone, Parts]


def boot(file: Path) -> Run:
    """Two guests on one phone, with the parts in `file`."""
    try:
        parts = load_stage(file)
        return Phone(guest=guests.path("hypercall"), stages=parts, slice="1ms").run("60ms"), parts
    except MinivisorError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="module")
def run() -> Run:
    return boot(FILE)


def calls(run: Run, known: bool) -> Iterator[Call]:
    """The traps that asked how long the guest has run, or those that asked something nobody knows; newest first."""
    asked = [call for call in run[1].calls if (call.vcpu.x[0] & 0xFFFF_FFFF == HOW_LONG_HAVE_I_RUN) is known]
    if not asked:
        pytest.fail("the guest never got as far as to ask", pytrace=False)
    yield from reversed(asked)


def show(run: Run, call: Call, expected: str) -> NoReturn:
    phone, parts = run
    persona = next(persona for persona in phone.personas if persona.name == call.vcpu.persona)
    text = explain(call, expected, code_of(persona))
    pytest.fail(f"{text}\n  answered by on_hvc in {parts.where('on_hvc')}", pytrace=False)


def test_the_answer_is_in_x0(run: Run) -> None:
    for call in calls(run, known=True):
        if call.outcome.writes.get("X0") != call.vcpu.consumed:
            show(run, call, f"X0 = {call.vcpu.consumed:,}, which is vcpu.consumed in ns")


def test_an_unknown_call_is_not_supported(run: Run) -> None:
    for call in calls(run, known=False):
        if call.outcome.writes.get("X0") != NOT_SUPPORTED:
            show(run, call, f"X0 = -1 ({NOT_SUPPORTED:#x}), NOT_SUPPORTED: it asked for 0x{call.vcpu.x[0]:x}")


def test_the_guest_goes_on_at_the_next_instruction(run: Run) -> None:
    for call in run[1].calls:
        if call.outcome.kind != "resume" or "PC" in call.outcome.writes:
            show(run, call, f"resume at {call.vcpu.pc:#x}, where the hardware already points; PC not written")


def test_no_other_register_changes(run: Run) -> None:
    for call in run[1].calls:
        if set(call.outcome.writes) - {"X0", "PC"}:
            show(run, call, "nothing but X0 written: the guest may be keeping something in the others")


def test_the_charts_show_three_quarters_and_one(run: Run) -> None:
    """What you did it for. The persona in front weighs three times as much, and now both can tell."""
    phone, _ = run
    areas = []
    for persona in phone.personas:
        colour = int(persona.settings.colour)
        ink = (colour >> 8 & 0xF800) | (colour >> 5 & 0x07E0) | (colour >> 3 & 0x001F)
        areas.append(int(np.count_nonzero(persona.pixels() == ink)))
        if persona.report:
            pytest.fail(persona.report, pytrace=False)
    if not areas[1] or not 2.5 < areas[0] / areas[1] < 3.5:
        said = phone.personal.console.decode(errors="replace").strip()
        drawn = f"{areas[0]} pixels in front, {areas[1]} behind"
        pytest.fail(f"the charts: {drawn}; about three to one was expected\n{said}", pytrace=False)
