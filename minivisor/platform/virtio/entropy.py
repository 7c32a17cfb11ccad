"""A virtio entropy device: noise that comes from the run's seed, and so is the same in every run.

It is BLAKE2b in counter mode, keyed by seed and name: nobody who lacks the seed can tell it from chance, and whoever has it
can repeat the run. Nothing here is secret from the person at the host, and nothing is meant to be.

Source: virtio 1.2, 5.4 "Entropy Device".
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from minivisor.arch.virtio import DeviceId
from minivisor.platform.virtio.device import Device
from minivisor.platform.virtio.queue import Chain

__all__ = ["Entropy"]

PIECE = 64  # bytes a hash
MOST = 4096  # bytes a request gets; a driver that wants more asks again (5.4.6)


class Entropy(Device):
    """seed: the run's. name: of the guest, so that two guests of one run get different noise."""

    id = DeviceId.ENTROPY
    name = "entropy"
    queues = (8,)

    def __init__(self, seed: int, name: str = "") -> None:
        super().__init__()
        self._key = blake2b(f"minivisor entropy {seed} {name}".encode(), digest_size=PIECE).digest()
        self._count = 0

    def handle(self, queue: int, chain: Chain) -> int | str:
        """Fill a buffer, as far as MOST."""
        if not chain.writable:
            return f"chain {chain.head} has no room for noise"
        size = min(chain.writable, MOST)
        pieces = [self._next() for _ in range(-(-size // PIECE))]
        return chain.put(b"".join(pieces)[:size])

    def _next(self) -> bytes:
        self._count += 1
        return blake2b(self._count.to_bytes(8, "little"), key=self._key, digest_size=PIECE).digest()

    def state(self) -> dict[str, Any]:
        """How far the noise has got."""
        return {"count": self._count}

    def load(self, state: dict[str, Any]) -> None:
        """Go back to what `state` returned."""
        self._count = state["count"]
