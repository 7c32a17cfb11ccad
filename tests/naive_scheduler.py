"""A slow, obvious machine for schedulers: one core, vCPUs that work and sleep, time in ns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from minivisor.stages import Scheduler, Vcpu


@dataclass
class Load:
    """A vCPU that works `burst` ns, then sleeps `sleep` ns, for ever. burst None: it never sleeps. persona: its own if ""."""

    burst: int | None = None
    sleep: int = 0
    weight: int = 1
    persona: str = ""
    consumed: int = 0
    since: int = 0
    left: int = 0
    wakes: int | None = None

    def __post_init__(self) -> None:
        self.left = self.burst or 0


@dataclass
class Result:
    consumed: list[int]
    latencies: list[list[int]]
    idle: int


def simulate(
    scheduler: Scheduler,
    loads: list[Load],
    until: int,
    foreground: Callable[[int], int] = lambda now: 0,
    preempt_on_wake: bool = True,
) -> Result:
    """Run until `until`. latencies: for each vCPU, the time from each wake-up to running. foreground: an index, by time."""
    now, result, waiting = 0, Result([], [[] for _ in loads], 0), dict[int, int]()
    while now < until:
        wake(loads, now, waiting)
        views = look(loads, foreground(now))
        choice = scheduler.next(now, views)
        next_wake = min((load.wakes for load in loads if load.wakes is not None), default=until)
        if choice is None:
            assert not any(view.runnable for view in views)
            result.idle += min(next_wake, until) - now
            now = min(next_wake, until)
            continue
        index, slice_ = choice
        assert views[index].runnable
        assert slice_ > 0
        if index in waiting:
            result.latencies[index].append(now - waiting.pop(index))
        now = work(loads[index], now, min(now + slice_, until, next_wake if preempt_on_wake else until))
    result.consumed = [load.consumed for load in loads]
    return result


def wake(loads: list[Load], now: int, waiting: dict[int, int]) -> None:
    """Those whose sleep is over want the core; waiting: since when, by index."""
    for index, load in enumerate(loads):
        if load.wakes is not None and load.wakes <= now:
            load.since = waiting[index] = load.wakes
            load.wakes, load.left = None, load.burst or 0


def look(loads: list[Load], front: int) -> list[Vcpu]:
    """What the scheduler sees. In front are all of the persona of `front`."""

    def in_front(index: int) -> bool:
        return index == front or (loads[index].persona != "" and loads[index].persona == loads[front].persona)

    return [
        Vcpu(n, load.persona, runnable=load.wakes is None, foreground=in_front(n), weight=load.weight,
             consumed=load.consumed, since=load.since)
        for n, load in enumerate(loads)
    ]  # fmt: skip


def work(load: Load, now: int, end: int) -> int:
    """It has the core from `now` until `end`, or until its burst is over; returns when."""
    if load.burst is not None:
        end = min(end, now + load.left)
        load.left -= end - now
    load.consumed += end - now
    if load.burst is not None and load.left == 0:
        load.wakes = end + load.sleep
    return end
