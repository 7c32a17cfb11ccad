"""One of each diagram, on real runs; what tests of all of them go through."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from minivisor import guests
from minivisor.views import Timeline, View
from minivisor.views.code import elf_reader
from tests.trace.traces import real_run

__all__ = ["EXAMPLES", "example"]

EXAMPLES: dict[str, Callable[[], View]] = {
    "timeline": lambda: Timeline(real_run(), code=elf_reader(guests.path("persona"))),
}


@cache
def example(name: str) -> View:
    """A view that tests share: they do not move it."""
    return EXAMPLES[name]()
