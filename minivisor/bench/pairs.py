"""Interleaving, and what is made of it.

    ours peer │ peer ours │ ours peer │ …        one pair, one ratio; who goes first alternates
    half of ours, peer, half of ours │ …         where the peer's work takes seconds and cannot be divided

Alternating cancels a drift (a core that warms up, a cache that fills) that always favours the second. The median
forgets the pair during which somebody else compiled something.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

__all__ = ["PHASES", "Measured", "Tell", "around", "interleave", "median_ratio", "ratios", "timed"]

PHASES = "phases"
"""In `Measured.detail`: by the name of a phase, what was counted in it."""
Tell = Callable[[float], None]
"""Reports progress, 0 to 1."""
Pair = tuple[float, float | None]


@dataclass(slots=True)
class Measured:
    """pairs: (ours, peer) in the row's unit, peer None where it is absent.

    detail: whatever else the row counted. not_run: which part was missing, so that there is no peer, or nothing at all.
    """

    pairs: Sequence[Pair]
    detail: dict[str, Any] = field(default_factory=dict)
    not_run: str | None = None


def timed(work: Callable[[], object]) -> float:
    """Seconds of wall clock that a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def interleave(ours: Callable[[], float], peer: Callable[[], float], rounds: int, tell: Tell) -> list[Pair]:
    """`rounds` pairs of what the two return, alternating who goes first."""
    pairs: list[Pair] = []
    for number in range(rounds):
        if number % 2:
            other = peer()
            pairs.append((ours(), other))
        else:
            mine = ours()
            pairs.append((mine, peer()))
        tell((number + 1) / rounds)
    return pairs


def around(ours: Sequence[Callable[[], object]], peer: Callable[[], object]) -> tuple[float, float]:
    """Seconds of ours, in two parts, and of the peer's, which cannot be divided and runs between them."""
    first, second = ours
    before = timed(first)
    between = timed(peer)
    return before + timed(second), between


def ratios(pairs: Sequence[Pair]) -> list[float]:
    """ours / peer, pair by pair."""
    return [ours / peer for ours, peer in pairs if peer]


def median_ratio(pairs: Sequence[Pair]) -> float | None:
    """The median of the ratios, not the ratio of two medians, which need not come from the same minute."""
    return median(ratios(pairs)) if ratios(pairs) else None
