"""Which pages hold translated code, and which of those a guest says it changed (IC IVAU, DDI 0487 C5.3).

Unicorn drops translations when a store reaches their page through a TLB entry that it has not used for storing before; code
stored through one virtual address and run through another can stay stale (W^X entries; `hooks.fill_tlb`). The architecture asks
for an IC instruction in between, so that is where stale code is dropped. A kernel that patches itself says IC IVAU ten
thousand times while it boots, nearly always for a page that never ran, and dropping *all* translations each time costs a
thousand times the patch. So:

    fetch filled ──► the page's bit in code_pages      IC IVAU of a page without one: nothing to drop, no stop
    IC IVAU of a page with one ──► stale_page[n]       dropped by Python, page by page, before the next block
    IC IALLU, more pages than fit, no walk of ours ──► code_stale: everything goes

Invariant: a page that any translation came from has its bit set. So whoever clears a bit also empties Unicorn's TLB: the next
fetch from that page passes `fill_tlb` again.

Unicorn names code by the virtual address that runs it, and needs a translation for it: `WINDOW`, bits 54:48 zero under a
bit 55 of one, is an address that no guest can use, with tagged addresses or without. While `window` is set, page n behind
it is stale_page[n].
"""

from __future__ import annotations

import numpy as np

from minivisor.machine.hot import array_at, entry, hot
from minivisor.machine.state import STALE_PAGES, core_at

__all__ = ["WINDOW", "in_window", "note_fetch", "page_changed", "written"]

ZERO, ONE, SIX, TWELVE = np.uint64(0), np.uint64(1), np.uint64(6), np.uint64(12)
BIT = np.uint64(63)
ROOM = np.uint64(STALE_PAGES)
WINDOW = np.uint64(0x0080_0000_0000_0000)


@hot
def note_fetch(core, pa):  # type: ignore[no-untyped-def]
    """Code may be translated from the page at this physical address from now on."""
    page = (pa - core.ram_base) >> TWELVE
    if pa >= core.ram_base and page >> SIX < core.code_words:
        array_at(core.code_pages, core.code_words)[page >> SIX] |= ONE << (page & BIT)


@hot
def page_changed(core, pa):  # type: ignore[no-untyped-def]
    """The code at this physical address may have changed. Is there anything to drop?"""
    page = (pa - core.ram_base) >> TWELVE
    if pa < core.ram_base or page >> SIX >= core.code_words:
        return False
    if array_at(core.code_pages, core.code_words)[page >> SIX] >> (page & BIT) & ONE == ZERO:
        return False
    for n in range(STALE_PAGES):
        if np.uint64(n) < core.stale_count and core.stale_page[n] == pa >> TWELVE << TWELVE:
            return True
    if core.stale_count == ROOM:
        core.code_stale = ONE
    else:
        core.stale_page[core.stale_count] = pa >> TWELVE << TWELVE
        core.stale_count += ONE
    return True


@entry("void", "u64", "u64")
def written(address, pa):  # type: ignore[no-untyped-def]
    """`page_changed` for the core whose record is at this address."""
    page_changed(core_at(address), pa)


@hot
def in_window(core, va):  # type: ignore[no-untyped-def]
    """Does Unicorn ask for a page that is about to be dropped?"""
    return core.window != ZERO and va >= WINDOW and (va - WINDOW) >> TWELVE < core.stale_count
