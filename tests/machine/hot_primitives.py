"""Every primitive of minivisor.machine.hot used once; run as a script, compiled or interpreted, it must print the same.

python -m tests.machine.hot_primitives
"""

from __future__ import annotations

import numpy as np

from minivisor.machine.hot import (
    array_at,
    call,
    callback,
    check_callbacks,
    hot,
    load32,
    load64,
    record_at,
    share,
    store64,
)

ONE = np.uint64(1)
PAIR = np.dtype((np.record, np.dtype([("a", "u8"), ("words", "u8", (4,)), ("b", "u8")])))
pair_at = record_at(PAIR)


@hot
def memory(address):  # type: ignore[no-untyped-def]
    """Loads of both widths, at an odd word too, and a store of all 64 bits."""
    store64(address + np.uint64(8), np.uint64(0xFFFF_FFFF_8000_0001))
    store64(address + np.uint64(16), load32(address + np.uint64(12)) + (load64(address) << ONE))
    return load64(address + np.uint64(8)), load32(address + np.uint64(8)), load64(address + np.uint64(4))


@hot
def wrapping(zero):  # type: ignore[no-untyped-def]
    """Hardware wraps: below zero, past the end, in a product."""
    return zero - ONE, (zero - ONE) + np.uint64(5), (zero - ONE) * np.uint64(3), ~zero >> np.uint64(60)


@hot
def record(address, scratch):  # type: ignore[no-untyped-def]
    """Fields and elements of a record, read and written in place; an array over the same kind of memory."""
    pair = pair_at(address)
    pair.a += np.uint64(5)
    pair.words[2] = pair.a * np.uint64(2)
    pair.b -= pair.words[2]
    array = array_at(scratch, np.uint64(4))
    array[3] = array[0] + np.uint64(array.shape[0])
    return pair.b, array[3]


@callback("u32", "u64", "u64", "u64", "u64", "u64")
def five(a, b, c, d, e):  # type: ignore[no-untyped-def]
    """All arguments arrive, in order; the result is cut to 32 bits."""
    return np.uint32((a + b * np.uint64(10) + c * np.uint64(100) + d * np.uint64(1000) + e) & np.uint64(0xFFFF_FFFF))


@callback("void", "u64", "u32", "u64")
def store(address, narrow, value):  # type: ignore[no-untyped-def]
    """A callback without result; a 32-bit argument in the middle."""
    store64(address, np.uint64(narrow) + value)


@hot
def calls(function, procedure, address):  # type: ignore[no-untyped-def]
    """Through addresses alone."""
    call(procedure, address, np.uint64(0xFFFF_FFFF), np.uint64(7), np.uint64(0), np.uint64(0))
    numbers = ONE, np.uint64(2), np.uint64(3), np.uint64(4)
    return call(function, *numbers, np.uint64(0)), call(function, *numbers, np.uint64(0xFFFF_FFF0)), load64(address)


def main() -> None:
    """Print what every primitive did."""
    scratch = np.array([0x1234_5678_9ABC_DEF0, 0, 0, 0], np.uint64)
    pairs = np.zeros(1, PAIR)
    pairs[0].b = 3
    at, pair = np.uint64(share(scratch)), np.uint64(share(pairs))
    print([hex(value) for value in memory(at)], [hex(value) for value in scratch.tolist()])
    print([hex(value) for value in wrapping(np.uint64(0))])
    print([int(value) for value in record(pair, at)], int(pairs[0].a), pairs[0].words.tolist())
    print([hex(value) for value in calls(np.uint64(five.address), np.uint64(store.address), at)])
    check_callbacks()


if __name__ == "__main__":
    main()
