"""Row `svc`: from EL0 to EL1 and back, which never reaches EL2.

Unicorn stops at an SVC and leaves the entry to whoever drives it. Ours enters EL1 in compiled code; the peer is what a Python
user of the engine writes, a hook that does the same with `reg_write` and lets the engine go on. Both run the same loop.
"""

from __future__ import annotations

from minivisor.bench.hosted import ENDLESS, Hosted
from minivisor.bench.pairs import Measured, Tell, interleave, timed
from minivisor.bench.peers import BareCalls

__all__ = ["measure"]

BATCH, QUICK_BATCH = 6_000, 600  # calls of the peer in one half of a pair: some 50 ms
OURS = 20  # times as many calls of ours, so that both halves take alike
INSNS = 5  # of both sides' loop, for an estimate of how much virtual time a call takes


def measure(rounds: int, quick: bool, tell: Tell) -> Measured:
    """Pairs in calls a second."""
    batch = QUICK_BATCH if quick else BATCH
    ours, bare = Hosted(f"svc {ENDLESS}"), BareCalls()
    ours.boot()
    record, exits = ours.hypervisor.core.record, ours.exits()
    bare.run(batch)

    def mine() -> float:
        before = int(record.entries_el1)
        seconds = ours.advance(batch * OURS * INSNS)
        return (int(record.entries_el1) - before) / seconds

    mine()
    total = int(record.entries_el1)
    pairs = interleave(mine, lambda: batch / timed(lambda: bare.run(batch)), rounds, tell)
    total = int(record.entries_el1) - total
    slices = ours.exits() - exits  # the hypervisor's timer; no call is one
    return Measured(pairs, {"calls": total, "exits_an_operation": round(slices / total, 4), "exits": slices})
