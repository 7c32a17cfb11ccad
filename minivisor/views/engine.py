"""A diagram's own module, run here: the picture a page shows before its script runs, and SVG for a file.

V8 (the `mini-racer` package) evaluates the module that the browser will run; only the way it hands over its default export
differs. It has no files, no network and no host objects, and it is started when the first picture is wanted.
"""

from __future__ import annotations

import atexit
import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from minivisor.views.modules import module

__all__ = ["Facts", "Frame", "drawing", "facts"]

EXPORT = "export default view;"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a module says of itself. style: the CSS of its parts."""

    title: str
    question: str
    style: str


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture. svg: an element. say: what it shows, in words. head, rows: the same as a table. steps: how many there are.

    record: the number of the trace's record it is about, -1 for none.
    """

    svg: str
    say: str
    detail: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    step: int
    steps: int
    record: int


DRAW = """
globalThis.drawFrame = (name, key, text, step, width) => {
  const view = globalThis.views[name];
  if (globalThis.kept?.key !== key) {
    const state = JSON.parse(text());
    globalThis.kept = { key, state, data: view.prepare(state) };
  }
  const { data, state } = globalThis.kept, steps = Math.max(1, view.steps(data));
  const at = Math.max(0, Math.min(steps - 1, step >= 0 ? step : view.start(data)));
  const ui = { ...(view.ui || {}), ...(state.ui || {}), step: at, width };
  const { svg, say, detail = "", table } = view.frame(data, ui);
  const record = view.record ? view.record(data, at) : -1;
  return JSON.stringify({ svg, say: view.clean(say).trim(), detail, ...table(), step: at, steps, record });
};"""


@cache
def _engine() -> Any:
    from py_mini_racer import MiniRacer

    engine = MiniRacer()
    engine.eval("globalThis.views = {};" + DRAW)
    # V8's threads outlive the interpreter otherwise, and a process that drew a picture now and then hangs at its end.
    atexit.register(engine.close)
    return engine


@cache
def _load(name: str) -> Any:
    """The engine, once it knows this diagram."""
    text = module(name)
    assert text.count(EXPORT) == 1
    engine = _engine()
    engine.eval(f"globalThis.views[{json.dumps(name)}] = (() => {{\n{text.replace(EXPORT, 'return view;')}\n}})(); 0")
    return engine


@cache
def facts(name: str) -> Facts:
    """Title, question and style of a diagram, from its module."""
    told = _load(name).eval(
        f"(({{title, question, style}}) => JSON.stringify([title, question, style]))(views[{name!r}])"
    )
    return Facts(*json.loads(told))


def drawing(name: str, key: str, state: str, step: int, width: int) -> Frame:
    """One frame of a diagram.

    key: differs when the state does. state: JSON. step: from 0, -1 for the one that tells the story. width: pixels.
    """
    call = f"drawFrame({name!r}, {key!r}, () => {json.dumps(state)}, {step}, {width})"
    drawn = json.loads(_load(name).eval(call))
    rows = tuple(tuple(map(str, row)) for row in drawn["rows"])
    said = {part: drawn[part] for part in ("svg", "say", "detail", "step", "steps", "record")}
    return Frame(**said, head=tuple(drawn["head"]), rows=rows)
