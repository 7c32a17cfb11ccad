"""The bench guest under the whole hypervisor, and what its counters say between two moments.

An operation is counted by the guest itself, in a word of its memory that nobody needs an exit to read. Exits come from the
trace, state bytes from the core's own counter: nothing here knows how many there should be.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache

import numpy as np
from elftools.elf.elffile import ELFFile

from minivisor import guests
from minivisor.bench.pairs import timed
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import RAM, PersonaSettings
from minivisor.hypervisor.scheduler import RoundRobin
from minivisor.machine.board import Machine
from minivisor.platform.image import load_image
from minivisor.trace.records import Kind, exit_class
from minivisor.trace.store import Trace

__all__ = ["ENDLESS", "SLICE", "Counts", "Hosted", "persona_of"]

SLICE = 10_000_000  # virtual ns
ENDLESS = 1_000_000_000  # operations a guest would do: far more than are measured
BOOT, STEP = 450_000, 10_000  # virtual ns: past the guest's boot, into its loop; and how finely to look for that


def persona_of(bootargs: str, name: str = "bench", cpus: int = 1) -> PersonaSettings:
    """The bench guest with these orders."""
    return PersonaSettings(name, bootargs=bootargs, cpus=cpus)


@cache
def _symbol(name: str) -> int:
    """Address of a symbol of bench.elf."""
    with guests.path("bench").open("rb") as file:
        return int(ELFFile(file).get_section_by_name(".symtab").get_symbol_by_name(name)[0]["st_value"])


@dataclass(frozen=True, slots=True)
class Counts:
    """Since power-on. state_bytes: register state that went between the core and EL2, either way."""

    operations: int
    exits: int
    state_bytes: int
    walks: int


class Hosted:
    """bench.elf with these boot arguments, past its boot. clock: see Hypervisor. trace: one of ours unless given."""

    def __init__(
        self, bootargs: str, cpus: int = 1, mmu: str = "minivisor", clock: str = "virtual", trace: Trace | None = None
    ) -> None:
        self.hypervisor = Hypervisor(Machine("a", mmu), scheduler=RoundRobin(SLICE), clock=clock, trace=trace)
        settings = persona_of(bootargs, cpus=cpus)
        self.persona = self.hypervisor.add(settings, load_image(guests.path("bench"), RAM, settings.memory))

    def boot(self) -> None:
        """Into the loop that is measured."""
        self.hypervisor.run(BOOT)
        counted = not self.persona.settings.bootargs.startswith(("hvc", "svc"))  # those two do not count
        while counted and self.hypervisor.alive and self.operations == 0 and self.hypervisor.now < 10 * BOOT:
            self.hypervisor.run(self.hypervisor.now + STEP)

    def advance(self, nanoseconds: int) -> float:
        """Run for so much virtual time; returns the seconds it took."""
        until = self.hypervisor.now + nanoseconds
        seconds = timed(lambda: self.hypervisor.run(until))
        if not self.hypervisor.alive:
            raise RuntimeError(f"bench guest: it ended too early; its console says {self.persona.console.decode()!r}")
        return seconds

    @property
    def operations(self) -> int:
        """How many the guest has done (guest-kernels/bench/operations.c)."""
        return self.hypervisor.machine.memory.read(self.persona.pa + _symbol("operations_done") - RAM)

    def counts(self) -> Counts:
        """All counters now."""
        record = self.hypervisor.core.record
        return Counts(self.operations, self.exits(), int(record.moved), int(record.walks))

    def exits(self) -> int:
        """Exits in the trace."""
        return sum(self.exits_by_class().values())

    def exits_by_class(self, since: int = 0) -> Counter[str]:
        """Exits in the trace from record `since` on, by exception class."""
        rows = self.hypervisor.trace.rows(since)
        rows = rows[np.equal(rows["kind"], Kind.EXIT)]
        return Counter(
            exit_class(cause, esr) for cause, esr in zip(rows["detail"].tolist(), rows["esr"].tolist(), strict=True)
        )
