"""`make soak`: hostile guests for as long as it takes to get through ten million operations.

Each seed is one program; every tenth runs on Unicorn's own walk. Twenty share a machine: to see again what seed 20188 broke,
begin at 20180. The programs run in child processes, one for each core, and what may happen to a child is what is being looked
for: a check that fails, an exception, a crash, or silence for longer than any program may take, since nothing inside a process
can end an endless loop in compiled code. Each names its seed, and the soak goes on with the next in a fresh child. The exit
status is 1 if there was one.

    make soak ARGS=200_000                  python -m tests.fuzz.soak 10_000_000 --first 10_000
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from multiprocessing.connection import Connection, wait
from typing import Any

from tests.fuzz.generate import generate

__all__ = ["main"]

ENGINES = ("minivisor", "unicorn")
LIVES = 20  # programs on one machine
PATIENCE = 300  # s; the longest seen takes a tenth of that on a busy host
LINE_EVERY = 15  # s


def work(pipe: Connection, arena: str) -> None:
    """The child: for each seed received, (operations, exits, what is broken or "") back."""
    module, name = arena.split(":")
    make: Callable[[str], Any] = getattr(import_module(module), name)
    arenas: dict[str, Any] = {}
    while True:
        seed = pipe.recv()
        engine = ENGINES[seed % 10 == 9]
        if engine not in arenas or seed % LIVES == 0:
            arenas[engine] = make(engine)
        before, broken = arenas[engine].exits, ""
        operations = arenas[engine].operations
        try:
            arenas[engine].run(generate(seed))
        except Exception as problem:  # whatever it is, it is what we are looking for
            broken = f"on {engine}, {type(problem).__name__}: {problem}"
        pipe.send((arenas[engine].operations - operations, arenas[engine].exits - before, broken))


class Worker:
    """A child process for one group of seeds after another, replaced by a new one after whatever breaks it."""

    def __init__(self, arena: str, groups: Iterator[range], patience: float) -> None:
        self.arena, self.patience = arena, patience
        self._seeds = (seed for group in groups for seed in group)
        self.seed = -1
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, there = context.Pipe()
        self._process = context.Process(target=work, args=(there, self.arena), daemon=True)
        self._process.start()
        there.close()

    def begin(self) -> None:
        """Give the child its next program."""
        self.seed, self._deadline = next(self._seeds), time.monotonic() + self.patience
        self.pipe.send(self.seed)

    def finish(self) -> tuple[int, int, str] | None:
        """Of the program that was begun: (operations, exits, what is broken or ""); None while it still has time."""
        try:
            if self.pipe.poll():
                result: tuple[int, int, str] = self.pipe.recv()
            elif time.monotonic() < self._deadline:
                return None
            else:
                result = 0, 0, f"no answer for {self.patience:g} s"
        except (EOFError, OSError):
            self._process.join()
            result = 0, 0, f"the process died with status {self._process.exitcode}"
        if result[2]:
            self.end()
            self._start()
        return result

    def end(self) -> None:
        """End the child, whatever it is doing."""
        self._process.kill()
        self._process.join()
        self.pipe.close()


class Tally:
    """What was done so far, and a line about it now and then: how far, how fast, how long still."""

    def __init__(self, wanted: int) -> None:
        self.wanted, self.started, self._last = wanted, time.monotonic(), 0.0
        self.programs = self.operations = self.exits = 0
        self.broken: list[int] = []

    def add(self, seed: int, operations: int, exits: int, problem: str) -> None:
        """One more program."""
        self.programs, self.operations, self.exits = self.programs + 1, self.operations + operations, self.exits + exits
        if problem:
            print(f"seed {seed}: {problem}", flush=True)
            self.broken.append(seed)
        taken = time.monotonic() - self.started
        if taken - self._last >= LINE_EVERY:
            self._last = taken
            left = taken * max(self.wanted - self.operations, 0) / max(self.operations, 1)
            print(f"seed {seed}: {self.operations:,} of {self.wanted:,} operations, {left / 60:.0f} min left", flush=True)

    @property
    def enough(self) -> bool:
        """Programs count as well, so that a soak ends in which every one breaks."""
        return max(self.operations, self.programs) >= self.wanted

    def __str__(self) -> str:
        taken = time.monotonic() - self.started
        return f"{self.programs} programs, {self.operations:,} operations, {self.exits:,} exits in {taken:.0f} s"


def lives(first: int) -> Iterator[range]:
    """Groups of seeds that share a machine, so that a group's run does not depend on which child gets it."""
    while True:
        after = (first // LIVES + 1) * LIVES
        yield range(first, after)
        first = after


def soak(wanted: int, first: int, arena: str, patience: float, jobs: int) -> Tally:
    """Run programs from seed `first` on, in `jobs` processes, until the operations are done."""
    groups, tally = lives(first), Tally(wanted)
    workers = [Worker(arena, groups, patience) for _ in range(jobs)]
    busy: list[Worker] = []
    while busy or not tally.enough:
        if not tally.enough:
            for worker in (idle for idle in workers if idle not in busy):
                worker.begin()
                busy.append(worker)
        wait([worker.pipe for worker in busy], timeout=1)
        for worker in tuple(busy):
            if (result := worker.finish()) is not None:
                busy.remove(worker)
                tally.add(worker.seed, *result)
    for worker in workers:
        worker.end()
    return tally


def main(arguments: list[str] | None = None) -> int:
    """Run until the operations are done; returns the exit status."""
    parser = argparse.ArgumentParser(description="Run hostile guests and check what must hold after each of their exits.")
    parser.add_argument("operations", type=int, nargs="?", default=10_000_000, help="default: %(default)s")
    parser.add_argument("--first", type=int, default=10_000, metavar="SEED", help="the first seed (default: %(default)s)")
    parser.add_argument("--patience", type=float, default=PATIENCE, metavar="S", help="s for a program (default: %(default)s)")
    parser.add_argument("--arena", default="tests.fuzz.harness:Arena", metavar="MODULE:CLASS", help="where programs run")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: %(default)s)")
    options = parser.parse_args(arguments)
    tally = soak(options.operations, options.first, options.arena, options.patience, max(options.jobs, 1))
    print(tally)
    print(f"broken: {', '.join(map(str, tally.broken))}" if tally.broken else "all that must hold held")
    return 1 if tally.broken else 0


if __name__ == "__main__":
    sys.exit(main())
