"""Interleaving and statistics, on numbers made up for it: who went when, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable

from minivisor.bench.pairs import Measured, around, interleave, median_ratio, ratios


def test_who_goes_first_alternates_and_pairs_stay_pairs() -> None:
    log: list[str] = []
    told: list[float] = []

    def side(name: str, value: float) -> float:
        log.append(name)
        return value + len(log)

    pairs = interleave(lambda: side("ours", 100), lambda: side("peer", 200), 4, told.append)
    assert log == ["ours", "peer", "peer", "ours", "ours", "peer", "peer", "ours"]
    assert pairs == [(101, 202), (104, 203), (105, 206), (108, 207)]
    assert told == [0.25, 0.5, 0.75, 1.0]


def test_the_undivided_runs_between_the_halves_and_each_gets_its_own_time() -> None:
    log: list[str] = []

    def part(name: str, seconds: float) -> Callable[[], None]:
        def work() -> None:
            log.append(name)
            time.sleep(seconds)

        return work

    ours, peer = around((part("first", 0.06), part("second", 0.07)), part("peer", 0.0))
    assert log == ["first", "peer", "second"]
    assert ours >= 0.13 > peer


def test_the_median_of_the_ratios_is_not_the_ratio_of_the_medians() -> None:
    pairs = [(1.0, 1.0), (6.0, 2.0), (10.0, 5.0)]  # medians 6 and 2
    assert ratios(pairs) == [1.0, 3.0, 2.0]
    assert median_ratio(pairs) == 2.0


def test_an_absent_peer_has_no_ratio() -> None:
    assert median_ratio([(1.0, None), (2.0, None)]) is None
    assert median_ratio([(1.0, None), (8.0, 2.0)]) == 4.0
    assert Measured([]).pairs == []
