"""Row `switch`: what it costs that the next slice is another vCPU's.

Two guests of the same kind take turns in very short slices; on a machine beside it one such guest is alone, in slices of
the same length. Both stop at the hypervisor's timer and ask the scheduler as often; only the first has somebody to switch
to. The difference, a slice, is the world switch: registers out and in, the other VMID, the engine's own translations
dropped and filled again. The peer moves the engine's whole register file and nothing else.
"""

from __future__ import annotations

from minivisor import guests
from minivisor.bench.hosted import persona_of
from minivisor.bench.pairs import Measured, Tell, interleave, timed
from minivisor.bench.peers import BareContexts
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import RAM
from minivisor.hypervisor.scheduler import RoundRobin
from minivisor.hypervisor.world import REGISTERS
from minivisor.machine.board import Machine
from minivisor.platform.image import load_image
from minivisor.trace.records import Kind

__all__ = ["Turns", "measure", "state_bytes"]

SLICE = 10_000  # virtual ns
BATCH, QUICK_BATCH = 300, 30
WARM_UP = 5_000_000  # virtual ns: past both boots, into the workload


def state_bytes() -> int:
    """Bytes of register state that leave the core, and as many come in: V0..V31 are 16 bytes wide, the others 8."""
    return sum(16 if name[0] == "V" and name[1:].isdigit() else 8 for name in REGISTERS)


class Turns:
    """So many guests that compute for ever, in turns of `SLICE`."""

    def __init__(self, personas: int) -> None:
        self.hypervisor = Hypervisor(Machine("a"), scheduler=RoundRobin(SLICE))
        for number in range(personas):
            settings = persona_of("mixed 1000", f"bench {number}")
            self.hypervisor.add(settings, load_image(guests.path("bench"), RAM, settings.memory))
        self.hypervisor.run(WARM_UP)

    def slices(self, count: int) -> float:
        """Seconds that so many slices take."""
        return timed(lambda: self.hypervisor.run(self.hypervisor.now + count * SLICE))

    @property
    def switches(self) -> int:
        return len(self.hypervisor.trace.select(Kind.SWITCH))

    @property
    def exits(self) -> int:
        return len(self.hypervisor.trace.select(Kind.EXIT))


def measure(rounds: int, quick: bool, tell: Tell) -> Measured:
    """Pairs in µs a switch."""
    batch, contexts = QUICK_BATCH if quick else BATCH, BareContexts()
    two, one = Turns(2), Turns(1)
    before, exits, slices = two.switches, two.exits, []
    moved = int(two.hypervisor.core.record.moved)

    def ours() -> float:
        alone = one.slices(batch // 2)
        together = two.slices(batch)
        alone += one.slices(batch - batch // 2)
        slices.append(together / batch * 1e6)
        return (together - alone) / batch * 1e6

    pairs = interleave(ours, lambda: timed(lambda: contexts.exchange(batch)) / batch * 1e6, rounds, tell)
    taken = two.switches - before
    if taken < rounds * batch * 0.9:
        raise RuntimeError(f"switch: {taken} world switches in {rounds * batch} slices; one in each was expected")
    moved = int(two.hypervisor.core.record.moved) - moved
    detail = {
        "operations": taken,
        "exits_an_operation": round((two.exits - exits) / taken, 4),
        "state_bytes_an_operation": round(moved / taken, 1),
        "architectural_state_bytes": state_bytes(),
        "peer_bytes": contexts.size,
        "slice_ns": SLICE,
    }
    return Measured(pairs, {**detail, "slice_µs": sorted(slices)[len(slices) // 2]})
