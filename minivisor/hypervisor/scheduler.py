"""Policies: which vCPU runs next, and for how long.

A scheduler sees read-only views and returns (index, slice in ns), or None when nobody is runnable. It never touches the
core; preempting, waking and accounting are the hypervisor's.

`RoundRobin` takes turns. `FairShare` gives shares: each vCPU has a virtual runtime, which advances with the time it
consumes divided by its weight, and the least advanced runs next. The persona in front has its weight, all others weigh
1, so with weight 3 the front gets three quarters of a contended core and the back is slow but never starves.

    virtual     A (weight 3)  ──────────────►                 A has run 3 times as long as B,
    runtime     B (weight 1)  ──────────────►                 both have advanced equally: even

A vCPU that slept would come back with an old, small virtual runtime and hold the core until it has caught up; on waking
it is put at most `credit` behind those that kept running. That is enough to run at once, and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from minivisor.stages import Vcpu

__all__ = ["FairShare", "RoundRobin"]

MILLISECOND = 1_000_000  # ns
SLICE = 1 * MILLISECOND
SCALE = 1 << 10  # virtual runtime is kept in ns / SCALE, so that dividing by a weight loses nothing that matters


class RoundRobin:
    """Each runnable vCPU in turn, for `slice` ns."""

    def __init__(self, slice: int = SLICE) -> None:
        self._slice = slice
        self._last = -1

    def next(self, _now: int, vcpus: Sequence[Vcpu]) -> tuple[int, int] | None:
        """The first runnable vCPU after the one chosen last, by index."""
        runnable = [vcpu.index for vcpu in vcpus if vcpu.runnable]
        if not runnable:
            return None
        self._last = min(runnable, key=lambda index: (index <= self._last, index))
        return self._last, self._slice


@dataclass(slots=True)
class _Account:
    virtual: int
    consumed: int
    since: int
    weight: int


class FairShare:
    """Shares by weight; `slice` ns at a time, at most `credit` ns for having slept."""

    def __init__(self, slice: int = SLICE, credit: int | None = None) -> None:
        self._slice = slice
        self._credit = (slice if credit is None else credit) * SCALE
        self._accounts: dict[int, _Account] = {}
        self._floor = 0  # the least virtual runtime of those that run; never goes back

    def next(self, _now: int, vcpus: Sequence[Vcpu]) -> tuple[int, int] | None:
        """The runnable vCPU with the least virtual runtime; the lower index of equals."""
        runnable = [vcpu for vcpu in vcpus if vcpu.runnable]
        for vcpu in vcpus:
            self._account(vcpu)
        if not runnable:
            return None
        chosen = min(runnable, key=lambda vcpu: (self._accounts[vcpu.index].virtual, vcpu.index))
        self._floor = max(self._floor, self._accounts[chosen.index].virtual)
        return chosen.index, self._slice

    def _account(self, vcpu: Vcpu) -> None:
        """Charge what it ran since the last look, at the weight it had then; and welcome it back if it slept."""
        weight = max(vcpu.weight, 1) if vcpu.foreground else 1
        account = self._accounts.get(vcpu.index)
        if account is None:
            account = self._accounts[vcpu.index] = _Account(self._floor, vcpu.consumed, vcpu.since, weight)
        account.virtual += (vcpu.consumed - account.consumed) * SCALE // account.weight
        if vcpu.since != account.since:
            account.virtual = max(account.virtual, self._floor - self._credit)
        account.consumed, account.since, account.weight = vcpu.consumed, vcpu.since, weight
