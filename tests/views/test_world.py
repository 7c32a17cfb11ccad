"""The world switch shows which registers differ, and nothing else as different."""

from __future__ import annotations

from minivisor.hypervisor.world import GROUPS, REGISTERS
from minivisor.views import Switch, WorldSwitch
from tests.views.examples import contended, last_switch

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


def test_a_register_that_is_absent_is_zero() -> None:
    view = WorldSwitch(Switch("a", "b", {"X0": 0}, {}), {"general": ("X0", "X1")})
    assert "2 registers saved and loaded, 0 of them differ" in view.frame().say


def test_a_real_switch_changes_the_root_of_stage_2() -> None:
    switch = last_switch(contended())
    frame = WorldSwitch(switch).frame()
    different = {row[1] for row in frame.rows if row[4] == "yes"}
    assert different == {name for name in REGISTERS if switch.saved.get(name, 0) != switch.loaded.get(name, 0)}
    assert "VTTBR_EL2" in different
