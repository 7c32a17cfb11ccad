"""`make soak`: hostile guests for as long as it takes to get through ten million operations.

Each seed is one program; every tenth runs on Unicorn's own walk. The programs run in a child process, and what may happen to
it is what is being looked for: a check that fails, an exception, a crash, or silence for longer than any program may take,
since nothing inside a process can end an endless loop in compiled code. Each names its seed, and the soak goes on with the
next in a fresh child. The exit status is 1 if there was one.

    make soak ARGS=200_000                  python -m tests.fuzz.soak 10_000_000 --first 10_000
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable
from importlib import import_module
from multiprocessing.connection import Connection
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
    """A child process, replaced by a new one after whatever breaks it."""

    def __init__(self, arena: str, patience: float) -> None:
        self.arena, self.patience = arena, patience
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=work, args=(there, self.arena), daemon=True)
        self._process.start()
        there.close()

    def run(self, seed: int) -> tuple[int, int, str]:
        """One program: (operations, exits, what is broken or "")."""
        self._pipe.send(seed)
        try:
            if self._pipe.poll(self.patience):
                result: tuple[int, int, str] = self._pipe.recv()
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
        self._pipe.close()


class Progress:
    """A line now and then: how far, how fast, how long still."""

    def __init__(self, wanted: int) -> None:
        self.wanted, self.started, self._last = wanted, time.monotonic(), 0.0

    def show(self, done: int, exits: int, seed: int) -> None:
        """Print the line, if the last one is some time ago."""
        taken = time.monotonic() - self.started
        if taken - self._last < LINE_EVERY:
            return
        self._last = taken
        left = taken * max(self.wanted - done, 0) / max(done, 1)
        print(f"seed {seed}: {done:,} of {self.wanted:,} operations, {exits:,} exits, {left / 60:.0f} min left", flush=True)


def soak(wanted: int, first: int, arena: str, patience: float) -> tuple[list[int], str]:
    """Run programs from seed `first` on until the operations are done; returns the broken seeds, and a sentence."""
    broken: list[int] = []
    done, exits, seed, progress, worker = 0, 0, first, Progress(wanted), Worker(arena, patience)
    while done < wanted:
        operations, more, problem = worker.run(seed)
        done, exits = done + max(operations, 1), exits + more
        if problem:
            print(f"seed {seed}: {problem}", flush=True)
            broken.append(seed)
        progress.show(done, exits, seed)
        seed += 1
    worker.end()
    taken = time.monotonic() - progress.started
    return broken, f"seeds {first} to {seed - 1}: {done:,} operations, {exits:,} exits in {taken:.0f} s"


def main(arguments: list[str] | None = None) -> int:
    """Run until the operations are done; returns the exit status."""
    parser = argparse.ArgumentParser(description="Run hostile guests and check what must hold after each of their exits.")
    parser.add_argument("operations", type=int, nargs="?", default=10_000_000, help="default: %(default)s")
    parser.add_argument("--first", type=int, default=10_000, metavar="SEED", help="the first seed (default: %(default)s)")
    parser.add_argument("--patience", type=float, default=PATIENCE, metavar="S", help="s for a program (default: %(default)s)")
    parser.add_argument("--arena", default="tests.fuzz.harness:Arena", metavar="MODULE:CLASS", help="where programs run")
    options = parser.parse_args(arguments)
    broken, words = soak(options.operations, options.first, options.arena, options.patience)
    print(words)
    print(f"broken: {', '.join(map(str, broken))}" if broken else "all that must hold held")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
