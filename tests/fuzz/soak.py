"""`make soak`: hostile guests for as long as it takes to get through ten million operations.

Each seed is one program; every tenth runs on Unicorn's own walk. A seed that breaks something is printed and the soak goes
on with the next on a fresh machine; the exit status is 1 if there was one.

    python -m tests.fuzz.soak --operations 10_000_000 --first 10_000
"""

from __future__ import annotations

import argparse
import sys
import time

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tests.fuzz.generate import generate
from tests.fuzz.harness import Arena

ENGINES = ("minivisor", "unicorn")
LIVES = 20  # programs on one machine


def main() -> int:
    """Run until the operations are done; returns the exit status."""
    parser = argparse.ArgumentParser(description="Run hostile guests and check what must hold after each of their exits.")
    parser.add_argument("--operations", type=int, default=10_000_000, help="default: %(default)s")
    parser.add_argument("--first", type=int, default=10_000, metavar="SEED", help="the first seed (default: %(default)s)")
    options = parser.parse_args()
    broken: list[int] = []
    done, exits, seed, started = 0, 0, options.first, time.monotonic()
    count = TextColumn("{task.completed:,} operations")
    columns = TextColumn("seed {task.fields[seed]}"), BarColumn(), count, TimeRemainingColumn()
    with Progress(*columns) as progress:
        task = progress.add_task("", total=options.operations, seed=seed)
        arenas: dict[str, Arena] = {}
        while done < options.operations:
            engine = ENGINES[seed % 10 == 9]
            if engine not in arenas or seed % LIVES == 0:
                arenas[engine] = Arena(engine)
            before = arenas[engine].exits
            try:
                done += arenas[engine].run(generate(seed))
            except Exception as problem:  # whatever it is, it is what we are looking for
                progress.console.print(f"seed {seed} on {engine}: {type(problem).__name__}: {problem}", markup=False)
                broken.append(seed)
                done += 1
            exits += arenas[engine].exits - before
            if seed in broken:
                del arenas[engine]
            seed += 1
            progress.update(task, completed=done, seed=seed)
    taken = time.monotonic() - started
    print(f"seeds {options.first} to {seed - 1}: {done:,} operations, {exits:,} exits in {taken:.0f} s")
    print(f"broken: {', '.join(map(str, broken))}" if broken else "all that must hold held")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
