"""The world switch shows which registers differ, and nothing else as different."""

from __future__ import annotations

import numpy as np
import pytest

from minivisor import Phone
from minivisor.hypervisor.world import GROUPS, REGISTERS
from minivisor.stages import State
from minivisor.trace.records import NOBODY, Kind, SwitchRecord
from minivisor.trace.store import Trace
from minivisor.views import Switch, WorldSwitch
from tests.trace.traces import PERSONAS
from tests.views.examples import contended

SAVED = {name: at for at, name in enumerate(REGISTERS)}


def test_one_register_that_differs_is_one_mark_that_is_filled() -> None:
    same = WorldSwitch(Switch("personal", "work", SAVED, dict(SAVED)))
    other = WorldSwitch(Switch("personal", "work", SAVED, {**SAVED, "TTBR0_EL1": 0xABCD000}))
    group = list(GROUPS).index("translation") + 1
    assert f"{len(REGISTERS)} registers saved and loaded, 0 of them differ" in same.frame().say
    assert "1 of them differ. Loaded last: translation, 1 of 8 differ." in other.frame(step=group).say
    assert "0xabcd000" in other.frame(step=group).svg and "→" in other.frame(step=group).svg
    assert "→</text>" not in same.frame(step=group).svg
    assert [row[:2] for row in other.frame().rows if row[4] == "yes"] == [("translation", "TTBR0_EL1")]


def test_each_step_loads_one_more_group() -> None:
    view = WorldSwitch(Switch("personal", "work", SAVED, {}))
    assert view.frame().steps == len(GROUPS) + 1
    for at, name in enumerate(GROUPS):
        assert f"Loaded last: {name}, " in view.frame(step=at + 1).say
    assert "Loaded last" not in view.frame(step=0).say and "Still personal" in view.frame(step=0).svg


def test_what_is_loaded_is_told_by_more_than_its_colour() -> None:
    view = WorldSwitch(Switch("personal", "work", SAVED, {}))
    for done in range(len(GROUPS) + 1):
        marked = [name for name in GROUPS if f">✓ {name}<" in view.frame(step=done).svg]
        assert marked == list(GROUPS)[:done]


def test_a_longer_slice_is_fewer_switches() -> None:
    short, long = (WorldSwitch(contended(slice).trace).frame() for slice in ("100us", "400us"))
    assert short.steps > 2 * long.steps >= 2 * (len(GROUPS) + 1)


def test_a_register_that_is_absent_is_zero() -> None:
    view = WorldSwitch(Switch("a", "b", {"X0": 0}, {}), groups={"general": ("X0", "X1")})
    assert "2 registers saved and loaded, 0 of them differ" in view.frame().say


def test_a_trace_has_the_registers_of_its_first_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every switch of a short run, from its trace alone, is what the world switch stored and loaded."""
    phone = Phone(slice="100us", cost="kvm-arm-2016")
    record, seen = phone.trace.switch, []

    def spy(time: int, vcpu: int, previous: int, reason: int, retired: int, saved: State, loaded: State) -> None:
        seen.append((time, previous, dict(saved), dict(loaded)))
        record(time, vcpu, previous, reason, retired, saved, loaded)

    monkeypatch.setattr(phone.trace, "switch", spy)
    phone.run("1ms")
    view, wanted = WorldSwitch(phone.trace), [found for found in seen if found[1] != NOBODY]
    each = len(GROUPS) + 1
    assert view.frame().steps == each * len(wanted) >= 4 * each
    for at, (time, _, saved, loaded) in enumerate(wanted):
        frame = view.frame(step=each * at)
        assert [row[2:4] for row in frame.rows] == [(hex(saved.get(r, 0)), hex(loaded.get(r, 0))) for r in REGISTERS]
        switch = phone.trace[frame.record]
        assert isinstance(switch, SwitchRecord) and switch.time == time


def wide(*switches: tuple[int, int, dict[str, int], dict[str, int]], registers: int = 32) -> Trace:
    trace = Trace(PERSONAS, registers=registers)
    for at, (previous, vcpu, saved, loaded) in enumerate(switches):
        trace.switch(1000 * at, vcpu, previous, 1, 0, saved, loaded)
    return trace


V0 = 0x1122_3344_5566_7788_99AA_BBCC_DDEE_FF00


def test_only_what_changed_is_recorded_and_all_of_it_is_shown() -> None:
    a, b = {"PC": 4, "X0": 1, "V0": V0}, {"PC": 8, "X0": 2, "V0": 5}
    trace = wide((255, 0, {}, {"PC": 4}), (0, 1, a, b), (1, 0, b, a), (0, 1, {**a, "V0": 7}, b))
    view = WorldSwitch(trace, groups={"all": ("PC", "X0", "V0")})
    assert view.frame().steps == 3 * 2
    first, _, third = (view.frame(step=2 * at).rows for at in range(3))
    assert first[2][1:4] == ("V0", f"{V0:#x}", "0x5") and third[2][1:4] == ("V0", "0x7", "0x5")
    counts = np.bincount(np.cumsum(trace.rows()["kind"] == Kind.SWITCH)[trace.rows()["kind"] == Kind.REGISTERS])
    assert counts.tolist() == [0, 1, 3, 0, 1]
    assert WorldSwitch(trace, 1500, groups={"all": ("PC",)}).frame().steps == 2 * 2
    assert WorldSwitch(trace, 0, 1500, groups={"all": ("PC",)}).frame().steps == 2


def test_a_switch_without_its_registers_is_not_shown() -> None:
    """After the first ones, and in a piece of a trace that begins later: nothing is made up."""
    a, b = {"PC": 4}, {"PC": 8}
    trace = wide((0, 1, a, b), (1, 0, b, a), (0, 1, {"PC": 5}, b), registers=1)
    assert WorldSwitch(trace).frame().steps == len(GROUPS) + 1
    piece = WorldSwitch(wide((0, 1, a, b), (1, 0, b, a), (0, 1, {"PC": 5}, b)).cut(1500))
    assert "No world switch" in piece.frame().say and "--registers" in piece.frame().say


def test_a_real_switch_changes_the_root_of_stage_2() -> None:
    frame = WorldSwitch(contended().trace).frame()
    assert "VTTBR_EL2" in {row[1] for row in frame.rows if row[4] == "yes"}
