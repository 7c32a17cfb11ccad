"""Virtual time at the pace of a clock we move by hand, and a worker that keeps a failure for later."""

import time

import pytest

from minivisor.phone.pace import DEBT, FRAME, SHORTEST, Pacer
from minivisor.phone.worker import Worker


class Clock:
    def __init__(self):
        self.time = 100.0

    def __call__(self):
        return self.time


class Guest:
    """A session whose run takes `cost` host seconds for each virtual one."""

    def __init__(self, clock, cost=0.0):
        self.clock, self.cost, self.now, self.alive, self.steps = clock, cost, 0, True, []
        self.hypervisor = self

    def advance(self, until):
        if until > self.now:
            self.steps.append(until - self.now)
            self.clock.time += (until - self.now) / 1e9 * self.cost
            self.now = until


def play(guest, pacer, seconds):
    end = guest.clock.time + seconds
    while guest.clock.time < end and not pacer.finished:
        idle = pacer.step()
        guest.clock.time += max(idle, 1e-6)


def test_an_idle_phone_keeps_time_and_sleeps_between():
    clock = Clock()
    guest = Guest(clock)
    pacer = Pacer(guest, clock=clock)
    play(guest, pacer, 2.0)
    assert guest.now == pytest.approx(2e9, abs=2 * FRAME)
    assert len(guest.steps) == pytest.approx(2e9 / FRAME, rel=0.1)  # and not more often


def test_time_never_runs_ahead_of_the_clock():
    clock = Clock()
    guest = Guest(clock, 0.1)
    pacer = Pacer(guest, clock=clock)
    for _ in range(200):
        clock.time += 0.003
        pacer.step()
        assert guest.now <= (clock.time - 100.0) * 1e9


def test_a_phone_slower_than_time_takes_short_steps_and_no_debt():
    clock = Clock()
    guest = Guest(clock, 50.0)
    pacer = Pacer(guest, clock=clock)
    play(guest, pacer, 20.0)
    assert all(SHORTEST <= step <= 2_000_000 for step in guest.steps[5:])
    assert sum(guest.steps) * 50 == pytest.approx(20e9, rel=0.05)  # and the host never idles
    guest.cost, before, then = 0.0, guest.now, clock.time
    play(guest, pacer, 1.0)  # it sleeps again: the 19 seconds lost stay lost
    assert guest.now - before <= (clock.time - then + DEBT) * 1e9 + 2 * FRAME


def test_a_limit_is_kept_to_the_nanosecond():
    clock = Clock()
    guest = Guest(clock)
    pacer = Pacer(guest, 55_000_000, clock)
    play(guest, pacer, 0.5)
    assert guest.now == 55_000_000 and pacer.finished


class Failing:
    """A session that fails in its second step."""

    def __init__(self):
        from minivisor.phone.phone import Phone

        phone = Phone()
        self.hypervisor, self._advance, self._steps = phone.hypervisor, phone.session.advance, 0

    def advance(self, until):
        self._steps += 1
        if self._steps > 1:
            raise ZeroDivisionError("of the user's")
        self._advance(until)


def test_a_failure_ends_the_thread_and_is_kept():
    worker = Worker(Failing())
    worker.start()
    worker.join(20)
    assert not worker.is_alive() and isinstance(worker.problem, ZeroDivisionError)


def test_commands_reach_a_sleeping_phone_at_once():
    from minivisor.phone.phone import Phone

    worker = Worker(Phone().run("200ms").session)
    worker.start()
    worker.switch()
    worker.type(b"q")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not any("key 'q'" in line for line in worker.snapshot.personas[1].console):
        time.sleep(0.01)
    worker.stop()
    assert worker.problem is None and not worker.is_alive()
    snapshot = worker.snapshot
    assert snapshot.front.name == "work" and any("key 'q'" in line for line in snapshot.personas[1].console)
    assert not any("key 'q'" in line for line in snapshot.personas[0].console)
