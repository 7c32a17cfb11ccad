"""The rows as data. A new row is an entry here and a function that measures it.

The bars are promises of the design: they are not chosen after the fact, and a row that misses its bar says so.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from minivisor.bench.pairs import Measured, Tell
from minivisor.errors import OptionError, fault

__all__ = ["ROWS", "Bar", "Measure", "Row", "chosen"]

Measure = Callable[[int, bool, Tell], Measured]
"""(rounds, quick, tell) -> pairs."""


@dataclass(frozen=True, slots=True)
class Bar:
    """What must hold: of the median ratio to the peer, or of the median value itself."""

    of: Literal["ratio", "value"]
    relation: Literal["≥", "≤"]
    limit: float

    def holds(self, number: float) -> bool:
        return number >= self.limit if self.relation == "≥" else number <= self.limit


@dataclass(frozen=True, slots=True)
class Row:
    """unit: of value and peer. peer: its name. measure: "module:function" in this package. rounds: pairs, unless told.

    isolated: measured in a child process, so that nothing of the caller's is in its time or its memory. guests: do guests
    run in it, so that a cost model and an MMU engine belong to the result?
    """

    name: str
    title: str
    unit: str
    peer: str
    bar: Bar | None
    measure: str
    rounds: int
    isolated: bool = True
    guests: bool = True

    def load(self) -> Measure:
        module, function = self.measure.split(":")
        found: Measure = getattr(importlib.import_module(f"minivisor.bench.{module}"), function)
        return found


ROWS = {
    row.name: row
    for row in (
        Row(
            "guest",
            "544 million mixed instructions of C under the hypervisor",
            "MIPS",
            "bare Unicorn: one RWX mapping, no hooks, MMU off",
            Bar("ratio", "≥", 1.8),
            "guest:measure",
            rounds=5,
        ),
        Row(
            "exit",
            "HVC to a Python handler and back",
            "µs",
            "bare Unicorn: Python interrupt hook, stop, restart",
            Bar("ratio", "≤", 3.0),
            "exits:measure",
            rounds=25,
        ),
        Row(
            "switch",
            "world switch between two vCPUs, beyond what the slice costs anyway",
            "µs",
            "bare Unicorn: context_update and context_restore",
            None,
            "switch:measure",
            rounds=25,
        ),
        Row(
            "start-warm",
            "process start to the first frame, hot loops compiled before",
            "s",
            "process start and import of numpy, numba and unicorn",
            Bar("value", "≤", 3.0),
            "start:warm",
            rounds=5,
            isolated=False,
        ),
        Row(
            "start-cold",
            "the same with an empty cache of compiled code",
            "s",
            "the same, warm",
            Bar("value", "≤", 30.0),
            "start:cold",
            rounds=1,
            isolated=False,
        ),
        Row(
            "help",
            "minivisor --help",
            "s",
            "process start and import of click",
            Bar("value", "≤", 0.3),
            "start:usage",
            rounds=9,
            isolated=False,
            guests=False,
        ),
        Row(
            "memory",
            "peak resident memory of one second with two personas of 64 MiB",
            "MB",
            "process with numpy, numba and unicorn imported",
            Bar("value", "≤", 400.0),
            "start:memory",
            rounds=1,
            isolated=False,
        ),
    )
}


def chosen(names: tuple[str, ...]) -> list[Row]:
    """The rows of these names, all when there are none. Raises OptionError for a name that is not there."""
    for name in names:
        if name not in ROWS:
            raise OptionError(fault("bench row", name, f"one of {', '.join(ROWS)}", "docs/benchmarks.md"))
    return [row for name, row in ROWS.items() if not names or name in names]
