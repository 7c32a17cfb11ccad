"""Interleaving, and what is made of it.

    ours peer │ peer ours │ ours peer │ …        one pair, one ratio; who goes first alternates

Alternating cancels a drift (a core that warms up, a cache that fills) that always favours the second. The median
forgets the pair during which somebody else compiled something.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Protocol

__all__ = ["Measured", "Piecewise", "Tell", "interleave", "median_ratio", "race", "ratios", "stop_after", "timed"]

Tell = Callable[[float], None]
"""Reports progress, 0 to 1."""
Pair = tuple[float, float | None]


@dataclass(slots=True)
class Measured:
    """pairs: (ours, peer) in the row's unit, peer None where it is absent.

    detail: whatever else the row counted. extras: further peers without a bar, name -> value, or why it is absent.
    """

    pairs: Sequence[Pair]
    detail: dict[str, Any] = field(default_factory=dict)
    extras: dict[str, float | str] = field(default_factory=dict)


class Piecewise(Protocol):
    """Work that can be done piece by piece, so that two of them can take turns."""

    done: bool

    def advance(self) -> None:
        """Do a piece of a tenth of a second or so."""


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


def race(ours: Piecewise, peer: Piecewise) -> tuple[float, float]:
    """Both to their ends in turns, and the seconds that each used."""
    runners, seconds, turn = (ours, peer), [0.0, 0.0], 0
    while not (ours.done and peer.done):
        for which in (1, 0) if turn % 2 else (0, 1):
            if not runners[which].done:
                seconds[which] += timed(runners[which].advance)
        turn += 1
    return seconds[0], seconds[1]


def stop_after(seconds: float, stop: Callable[[], object], work: Callable[[], object]) -> None:
    """Do some work, and call `stop` from another thread after a while if it has not ended by itself."""
    timer = threading.Timer(seconds, stop)
    timer.start()
    try:
        work()
    finally:
        timer.cancel()
        timer.join()


def ratios(pairs: Sequence[Pair]) -> list[float]:
    """ours / peer, pair by pair."""
    return [ours / peer for ours, peer in pairs if peer]


def median_ratio(pairs: Sequence[Pair]) -> float | None:
    """The median of the ratios, not the ratio of two medians, which need not come from the same minute."""
    return median(ratios(pairs)) if ratios(pairs) else None
