"""Row `trace`: what it costs to write everything down.

The guest makes HVC after HVC, the most exits a guest can make, and each is a record. The peer is the same hypervisor with a
trace that keeps nothing. The digest over the records is in the time of ours.
"""

from __future__ import annotations

from typing import Any

from minivisor.bench.hosted import ENDLESS, Hosted
from minivisor.bench.pairs import Measured, Tell, interleave
from minivisor.trace.store import Trace

__all__ = ["Forgetful", "measure"]

BATCH, QUICK_BATCH = 60_000, 6_000  # virtual ns


class Forgetful(Trace):
    """Every method that appends does nothing."""

    def _row(self, *_row: Any, **_more: Any) -> None:
        pass

    def exit(self, *_row: Any, **_more: Any) -> None:
        pass

    def device(self, *_row: Any, **_more: Any) -> None:
        pass

    def extend(self, _rows: bytes) -> None:
        pass


def measure(rounds: int, quick: bool, tell: Tell) -> Measured:
    """Pairs in µs an exit: the two sides retire the same instructions, and every exit has its record in ours."""
    batch = QUICK_BATCH if quick else BATCH
    ours, peer = Hosted(f"hvc {ENDLESS}"), Hosted(f"hvc {ENDLESS}", trace=Forgetful())
    for side in (ours, peer):
        side.boot()
        side.advance(batch)
    taken = 1

    def mine() -> float:
        nonlocal taken
        before, seconds = ours.hypervisor.trace.total, ours.advance(batch)
        taken = ours.hypervisor.trace.total - before
        return seconds / taken * 1e6

    before, since = ours.exits(), ours.hypervisor.trace.total
    mine()
    pairs = interleave(mine, lambda: peer.advance(batch) / taken * 1e6, rounds, tell)
    records = ours.hypervisor.trace.total - since
    return Measured(
        pairs, {"records": records, "exits": ours.exits() - before, "kept_by_peer": peer.hypervisor.trace.total}
    )
