"""Row `tlb`: a translation that the TLB cannot know, through both stages.

The guest invalidates its TLB and loads from each of 1,024 pages of 4 KiB, over and over. Ours walks with the source of
`machine/walk.py` and remembers in the architectural TLB; the peer is the same guest under the same hypervisor on the same
engine, which walks both stages itself, in C (`mmu="unicorn"`), and is not bound to remember anything.
"""

from __future__ import annotations

from minivisor.bench.hosted import ENDLESS, Hosted
from minivisor.bench.pairs import Measured, Tell, interleave

__all__ = ["measure"]

BATCH, QUICK_BATCH = 2_000_000, 200_000  # virtual ns: some 400,000 pages


def measure(rounds: int, quick: bool, tell: Tell) -> Measured:
    """Pairs in ns a page; in the time of both is the loop around the load, half a dozen instructions."""
    batch = QUICK_BATCH if quick else BATCH
    ours, native = (Hosted(f"tlb {ENDLESS}", mmu=mmu) for mmu in ("minivisor", "unicorn"))
    for side in (ours, native):
        side.boot()
        side.advance(batch)

    def sample(side: Hosted) -> float:
        before = side.operations
        return side.advance(batch) / (side.operations - before) * 1e9

    before = ours.counts()
    pairs = interleave(lambda: sample(ours), lambda: sample(native), rounds, tell)
    after = ours.counts()
    pages, walks = after.operations - before.operations, after.walks - before.walks
    return Measured(
        pairs, {"pages": pages, "walks_a_page": round(walks / pages, 3), "exits": after.exits - before.exits}
    )
