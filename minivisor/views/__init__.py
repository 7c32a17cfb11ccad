"""Diagrams of a run: in JupyterLab, in any page, as SVG; each one ES module and a thin class over it.

A view reads a trace and other plain data, never the machine. Its module in `minivisor/views/js/` has two pure functions,
`prepare(state)` and `frame(data, ui)`; the browser calls them at each step, and Python calls the very same ones (`engine`)
for the first frame and for SVG, so that no drawing is written twice.

    state (`records`, `packing`) ─► module (`modules`) ─► widget in Lab (`widget`) · page (`page`) · SVG (`svg`)
"""

from __future__ import annotations

from typing import Any

from minivisor.views.timeline import Timeline
from minivisor.views.view import View

__all__ = ["TRACED", "VIEWS", "Timeline", "View"]

VIEWS: dict[str, type[View]] = {cls.name: cls for cls in (Timeline,)}
"""The diagrams by name."""

TRACED: dict[str, Any] = {cls.name: cls for cls in (Timeline,)}
"""Those that a trace alone is enough for: (trace, since, until, code=, size=, step=)."""
