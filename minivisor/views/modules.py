"""The text of each diagram's ES module: the parts it shares with others, then its own file.

Nothing is transformed: a module is its files one after the other, and the notebook, a page and Python's engine all get
that very text. No module imports another, because that fails on `file://`.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

__all__ = ["PARTS", "module", "script"]

RECORDS = ("kit", "rows", "bits")
PARTS: dict[str, tuple[str, ...]] = {
    "timeline": RECORDS,
    "walk": RECORDS,
    "lists": RECORDS,
    "scheduler": RECORDS,
    "world": ("kit", "rows"),
    "pages": RECORDS,
    "register": ("kit", "bits"),
    "phone": ("kit", "rows"),
}
"""Diagram -> the shared files that come before its own."""


@cache
def _file(name: str) -> str:
    return (files("minivisor.views") / "js" / f"{name}.js").read_text(encoding="utf-8")


@cache
def module(name: str) -> str:
    """The ES module of a diagram; its default export is {name, title, question, prepare, frame, render, …}."""
    return "\n".join(_file(part) for part in (*PARTS[name], name))


def script(name: str) -> str:
    """A script of a page that is no diagram: "host", which stands in for anywidget, "reader", "viewer", "gallery"."""
    return _file(name)
