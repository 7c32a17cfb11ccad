"""A walk cache, as cores have them: which table of level 3 a region of 2 MiB led to, in each stage.

Behind it a walk of both stages reads three descriptors, not fifteen. It is for many walks while nobody writes a table or a
register that steers them (`batch.py`): nothing here is ever forgotten, and no TLBI reaches it. A fault is never kept.

    uint64[WALK_CACHE_WORDS], zeroes at first: 64 slots of stage 2, then 64 of stage 1

    +------------+--------------------------------+-------------------------------------+--------+
    | region + 1 | table: PA, or IPA in stage 1   | descriptors on the way to it, or-ed | unused |
    +------------+--------------------------------+-------------------------------------+--------+

No translation regime begins at level 3, nor tells two addresses of one region apart before that level. Source: DDI 0487, D8.16
"Translation Lookaside Buffers", of what an implementation may keep: intermediate entries as well as whole translations.
"""

from __future__ import annotations

import numpy as np

from minivisor.machine.hot import hot_inline, load64, store64

__all__ = ["STAGE1_SLOTS", "WALK_CACHE_WORDS", "keep", "recall"]

ZERO, ONE, THREE, EIGHT, SIXTEEN = (np.uint64(n) for n in (0, 1, 3, 8, 16))
SLOTS, SLOT_SHIFT, REGION_SHIFT = np.uint64(64), np.uint64(5), np.uint64(21)
STAGE1_SLOTS, WALK_CACHE_WORDS = SLOTS << SLOT_SHIFT, 2 * 64 * 4


@hot_inline
def _slot(walk_cache, address):  # type: ignore[no-untyped-def]
    """Where in the host a walk cache keeps what is known of this address, of one stage."""
    return walk_cache + (((address >> REGION_SHIFT) & (SLOTS - ONE)) << SLOT_SHIFT)


@hot_inline
def keep(walk_cache, address, level, table, attributes):  # type: ignore[no-untyped-def]
    """A walk goes on at `level`, in `table`: the last one is worth keeping."""
    if walk_cache is None or level != THREE:
        return
    slot = _slot(walk_cache, address)
    store64(slot, (address >> REGION_SHIFT) + ONE)
    store64(slot + EIGHT, table)
    store64(slot + SIXTEEN, attributes)


@hot_inline
def recall(walk_cache, address):  # type: ignore[no-untyped-def]
    """(known, table, attributes): where a walk for this address may begin, at level 3."""
    if walk_cache is None:
        return False, ZERO, ZERO
    slot = _slot(walk_cache, address)
    return load64(slot) == (address >> REGION_SHIFT) + ONE, load64(slot + EIGHT), load64(slot + SIXTEEN)
