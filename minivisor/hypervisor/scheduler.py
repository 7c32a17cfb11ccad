"""Policies: which vCPU runs next, and for how long.

A scheduler sees read-only views and returns (index, slice in ns), or None when nobody is runnable. It never touches the
core; preempting, waking and accounting are the hypervisor's.

`RoundRobin` takes turns. `FairShare` gives shares, and it gives them to personas: how many vCPUs one has decides nothing.
Each persona has a virtual runtime, which advances with the time it consumes divided by its weight, and the least advanced
runs next. The persona in front has its weight, all others weigh 1, so with weight 3 the front gets three quarters of a
contended core and the back is slow but never starves. Within a persona its vCPUs share alike, by the same rule.

    virtual     A (weight 3)  ──────────────►                 A has run 3 times as long as B,
    runtime     B (weight 1)  ──────────────►                 both have advanced equally: even

Who slept would come back with an old, small virtual runtime and hold the core until it has caught up; on waking it is put
at most `credit` behind those that kept running. That is enough to run at once, and no more. Among the vCPUs of a persona it is
one turn, as short as their turns are: one that woke to spin for another would spin away all of a longer credit first.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from minivisor.machine.clock import SPIN
from minivisor.stages import Vcpu

__all__ = ["FairShare", "RoundRobin"]

MILLISECOND = 1_000_000  # ns
SLICE = 1 * MILLISECOND
SCALE = 1 << 10  # virtual runtime is kept in ns / SCALE, so that dividing by a weight loses nothing that matters


class RoundRobin:
    """Each runnable vCPU in turn, for `slice` ns."""

    def __init__(self, slice: int = SLICE) -> None:
        self._slice = slice
        self._last, self.why = -1, "the next one in turn"

    def next(self, _now: int, vcpus: Sequence[Vcpu]) -> tuple[int, int] | None:
        """The first runnable vCPU after the one chosen last, by index."""
        runnable = [vcpu.index for vcpu in vcpus if vcpu.runnable]
        if not runnable:
            return None
        self._last = min(runnable, key=lambda index: (index <= self._last, index))
        return self._last, self._slice


@dataclass(slots=True)
class _Account:
    """virtual: how far it has advanced. weight: what it was worth at the last look."""

    virtual: int
    weight: int = 1


Who = TypeVar("Who", bound=Hashable)


class _Queue(Generic[Who]):
    """Accounts among which time is shared by weight; who has none yet starts where the least advanced is."""

    def __init__(self, credit: int, slack: int) -> None:
        self._credit, self._slack = credit, slack
        self._floor = 0  # the least virtual runtime of those that run, at most `slack` too little; never goes back
        self._accounts: dict[Who, _Account] = {}

    def charge(self, who: Who, consumed: int, weight: int) -> None:
        """What it has consumed since the last look, at the weight it had then: much, when nobody else was ready."""
        account = self._accounts.setdefault(who, _Account(self._floor, weight))
        account.virtual += consumed * SCALE // account.weight
        account.weight = weight
        if consumed:
            self._floor = max(self._floor, account.virtual - self._slack)

    def welcome(self, who: Who) -> None:
        """It slept. After all have been charged."""
        self._accounts[who].virtual = max(self._accounts[who].virtual, self._floor - self._credit)

    def least(self, among: Iterable[Who]) -> Who:
        """Who is least advanced, the first of equals."""
        chosen = min(among, key=lambda who: self._accounts[who].virtual)
        self._floor = max(self._floor, self._accounts[chosen].virtual)
        return chosen


class FairShare:
    """Shares by weight; `slice` ns at a time, at most `credit` ns for having slept."""

    def __init__(self, slice: int = SLICE, credit: int | None = None) -> None:
        self._slice, self._turn, self.why = slice, min(slice, SPIN) * SCALE, ""
        self._personas: _Queue[Hashable] = _Queue((slice if credit is None else credit) * SCALE, 2 * slice * SCALE)
        self._inside: dict[Hashable, _Queue[int]] = {}
        self._seen: dict[tuple[str, int], tuple[int, int]] = {}  # an index is another persona's when one has been removed

    def next(self, _now: int, vcpus: Sequence[Vcpu]) -> tuple[int, int] | None:
        """The least advanced runnable vCPU of the least advanced persona; the lower index of equals."""
        personas: dict[Hashable, list[Vcpu]] = {}
        for vcpu in vcpus:
            personas.setdefault(vcpu.persona or vcpu.index, []).append(vcpu)
        slept = [persona for persona, members in personas.items() if self._account(persona, members)]
        for persona in slept:
            self._personas.welcome(persona)
        self._seen = {(vcpu.persona, vcpu.index): (vcpu.consumed, vcpu.since) for vcpu in vcpus}
        ready = {who: [each.index for each in members if each.runnable] for who, members in personas.items()}
        wanting = [who for who, members in ready.items() if members]
        if not wanting:
            return None
        persona = self._personas.least(wanting)
        self.why = f"{persona} has advanced least for its weight" if len(wanting) > 1 else "no other persona is ready"
        return self._inside[persona].least(ready[persona]), self._slice

    def _account(self, persona: Hashable, members: Sequence[Vcpu]) -> bool:
        """Charge it. Did it sleep: have all of its vCPUs that are ready now become so since the last look?"""
        queue = self._inside.setdefault(persona, _Queue(self._turn, 2 * self._turn))
        total, woken = 0, []
        for vcpu in members:
            consumed, since = self._seen.get((vcpu.persona, vcpu.index), (vcpu.consumed, vcpu.since))
            queue.charge(vcpu.index, vcpu.consumed - consumed, 1)
            total += vcpu.consumed - consumed
            woken += [vcpu.index] if vcpu.since != since else []
        for index in woken:
            queue.welcome(index)
        self._personas.charge(persona, total, max(members[0].weight, 1) if members[0].foreground else 1)
        return all(vcpu.index in woken for vcpu in members if vcpu.runnable)
