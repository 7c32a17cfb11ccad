"""A guest's memory as its devices see it: this much, and nothing beside it.

Every address a driver puts into a queue comes through `view`, so this is the one place that keeps a device from reading
or writing what is not its guest's own. Addresses are Python's integers: a sum never wraps.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["GuestMemory"]


class GuestMemory:
    """RAM of one guest. base: IPA of its first byte. ram: all of it, uint8, writable.

    wrote(ipa, size): called when a device writes there, so that translated code in those pages can be dropped.
    """

    def __init__(
        self, base: int, ram: memoryview, wrote: Callable[[int, int], None] = lambda _ipa, _size: None
    ) -> None:
        self.base, self._ram, self._end = base, ram, base + len(ram)
        self.wrote = wrote

    def view(self, ipa: int, size: int) -> memoryview | None:
        """uint8[size] from an intermediate physical address, the memory itself; None when any byte is not RAM."""
        if ipa < self.base or size < 0 or ipa + size > self._end:
            return None
        return self._ram[ipa - self.base : ipa - self.base + size]
