"""Row `exit`: HVC, decode, a Python handler, the trace, and back into the guest; in steady state.

The guest asks for a function that no hypervisor has, so each call is one exit, one handler and one answer in X0. The
peer is the least that a Python user of the engine can do: a callback that stops it, a look at PC, a restart. It decodes
nothing, writes no register, keeps no time and no record.
"""

from __future__ import annotations

from minivisor import guests
from minivisor.bench.guest import persona_of
from minivisor.bench.pairs import Measured, Tell, interleave, timed
from minivisor.bench.peers import BareExits
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import RAM
from minivisor.hypervisor.scheduler import RoundRobin
from minivisor.machine.board import Machine
from minivisor.platform.image import load_image

__all__ = ["HostedExits", "measure"]

BATCH, QUICK_BATCH = 2_000, 200  # exits in one half of a pair: some 30 ms
TURNS = 10_000_000  # calls the guest would make: far more than are measured
SLICE = 10_000_000  # virtual ns
BOOT, SAMPLE = 1_000_000, 20_000  # virtual ns: past the guest's boot, into its loop


class HostedExits:
    """The bench guest in its HVC loop."""

    def __init__(self) -> None:
        self.hypervisor = Hypervisor(Machine("a"), scheduler=RoundRobin(SLICE))
        settings = persona_of(f"hvc {TURNS}")
        self.persona = self.hypervisor.add(settings, load_image(guests.path("bench"), RAM, settings.memory))
        self.hypervisor.run(BOOT)
        self.insns = self._insns_an_exit()

    @property
    def taken(self) -> int:
        """Exits so far. Nearly every record of this guest's trace is one."""
        return self.hypervisor.trace.total

    def _insns_an_exit(self) -> float:
        before, retired = self.taken, self.hypervisor.core.retired
        self.hypervisor.run(self.hypervisor.now + SAMPLE)
        if self.taken == before:
            raise RuntimeError(f"exit: the bench guest made no call between {BOOT} and {BOOT + SAMPLE} ns")
        return (self.hypervisor.core.retired - retired) / (self.taken - before)

    def run(self, exits: int) -> None:
        """About so many exits."""
        self.hypervisor.run(self.hypervisor.now + round(exits * self.insns))


def measure(rounds: int, quick: bool, tell: Tell) -> Measured:
    """Pairs in µs an exit."""
    batch, total = QUICK_BATCH if quick else BATCH, 0
    ours, bare = HostedExits(), BareExits()
    bare.run(batch)

    def mine() -> float:
        nonlocal total
        before = ours.taken
        seconds = timed(lambda: ours.run(batch))
        total += ours.taken - before
        return seconds / (ours.taken - before) * 1e6

    pairs = interleave(mine, lambda: timed(lambda: bare.run(batch)) / batch * 1e6, rounds, tell)
    if not ours.hypervisor.alive or bare.taken < batch * rounds:
        raise RuntimeError("exit: the guest ended before the measurement did, or the peer's hook was not called")
    return Measured(pairs, {"exits": total, "instructions_an_exit": round(ours.insns, 2)})
