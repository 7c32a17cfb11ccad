"""Where stage-2 tables live: pages of the hypervisor's own RAM, handed out one by one.

This is the one implementation of the seam's `Tables` that writes real memory. It allocates from a fixed run of pages,
gives every table zeroed, and passes invalidations on to whoever caches translations. Given a `log`, it also notes each
write, invalidation and allocation in order, because break-before-make is about nothing but order.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from minivisor.errors import MinivisorError

__all__ = ["MemoryTables", "OutOfTables"]

PAGE = 4096


class OutOfTables(MinivisorError):
    """The pool of table pages is empty."""


class MemoryTables:
    """Stage-2 tables in physical memory.

    memory: uint8[n], physical memory from `base` on. pool, pages: PA of the first table page, and how many there are.
    tlbi: called with an IPA; must forget every translation made from the descriptor that maps it, the whole of a block.
    log: takes ("write", pa, descriptor), ("tlbi", ipa) and ("alloc", pa) in the order they happen.
    The first page of the pool becomes `root`.
    """

    def __init__(
        self,
        memory: npt.NDArray[np.uint8],
        base: int,
        pool: int,
        pages: int,
        tlbi: Callable[[int], None] = lambda _ipa: None,
        log: list[tuple[object, ...]] | None = None,
    ) -> None:
        self._words = memory.view(np.uint64)
        self._base, self._tlbi, self._log = base, tlbi, log
        self._free = [pool + PAGE * n for n in reversed(range(pages))]
        self.root = self.alloc()

    def read(self, pa: int) -> int:
        """The descriptor at `pa`."""
        return int(self._words[self._index(pa)])

    def write(self, pa: int, descriptor: int) -> None:
        """Store a descriptor at `pa`."""
        self._words[self._index(pa)] = descriptor
        self._note("write", pa, descriptor)

    def alloc(self) -> int:
        """The PA of a zeroed table page. OutOfTables when none is left."""
        if not self._free:
            raise OutOfTables("stage-2 tables: the pool of table pages is empty, expected a larger pool")
        pa = self._free.pop()
        first = self._index(pa)
        self._words[first : first + PAGE // 8] = 0
        self._note("alloc", pa)
        return pa

    def free(self, pa: int) -> None:
        """Take back a page from `alloc` that no table points to any more."""
        self._free.append(pa)

    def tlbi(self, ipa: int) -> None:
        """Invalidate what is cached of the descriptor that maps `ipa`."""
        self._note("tlbi", ipa)
        self._tlbi(ipa)

    def _index(self, pa: int) -> int:
        return (pa - self._base) // 8

    def _note(self, *event: object) -> None:
        if self._log is not None:
            self._log.append(event)
