"""A diagram as an object: plain state, a step, and the ways to show it.

In a notebook with anywidget it is alive, and `step` follows what a reader does there; without, and in any page, it is a
static page of its own that behaves the same but has nobody to tell. The state never changes after it was made.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from minivisor.errors import writing
from minivisor.trace.records import Kind
from minivisor.trace.store import Trace
from minivisor.views import page, svg
from minivisor.views.engine import Facts, Frame, drawing, facts
from minivisor.views.modules import module
from minivisor.views.records import EMBED, Reader, trace_state

__all__ = ["TraceView", "View"]

WIDTH = 720  # pixels of a frame drawn in Python


class View:
    """One diagram of one run. state: plain data for its module. step: from 0; -1 is the one that tells the story."""

    name: ClassVar[str] = ""

    def __init__(self, state: Mapping[str, Any], step: int = -1) -> None:
        self.state, self._step = dict(state), step
        self.ui: dict[str, Any] = {}
        self._listeners: list[Callable[[int], None]] = []

    # ── what it shows ──

    @property
    def facts(self) -> Facts:
        """Its title and the question it answers."""
        return facts(self.name)

    @property
    def esm(self) -> str:
        """Its ES module, the same text in a notebook and in a page."""
        return module(self.name)

    @cached_property
    def _json(self) -> str:
        return json.dumps(self.state, separators=(",", ":"))

    @cached_property
    def _key(self) -> str:
        return blake2b((self.name + self._json).encode(), digest_size=8).hexdigest()

    def frame(self, step: int | None = None, width: int = WIDTH) -> Frame:
        """One picture with its words and its table. step: the current one unless given."""
        return drawing(self.name, self._key, self._json, self._step if step is None else step, width)

    @property
    def step(self) -> int:
        """The step that is shown; setting it moves the live view too."""
        return self._step if self._step >= 0 else self.frame().step

    @step.setter
    def step(self, value: int) -> None:
        self._step = value
        if "widget" in vars(self):
            self.widget.step = value

    @property
    def record(self) -> int:
        """The number of the trace's record that is shown, -1 when it is about none."""
        return self.frame().record

    # ── ways to show it ──

    def to_svg(self, path: str | Path | None = None, *, step: int | None = None, width: int = WIDTH) -> str:
        """The current frame as an SVG document of its own, light or dark as its reader likes; written to `path` if given."""
        return _written(svg.document(self.frame(step, width), self.facts), path)

    def to_html(self, path: str | Path | None = None) -> str:
        """One self-contained page: no server, no network, no second file; written to `path` if given."""
        return _written(page.page([self]), path)

    def to_iframe(self, source: str) -> str:
        """A snippet for somebody's post that shows the page at address `source`; it needs no script there."""
        return page.iframe(self, source)

    def as_json(self) -> str:
        """State and step as the element of a page carries them."""
        return json.dumps({"state": self.state, "step": self._step, "ui": self.ui}, separators=(",", ":"))

    def live_state(self) -> dict[str, Any]:
        """The state as a live view gets it."""
        return self.state

    @cached_property
    def widget(self) -> Any:
        """The live view, by anywidget. MissingPartError without it."""
        from minivisor.views.widget import widget

        return widget(self)

    def _moved(self, step: int, ui: Mapping[str, Any]) -> None:
        """A reader has moved the live view."""
        self._step, self.ui = step, dict(ui)
        for listener in self._listeners:
            listener(step)

    def on_step(self, listener: Callable[[int], None]) -> None:
        """Call `listener(step)` whenever a reader moves the live view."""
        self._listeners.append(listener)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        if find_spec("anywidget") is not None:
            return self.widget._repr_mimebundle_(**options)
        return {"text/html": page.inline_frame(self), "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.frame().say}>"


class TraceView(View):
    """A diagram of a trace's records between two virtual times.

    since, until: virtual ns. code: instructions of the guest, for the detail of an exit (`elf_reader`). size: characters
    that records may take; None keeps all of the window.
    """

    kinds: ClassVar[Sequence[Kind]] = ()
    """The kinds of records it is about; all of them if empty."""

    def __init__(
        self,
        trace: Trace,
        since: int = 0,
        until: int | None = None,
        *,
        code: Reader | None = None,
        size: int | None = EMBED,
        step: int = -1,
    ) -> None:
        super().__init__(trace_state(trace, since, until, code, size, self.kinds), step)


def _written(content: str, path: str | Path | None) -> str:
    if path is not None:
        with writing("output", path):
            Path(path).write_text(content, encoding="utf-8", newline="\n")
    return content
