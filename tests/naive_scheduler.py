"""A slow, obvious machine for schedulers: one core, vCPUs that work and sleep, time in ns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from minivisor.stages import Scheduler, Vcpu


@dataclass
class Load:
    """A vCPU that works `burst` ns, then sleeps `sleep` ns, for ever. burst None: it never sleeps."""

    burst: int | None = None
    sleep: int = 0
    weight: int = 1
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
    """Run until `until`. latencies: for each vCPU, the time from each wake-up to running."""
    now, idle = 0, 0
    latencies: list[list[int]] = [[] for _ in loads]
    waiting: dict[int, int] = {}
    while now < until:
        for index, load in enumerate(loads):
            if load.wakes is not None and load.wakes <= now:
                load.since = waiting[index] = load.wakes
                load.wakes, load.left = None, load.burst or 0
        views = [
            Vcpu(n, "", runnable=load.wakes is None, foreground=n == foreground(now), weight=load.weight,
                 consumed=load.consumed, since=load.since)
            for n, load in enumerate(loads)
        ]  # fmt: skip
        choice = scheduler.next(now, views)
        next_wake = min((load.wakes for load in loads if load.wakes is not None), default=until)
        if choice is None:
            assert not any(view.runnable for view in views)
            idle += min(next_wake, until) - now
            now = min(next_wake, until)
            continue
        index, slice_ = choice
        assert views[index].runnable
        assert slice_ > 0
        if index in waiting:
            latencies[index].append(now - waiting.pop(index))
        load = loads[index]
        end = min(now + slice_, until, next_wake if preempt_on_wake else until)
        if load.burst is not None:
            end = min(end, now + load.left)
            load.left -= end - now
        load.consumed += end - now
        now = end
        if load.burst is not None and load.left == 0:
            load.wakes = now + load.sleep
    return Result([load.consumed for load in loads], latencies, idle)
