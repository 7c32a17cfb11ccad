"""The rows about Linux: without the kernel they say so; with it, each phase has its instructions and exits."""

from __future__ import annotations

import sys

import pytest

from minivisor.bench import linux
from minivisor.bench.pairs import Measured


def nothing(_part: float) -> None:
    pass


@pytest.mark.parametrize("measure", [linux.against_qemu, linux.by_the_hosts_clock, linux.against_one, linux.idle])
def test_without_a_kernel_the_row_is_not_run_and_says_why(measure, tmp_path, monkeypatch):
    monkeypatch.setattr(linux, "KERNEL", tmp_path / "kernel")
    measured: Measured = measure(1, True, nothing)
    assert measured.pairs == [] and "kernel (make linux)" in measured.not_run


def test_the_clock_stops_at_the_shell_and_one_that_never_comes_is_an_error():
    script = "print('minivisor: a shell on nothing', flush=True); import time; time.sleep(60)"
    assert linux._seconds([sys.executable, "-c", script]) < 30
    with pytest.raises(RuntimeError, match="without a shell"):
        linux._seconds([sys.executable, "-c", "print('panic')"])


def test_processor_seconds_are_told_beside_those_of_the_clock_and_each_phase_by_name(monkeypatch):
    work = "import time\nwhile time.process_time() < {}: pass\nprint('minivisor: a shell', flush=True)"
    ours, peer = ([sys.executable, "-c", work.format(seconds)] for seconds in (0.6, 0.1))
    measured = linux._boots(ours, peer, 2, nothing, lambda: {"kernel": {"cpus": 3}})
    used = measured.detail["cpu_seconds"]
    assert len(measured.pairs) == len(used["ours"]) == len(used["peer"]) == 2
    assert min(used["ours"]) > 0.3 > max(used["peer"]) > 0.05  # in steps of 10 ms
    assert measured.detail["phases"] == {"kernel": {"cpus": 3}}


@pytest.mark.skipif(not linux.PROCESSES.is_dir(), reason="no /proc here, and so no such row")
def test_a_busy_shell_takes_a_core_and_a_sleeping_one_nothing(monkeypatch):
    monkeypatch.setattr(linux, "SETTLE", 0.0)
    shell = "import time; print('minivisor: a shell', flush=True); {}"
    busy, idle = ([sys.executable, "-c", shell.format(then)] for then in ("exec('while True: pass')", "time.sleep(60)"))
    assert linux._idle(idle, 0.5) < 10 < linux._idle(busy, 0.5)
