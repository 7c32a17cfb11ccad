"""Diagrams of a run: in JupyterLab, in any page, as SVG; each one ES module and a thin class over it.

A view reads a trace and other plain data, never the machine. Its module in `minivisor/views/js/` has two pure functions,
`prepare(state)` and `frame(data, ui)`; the browser calls them at each step, and Python calls the very same ones (`engine`)
for the first frame and for SVG, so that no drawing is written twice.

    state (`records`, `packing`) ─► module (`modules`) ─► widget in Lab (`widget`) · page (`page`) · SVG (`svg`)
"""

from __future__ import annotations

from typing import Any

from minivisor.views.lists import ListRegisters
from minivisor.views.pages import PageOwnership
from minivisor.views.phone import PhoneView
from minivisor.views.register import RegisterExplorer
from minivisor.views.scheduler import Scheduler
from minivisor.views.timeline import Timeline
from minivisor.views.view import View
from minivisor.views.walk import TwoStageWalk
from minivisor.views.world import Switch, WorldSwitch

__all__ = [
    "TRACED",
    "VIEWS",
    "ListRegisters",
    "PageOwnership",
    "PhoneView",
    "RegisterExplorer",
    "Scheduler",
    "Switch",
    "Timeline",
    "TwoStageWalk",
    "View",
    "WorldSwitch",
]

TRACED: dict[str, Any] = {
    cls.name: cls for cls in (Timeline, TwoStageWalk, ListRegisters, Scheduler, WorldSwitch, PageOwnership)
}
"""The diagrams that a trace alone is enough for: (trace, since, until, code=, size=, step=)."""

VIEWS: dict[str, type[View]] = {**TRACED, **{cls.name: cls for cls in (RegisterExplorer, PhoneView)}}
"""All diagrams by name."""
