"""Decisions by rule, as records and as a table: what was decided, by which rule, on what grounds.

    SPILL    more interrupts than list registers: the first that must wait             flush, a replaceable part
    REFUSE   a stage-2 mapping of pages that are not its persona's                     page ownership
    STOP     a persona ended against its will                                          what made EL2 give it up
    DROP     something from outside, for a persona that is off                         inputs

A scheduler's decisions are records of their own (`SchedRecord`), with its reason when the policy gives one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from minivisor.trace.kinds import Kind, PolicyEvent
from minivisor.trace.store import Trace
from minivisor.trace.table import Table

__all__ = ["decisions", "rule_name", "spill"]


class Waiting(Protocol):
    """An interrupt that found no list register."""

    @property
    def intid(self) -> int: ...


class Entry(Protocol):
    """A list register; state 0 is an empty one."""

    @property
    def state(self) -> int: ...


def rule_name(rule: Callable[..., Any]) -> str:
    """What a replaceable part is called: its module and its name, as in "list_registers.flush"."""
    module = str(getattr(rule, "__module__", "")).rpartition(".")[2]
    return f"{module}.{getattr(rule, '__qualname__', type(rule).__name__)}"


def spill(
    trace: Trace,
    time: int,
    vcpu: int,
    rule: Callable[..., Any],
    room: int,
    listed: Sequence[Entry],
    spilled: Sequence[Waiting],
) -> None:
    """Record that `rule` left these interrupts outside. room: list registers there are. listed: what they hold now."""
    wanting = len(spilled) + sum(register.state != 0 for register in listed)
    why = f"{len(spilled)} of {wanting} interrupts wait: there are {room} list registers"
    trace.policy(time, vcpu, PolicyEvent.SPILL, rule_name(rule), why, spilled[0].intid)


def decisions(trace: Trace) -> Table:
    """The kept decisions: how often each rule decided what, on which grounds, about whom; most frequent first."""
    rows = trace.select(Kind.POLICY)
    found = zip(*(rows[name].tolist() for name in ("vcpu", "detail", "number", "argument")), strict=True)
    counted = sorted(Counter(found).items(), key=lambda entry: (-entry[1], entry[0]))
    lines = (
        (PolicyEvent(event).name.lower(), trace.metadata.name(vcpu), trace.texts[rule], trace.texts[why], times)
        for (vcpu, event, rule, why), times in counted
    )
    return Table(("decision", "about", "rule", "why", "times"), tuple(lines))
