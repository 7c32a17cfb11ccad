"""What the soak must notice, each by the seed of a program, without a machine: so that the soak itself can be tested."""

from __future__ import annotations

import os
import time

from tests.fuzz.generate import Program

__all__ = ["BrokenArena"]


class BrokenArena:
    """Seed 1 breaks what must hold, 2 crashes, 3 never comes back; all others are well, and 1,000 operations."""

    def __init__(self, _engine: str) -> None:
        self.exits = self.operations = 0

    def run(self, program: Program) -> None:
        if program.seed == 1:
            raise AssertionError("it does not hold")
        if program.seed == 2:
            os._exit(7)
        if program.seed == 3:
            time.sleep(3600)
        self.operations += 1000
        self.exits += 10
