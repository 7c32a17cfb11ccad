"""Where two runs part: the first record in which their traces differ, and in which columns.

Two runs of the same images, inputs and seed have one digest. When they have not, the first record that differs is where to
look; all later differences may be its consequences. What the host spent is no difference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minivisor.trace.codec import field_names
from minivisor.trace.records import COLUMNS, Rows
from minivisor.trace.store import Trace
from minivisor.trace.table import Table

__all__ = ["Divergence", "divergence"]

COMPARED = tuple(name for name in COLUMNS if name != "host")
BEFORE = 3  # equal records shown above the first that differs


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first difference of two traces, `ours` and `theirs`.

    number: of the record, 0 for the first of the run. columns: those in which it differs; empty when one trace has no such
    record, or when all that both still hold is equal and the difference lies in what they lost (number is -1).
    """

    ours: Trace
    theirs: Trace
    number: int
    columns: tuple[str, ...] = ()

    def describe(self) -> str:
        """One line: where, and in what."""
        if self.number < 0:
            return (
                "what both traces still hold is equal; they differ in records one of them has lost, or in their texts"
            )
        for trace, name in ((self.ours, "first"), (self.theirs, "second")):
            if self.number >= trace.total:
                return f"the {name} trace ends before record {self.number:,}; up to there they are equal"
        return f"record {self.number:,} differs in {', '.join(self.columns)}"

    def table(self) -> Table:
        """The records just before, equal in both, and the two that differ, in words."""
        if self.number < 0:
            return Table(("record", "trace", "time ns", "vcpu", "kind", "what"), ())
        shared = range(max(self.number - BEFORE, self.ours.lost, self.theirs.lost), self.number)
        lines = [(number, "both", *_words(self.ours, number)) for number in shared]
        for trace, name in ((self.ours, "first"), (self.theirs, "second")):
            if self.number < trace.total:
                lines.append((self.number, name, *_words(trace, self.number)))
        return Table(("record", "trace", "time ns", "vcpu", "kind", "what"), tuple(lines), self.describe())


def _words(trace: Trace, number: int) -> tuple[int, str, str, str]:
    record = trace[number - trace.lost]
    return record.time, trace.metadata.name(record.vcpu), record.kind.name, trace.words(record)


def divergence(ours: Trace, theirs: Trace) -> Divergence | None:
    """The first difference of two traces, None when their digests are equal."""
    if ours.digest() == theirs.digest():
        return None
    first = max(ours.lost, theirs.lost)
    left, right = ours.rows(first), theirs.rows(first)
    common = min(len(left), len(right))
    differs = np.zeros(common, bool)
    for name in COMPARED:
        differs |= left[name][:common] != right[name][:common]
    if differs.any():
        at = int(differs.argmax())
        return Divergence(ours, theirs, first + at, _columns(left[at : at + 1], right[at : at + 1]))
    return Divergence(ours, theirs, first + common if len(left) != len(right) else -1)


def _columns(left: Rows, right: Rows) -> tuple[str, ...]:
    """The columns two rows differ in, by the name their kind gives them where both are of one kind."""
    differing = {name for name in COMPARED if left[name][0] != right[name][0]}
    if "kind" in differing:
        return ("kind",)
    names = field_names(int(left["kind"][0]))
    return tuple(names.get(column, column) for column in COMPARED if column in differing)
