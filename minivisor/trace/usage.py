"""Who had the core, who waited for it and how long: a scheduler judged by the trace, whatever policy made it.

From the records of one vCPU alone its life is a sequence of three states:

            START, RAISED                SWITCH to it               an exit that waits or ends
    asleep ───────────────► ready ────────────────────► running ───────────────────────────► asleep
                              ▲                            │
                              └── SWITCH to another ◄──────┘

Running time gives the share, ready time the waits. A wait that began with RAISED is a wake-up latency, what a person feels
after a key; the longest wait of any kind is how close a policy came to starving somebody. What an exit or a switch costs
under the cost model belongs to who caused it: it is in the time until the next record.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from minivisor.trace.records import NOBODY, IrqEvent, Kind, Outcome, Rows
from minivisor.trace.table import Table

__all__ = ["Usage", "stays", "usage", "usage_table"]

ENDS = (Outcome.WAIT, Outcome.OFF, Outcome.SHUTDOWN, Outcome.RESET, Outcome.STOP)


@dataclass(frozen=True, slots=True)
class Usage:
    """One vCPU between two virtual times, all in ns.

    ran: it had the core. share: of the whole time, 0 to 1. waited: it was ready and somebody else ran.
    latencies: from each wake-up to running, sorted. longest_wait: the longest it was ready at one time, finished or not.
    """

    vcpu: int
    ran: int
    share: float
    waited: int
    latencies: tuple[int, ...]
    longest_wait: int

    def latency(self, quantile: float) -> int:
        """The smallest wake-up latency in ns that at least this part of them, 0 to 1, does not exceed; 0 if there is none."""
        if not self.latencies:
            return 0
        return self.latencies[max(0, int(np.ceil(quantile * len(self.latencies))) - 1)]


@dataclass(slots=True)
class _Life:
    """One vCPU while records are read: its state and since when, and every state it has left: (state, from, to, woken)."""

    state: str = "asleep"
    since: int = 0
    woken: bool = False
    spans: list[tuple[str, int, int, bool]] = field(default_factory=list)

    def become(self, state: str, time: int, woken: bool = False) -> None:
        if state != self.state:
            self.spans.append((self.state, self.since, time, self.woken))
            self.state, self.since, self.woken = state, time, woken


class _Core:
    """The lives of all vCPUs. left: when the running one made an exit that may have put it to sleep."""

    def __init__(self) -> None:
        self.lives: defaultdict[int, _Life] = defaultdict(_Life)
        self.running, self.left = NOBODY, 0

    def settle(self) -> None:
        """The one that ran is known to have left the core at its last such exit."""
        if self.running != NOBODY:
            self.lives[self.running].become("asleep", self.left)
            self.running = NOBODY

    def switch(self, time: int, vcpu: int, previous: int) -> None:
        """A switch from nobody means that whoever ran had gone to sleep before; else the previous one was still there."""
        if previous == NOBODY:
            self.settle()
        else:
            self.lives[previous].become("ready", time)
        self.lives[vcpu].become("running", time)
        self.running, self.left = vcpu, time

    def wake(self, time: int, vcpu: int, woken: bool) -> None:
        """A vCPU wants the core: it was started, or something was raised for it while it slept."""
        if vcpu == self.running:
            self.settle()
        self.lives[vcpu].become("ready", time, woken)

    def sched(self, time: int, runnable: int) -> None:
        """Who was ready and is not any more had its persona switched off."""
        for vcpu, life in self.lives.items():
            if life.state == "ready" and not runnable >> vcpu & 1:
                life.become("asleep", time)


def usage(rows: Rows, start: int = 0, end: int | None = None) -> tuple[Usage, ...]:
    """How each vCPU of a trace used the core, by index.

    rows: `Trace.rows()`, from the beginning of the run. start, end: virtual times in ns; end is the last record's if None.
    A wake-up is counted when it ends between the two.
    """
    stop = end if end is not None else _last(rows)
    lives = _lives(rows, stop)
    return tuple(_summary(vcpu, lives[vcpu], start, stop) for vcpu in sorted(lives))


def stays(rows: Rows, until: int | None = None) -> dict[int, list[tuple[int, int]]]:
    """When each vCPU had the core: (from, to) in virtual ns, in order, by vCPU index. rows: from the beginning of the run.

    until: up to when the last one had it that nothing took it from; the last record's time if None.
    """
    lives = _lives(rows, _last(rows) if until is None else until)
    return {
        vcpu: [(a, b) for state, a, b, _ in life.spans if state == "running"] for vcpu, life in sorted(lives.items())
    }


def _last(rows: Rows) -> int:
    return int(rows["time"][-1]) if len(rows) else 0


def _lives(rows: Rows, stop: int) -> dict[int, _Life]:
    """Every vCPU's states up to `stop`."""
    core = _Core()
    for time, kind, vcpu, number in _relevant(rows):
        if kind == Kind.SWITCH:
            core.switch(time, vcpu, number)
        elif kind == Kind.SCHED:
            core.sched(time, number)
        elif kind in (Kind.START, Kind.IRQ):
            core.wake(time, vcpu, kind == Kind.IRQ)
        elif vcpu == core.running:
            core.left = time
    exits = rows[(rows["kind"] == Kind.EXIT) & (rows["vcpu"] == core.running)]
    if len(exits) and int(exits["time"][-1]) == core.left:
        core.settle()
    for life in core.lives.values():
        life.spans.append((life.state, life.since, max(stop, life.since), False))
    return core.lives


def _relevant(rows: Rows) -> Iterator[tuple[int, int, int, int]]:
    """(time, kind, vCPU, number) of the records that change who has or wants the core."""
    kind, outcome = rows["kind"], rows["outcome"]
    wanted = np.isin(kind, (Kind.SWITCH, Kind.SCHED, Kind.START, Kind.STOP))
    wanted |= (kind == Kind.IRQ) & (rows["detail"] == IrqEvent.RAISED)
    wanted |= (kind == Kind.EXIT) & np.isin(outcome, ENDS)
    kept = rows[wanted]
    yield from zip(*(kept[name].tolist() for name in ("time", "kind", "vcpu", "number")), strict=True)


def _summary(vcpu: int, life: _Life, start: int, end: int) -> Usage:
    def within(state: str) -> list[int]:
        return [max(0, min(to, end) - max(since, start)) for name, since, to, _ in life.spans if name == state]

    ran, waits = sum(within("running")), within("ready")
    woken = sorted(to - since for _, since, to, woken in life.spans if woken and start <= to < end)
    return Usage(vcpu, ran, ran / max(end - start, 1), sum(waits), tuple(woken), max(waits, default=0))


def usage_table(usages: Sequence[Usage], name: Callable[[int], str] = str) -> Table:
    """As people read it: shares in percent, times in microseconds. name: `trace.metadata.name`."""
    columns = ("vcpu", "share %", "ran us", "wake-ups", "latency min", "median", "p99", "max", "longest wait us")
    rows = [
        (
            *(name(each.vcpu), 100 * each.share, each.ran / 1000, len(each.latencies)),
            *(each.latency(quantile) / 1000 for quantile in (0, 0.5, 0.99, 1)),
            each.longest_wait / 1000,
        )
        for each in usages
    ]
    return Table(columns, tuple(rows))
