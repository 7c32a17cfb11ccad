"""Interleaving and statistics, on numbers made up for it: who went when, and what came of it."""

from __future__ import annotations

import threading

import pytest

from minivisor.bench.pairs import Measured, interleave, median_ratio, race, ratios, stop_after


class Runner:
    """Work of so many pieces that writes its name whenever it is its turn."""

    def __init__(self, name: str, pieces: int, log: list[str]) -> None:
        self.name, self.left, self.log, self.done = name, pieces, log, False

    def advance(self) -> None:
        self.left -= 1
        self.log.append(self.name)
        self.done = self.left == 0


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


def test_a_race_takes_turns_until_both_are_done() -> None:
    log: list[str] = []
    seconds = race(Runner("ours", 2, log), Runner("peer", 4, log))
    assert log == ["ours", "peer", "peer", "ours", "peer", "peer"]
    assert all(taken > 0 for taken in seconds)


def test_the_median_of_the_ratios_is_not_the_ratio_of_the_medians() -> None:
    pairs = [(1.0, 1.0), (6.0, 2.0), (10.0, 5.0)]  # medians 6 and 2
    assert ratios(pairs) == [1.0, 3.0, 2.0]
    assert median_ratio(pairs) == 2.0


def test_an_absent_peer_has_no_ratio() -> None:
    assert median_ratio([(1.0, None), (2.0, None)]) is None
    assert median_ratio([(1.0, None), (8.0, 2.0)]) == 4.0
    assert Measured([]).pairs == []


def test_work_is_stopped_from_another_thread() -> None:
    stopped, caller = threading.Event(), threading.get_ident()
    stoppers: list[int] = []

    def stop() -> None:
        stoppers.append(threading.get_ident())
        stopped.set()

    stop_after(0.01, stop, lambda: stopped.wait(60))
    assert stopped.is_set()
    assert stoppers != [caller]


def test_work_that_ends_by_itself_is_not_stopped_later() -> None:
    stopped = threading.Event()
    stop_after(0.05, stopped.set, lambda: None)
    assert not stopped.wait(0.2)


def test_work_that_fails_leaves_no_timer_behind() -> None:
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        stop_after(60, lambda: None, lambda: 1 // 0)
    assert threading.active_count() == before
