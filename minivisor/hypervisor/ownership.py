"""Who owns which page of the phone.

Stage 2 says what a persona can reach; this ledger says what it *may* reach, and every map is checked against it first.
Two records of the same thing on purpose: a slip in one is caught by the other.

    free ──claim──► owner ──transfer──► owner        every page has exactly one owner at any time
      ▲               │
      └──release──────┘  scrubbed on the way: nobody finds what the last owner left

Owners are small numbers with names. Four are fixed; personas get the next ones as they are registered. A `shared` page
may be mapped by every persona, and so may a `device` page, but only as device memory and nothing else as that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from minivisor.errors import MinivisorError

__all__ = ["DEVICE", "FREE", "HYPERVISOR", "SHARED", "Ownership", "OwnershipError"]

FREE, HYPERVISOR, SHARED, DEVICE = range(4)
PAGE = 4096


class OwnershipError(MinivisorError):
    """A page was claimed, given away, released or mapped by somebody who does not own it."""


class Ownership:
    """The ledger of all physical pages.

    ranges: (PA, size) of RAM and of device windows, in bytes, multiples of 4 KiB; all pages start free.
    scrub: called with (PA, size) before released pages become free.
    """

    def __init__(self, ranges: Iterable[tuple[int, int]], scrub: Callable[[int, int], None] = lambda _pa, _size: None) -> None:
        self._pages: dict[int, npt.NDArray[np.uint8]]
        self._pages = {base: np.full(size // PAGE, FREE, np.uint8) for base, size in ranges}
        self._scrub = scrub
        self.names = ["free", "hypervisor", "shared", "device"]

    def register(self, name: str) -> int:
        """A new owner, or the number of the one that has this name."""
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)

    def owner(self, pa: int) -> int:
        """The owner of the page of `pa`."""
        return int(self._span(pa & -PAGE, PAGE)[0])

    def claim(self, owner: int, pa: int, size: int) -> None:
        """Free pages become the owner's."""
        self.transfer(FREE, owner, pa, size)

    def transfer(self, source: int, target: int, pa: int, size: int) -> None:
        """Pages of `source` become `target`'s, with their contents."""
        pages = self._span(pa, size)
        self._require(pages == source, pages, pa, f"pages of {self.names[source]}")
        pages[:] = target

    def release(self, owner: int, pa: int, size: int) -> None:
        """Pages of the owner are scrubbed and become free; whoever mapped them has unmapped them before."""
        pages = self._span(pa, size)
        self._require(pages == owner, pages, pa, f"pages of {self.names[owner]}")
        self._scrub(pa, size)
        pages[:] = FREE

    def check(self, owner: int, pa: int, size: int, prot: str = "rw") -> None:
        """Refuse, with OwnershipError, a stage-2 mapping of these pages for this owner."""
        pages = self._span(pa, size)
        if prot.startswith("device-"):
            self._require(pages == DEVICE, pages, pa, "device pages for a device mapping")
        else:
            self._require((pages == owner) | (pages == SHARED), pages, pa, f"pages of {self.names[owner]} or shared")

    def checker(self, owner: int) -> Callable[[int, int, str], None]:
        """`check` for one owner, in the shape `Stage2` calls."""
        return lambda pa, size, prot: self.check(owner, pa, size, prot)

    def first_free(self, base: int, size: int, alignment: int) -> int | None:
        """The lowest PA of a free run in the range that starts at `base`; size, alignment: bytes. None when there is none."""
        unit = alignment // PAGE
        pages = self._pages[base]
        blocks = (pages[: len(pages) // unit * unit].reshape(-1, unit) == FREE).all(axis=1)
        wanted = -(-size // alignment)
        for first in range(len(blocks) - wanted + 1):
            if blocks[first : first + wanted].all():
                return base + first * alignment
        return None

    def count(self, owner: int) -> int:
        """How many pages it owns."""
        return sum(int(np.count_nonzero(pages == owner)) for pages in self._pages.values())

    def _span(self, pa: int, size: int) -> npt.NDArray[np.uint8]:
        for base, pages in self._pages.items():
            first, count = (pa - base) // PAGE, size // PAGE
            if pa % PAGE == 0 == size % PAGE and 0 <= first < first + count <= len(pages):
                return pages[first : first + count]
        raise OwnershipError(f"ownership: got PA 0x{pa:x}, size 0x{size:x}, expected whole pages of the phone's memory")

    def _require(self, right: npt.NDArray[np.bool_], pages: npt.NDArray[np.uint8], pa: int, expected: str) -> None:
        if not right.all():
            wrong = int(np.argmin(right))
            found = self.names[int(pages[wrong])]
            raise OwnershipError(f"ownership: PA 0x{pa + wrong * PAGE:x} belongs to {found}, expected {expected}")
