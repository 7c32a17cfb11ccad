"""Virtual time tied to the host's clock, for those who watch: one second is one second, or longer, never shorter.

Left alone, a run goes as fast as the host can, and two idle personas would live a minute in seconds. Paced, each step
runs the virtual time that has passed on the host since the last one; when both personas sleep that is next to no
work, and the host sleeps too. When they compute, the host cannot keep up: the debt is soon forgotten, and
steps get shorter, so that a key never waits long.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from minivisor.phone.session import Session

__all__ = ["FRAME", "Pacer"]

FRAME = 20_000_000  # ns: the longest step, and how often an idle phone is looked at
SHORTEST = 200_000  # ns
PATIENCE = 0.03  # host seconds that a step should take at most
DEBT = 0.25  # seconds that an idle phone catches up with after the host was busy elsewhere


class Pacer:
    """Runs a session at the pace of `clock` (seconds), up to virtual time `limit` in ns."""

    def __init__(
        self, session: Session, limit: int | None = None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._session, self._limit, self._clock = session, limit, clock
        self._step = FRAME
        self._base = clock() - session.hypervisor.now / 1e9  # when virtual time was 0, as far as anybody still cares

    @property
    def finished(self) -> bool:
        """Is nobody left to run, or the limit reached?"""
        hypervisor = self._session.hypervisor
        return not hypervisor.alive or (self._limit is not None and hypervisor.now >= self._limit)

    def step(self) -> float:
        """Run what is due. Returns how many seconds the host may sleep until something more is."""
        hypervisor, started = self._session.hypervisor, self._clock()
        before, due = hypervisor.now, round((started - self._base) * 1e9)
        until = min(due, before + self._step) if self._limit is None else min(due, before + self._step, self._limit)
        self._session.advance(until)
        taken, ran = self._clock() - started, hypervisor.now - before
        self._step = self._next_step(taken, ran)
        behind = self._clock() - self._base - hypervisor.now / 1e9
        if behind > DEBT:
            self._base += behind - FRAME / 1e9
        return max(0.0, FRAME / 1e9 - max(behind, 0.0))

    def _next_step(self, taken: float, ran: int) -> int:
        """As much virtual time as the host can run in PATIENCE, judged by the step just made."""
        if taken <= PATIENCE / 2:
            return min(self._step * 2, FRAME)
        if taken <= PATIENCE * 2:
            return self._step
        return min(max(round(ran * PATIENCE / taken), SHORTEST), FRAME)
