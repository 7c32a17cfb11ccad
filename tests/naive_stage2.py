"""Slow, obvious oracles for stage 2: an address space as a dictionary of pages, and a walk by the manual."""

from __future__ import annotations

from collections.abc import Callable

PAGE = 4096


class Pages:
    """An address space as {IPA page: (PA page, prot)}."""

    def __init__(self) -> None:
        self.pages: dict[int, tuple[int, str]] = {}

    def map(self, ipa: int, pa: int, size: int, prot: str) -> None:
        for offset in range(0, size, PAGE):
            self.pages[ipa + offset] = (pa + offset, prot)

    def unmap(self, ipa: int, size: int) -> None:
        for offset in range(0, size, PAGE):
            self.pages.pop(ipa + offset, None)

    def protect(self, ipa: int, size: int, prot: str) -> None:
        for offset in range(0, size, PAGE):
            if ipa + offset in self.pages:
                self.pages[ipa + offset] = (self.pages[ipa + offset][0], prot)


def walk(read: Callable[[int], int], root: int, ipa: int) -> tuple[int, int, int] | None:
    """(PA, descriptor, level) of one IPA, by levels 1, 2 and 3 of a 4 KiB granule; None on a translation fault."""
    first = read(root + 8 * (ipa // 2**30 % 512))
    if first % 4 == 1:
        return first % 2**48 // 2**30 * 2**30 + ipa % 2**30, first, 1
    if first % 4 != 3:
        return None
    second = read(first % 2**48 // PAGE * PAGE + 8 * (ipa // 2**21 % 512))
    if second % 4 == 1:
        return second % 2**48 // 2**21 * 2**21 + ipa % 2**21, second, 2
    if second % 4 != 3:
        return None
    third = read(second % 2**48 // PAGE * PAGE + 8 * (ipa // PAGE % 512))
    if third % 4 != 3:
        return None
    return third % 2**48 // PAGE * PAGE + ipa % PAGE, third, 3
