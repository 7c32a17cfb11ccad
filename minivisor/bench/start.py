"""Rows `start-warm`, `start-cold`, `help` and `memory`: what a person waits for and what their machine gives.

Every sample is a process of its own, from before it is started to the line it prints; nothing is warm that a first start
would not find warm, except the file system's cache.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from minivisor.bench.child import ABSENT, FRAME, command
from minivisor.bench.pairs import Measured, Tell, interleave

__all__ = ["cold", "cpu_of_children", "memory", "until_line", "usage", "warm"]

IMPORTS = "import numpy, llvmlite.binding, unicorn"
PATIENCE = 300  # seconds


def _environment(cache: str | None = None) -> dict[str, str]:
    """This process's, with another folder for compiled code if given."""
    kept = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    return kept | ({"MINIVISOR_CACHE": cache} if cache else {})


def until_line(arguments: list[str], wanted: str, cache: str | None = None) -> float:
    """Seconds from before a process starts until it prints a line that begins with `wanted`. Raises RuntimeError."""
    started = time.perf_counter()
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=_environment(cache)) as process:
        assert process.stdout is not None
        taken = None
        for line in process.stdout:
            if taken is None and line.startswith(wanted):
                taken = time.perf_counter() - started
    if taken is None or process.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: no line {wanted!r}, exit status {process.returncode}")
    return taken


def _first_frame(cache: str | None = None) -> float:
    return until_line(command("first-frame"), FRAME, cache)


def _python(code: str) -> float:
    return until_line([sys.executable, "-c", f"{code}; print('done')"], "done")


def warm(rounds: int, quick: bool, tell: Tell) -> Measured:
    """Pairs in seconds: first frame against bare imports, both after a first start that is not counted."""
    _first_frame()
    return Measured(interleave(_first_frame, lambda: _python(IMPORTS), rounds, tell))


def cold(rounds: int, quick: bool, tell: Tell) -> Measured:
    """Pairs in seconds: first frame with an empty cache against a second start with the same cache.

    Compiling is all the processor's work, so its own time is told too: where others use the cores, the clock says more.
    """
    pairs, kept, used = [], 0, []
    for number in range(rounds):
        with tempfile.TemporaryDirectory(prefix="minivisor-bench-") as folder:
            before = cpu_of_children()
            first = _first_frame(folder)
            used.append(cpu_of_children() - before)
            pairs.append((first, _first_frame(folder)))
            kept = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        tell((number + 1) / rounds)
    return Measured(pairs, {"cache_bytes": kept, "cpu_seconds": used})


def cpu_of_children() -> float:
    """Processor seconds of all children that have ended; 0 where they are not counted (Windows)."""
    times = os.times()
    return times.children_user + times.children_system


def usage(rounds: int, quick: bool, tell: Tell) -> Measured:
    """Pairs in seconds: the help's first line against click's import."""
    return Measured(
        interleave(
            lambda: until_line([sys.executable, "-m", "minivisor", "--help"], "Usage"),
            lambda: _python("import click"),
            rounds,
            tell,
        )
    )


def _peak(what: str) -> float | None:
    """Megabytes (10⁶ bytes) that a child says it had at most; None where the system does not count them."""
    done = subprocess.run(command(what), capture_output=True, text=True, env=_environment(), timeout=PATIENCE)
    if done.returncode or not done.stdout:
        raise RuntimeError(f"{what}: exit status {done.returncode}: {done.stderr[-500:]}")
    answer = done.stdout.split()[-1]
    return None if answer == ABSENT else int(answer) / 1e6


def memory(rounds: int, quick: bool, tell: Tell) -> Measured:
    """Pairs in MB, after a first start that compiles. No pairs where the system does not count peak memory."""
    _first_frame()
    pairs = []
    for number in range(rounds):
        ours, peer = _peak("phone-memory"), _peak("import-memory")
        if ours is not None:
            pairs.append((ours, peer))
        tell((number + 1) / rounds)
    return Measured(pairs, not_run=None if pairs else "this system does not count peak resident memory")
