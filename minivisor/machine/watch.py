"""Time that is the host's: nobody counts instructions, and another thread stops the guest when its time is up.

The hook before each block costs a third of a guest's speed. Where reproducibility is not asked for it can go: the counter
reads the host's clock (`timer.catch_up`), and what the hook did for time is done by a watcher, asleep most of it:

    the guest runs (inside)      deadline: virtual ns, the next timer or EL2's horizon
    the watcher                  ── sleeps until next_look ── is it time? ── uc_emu_stop ── sleeps …

The guest then stops before its next block and nowhere else, because its code looks for a request only there
(`exit_checks.py`). A request that comes too late ends a later run early, which then just goes on; one that comes too early is
lost, and the watcher asks again. Who enters a guest with a deadline that is nearer than the next look wakes the watcher; while
nobody is inside, that look is far away, so an idle machine costs little. The thread lives as long as `with Watch(core)` and
holds the core, so the engine cannot go away under it. It is compiled code and needs no interpreter; it sleeps on a lock of
CPython's own kind, which has a time limit and is on every system.

The other duty of the hook was a PC that is not a multiple of four. Such a block is noticed when it is translated, which must
then happen each time: its code is dropped.
"""

from __future__ import annotations

import ctypes
import itertools
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from unicorn import unicorn_const as const

from minivisor.machine import engine
from minivisor.machine.hot import call, callback, entry, hot, load64
from minivisor.machine.state import WORD, core_at
from minivisor.machine.timer import host_now, now

if TYPE_CHECKING:
    from minivisor.machine.core import Core

__all__ = ["Watch", "follow_host_clock", "host_time", "watch"]

ZERO, ONE, THREE, NANO = (np.uint64(n) for n in (0, 1, 3, 1000))
LONGEST, AGAIN, FOREVER = (np.uint64(n) for n in (10_000_000, 100_000, 50_000_000))
"""ns to the next look: while a guest runs, even if no wake-up came; after a request to stop; while none runs."""

OWN_TIMESPEC = np.uint64(16)  # behind the core's
WATCHER_AT, NEXT_LOOK_AT, LOCK_AT = WORD["watcher"], WORD["next_look"], WORD["lock"]
_generations = itertools.count(1)


@callback("void", "u64", "u64", "u64", "u64")
def note_block(uc, block, before, user):  # type: ignore[no-untyped-def]
    """uc_hook_edge_gen_t, with each block that was translated. block: {u64 pc, …}."""
    if load64(block) & THREE != ZERO:
        core = core_at(user)
        core.code_stale = ONE
        call(core.emu_stop, uc, ZERO, ZERO, ZERO, ZERO)


@hot
def _look(core):  # type: ignore[no-untyped-def]
    """Is the time up of who is inside? When to look again, in ns from now.

    Looked twice: who comes in between has seen the `next_look` of before, and so has not woken anybody.
    """
    while True:
        inside, deadline = core.inside, core.deadline
        at, pause = max(host_now(core, core.host_time + OWN_TIMESPEC), now(core)), FOREVER
        if inside != ZERO:
            pause = min(LONGEST, deadline - at) if at < deadline else AGAIN
        core.next_look = at + pause
        if inside != ZERO and at >= deadline:
            call(core.emu_stop, core.uc, ZERO, ZERO, ZERO, ZERO)
        host_now(core, core.host_time + OWN_TIMESPEC)  # time for what was stored to be seen
        if core.inside == inside and core.deadline == deadline:
            return pause


@entry("void", "u64", "u64", "u64")
def watch(address, generation, wait):  # type: ignore[no-untyped-def]
    """What the thread does, until the core's watcher is another. wait(lock, µs, 0): sleep, or until it is released."""
    core = core_at(address)
    lock = core.lock
    while core.watcher == generation:
        call(wait, lock, ONE + _look(core) // NANO, ZERO, ZERO, ZERO)


def host_time() -> int:
    """The clock that compiled code reads, in ns."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def follow_host_clock(core: Core) -> bool:
    """Time is the host's from now on, and instructions are not counted. False, and all is as before, where that cannot be had.

    That is: with Unicorn's own MMU, which reports some faults where we no longer look; with an engine whose code would look for
    a stop behind accesses; on a system without clock_gettime.
    """
    if not (core.stops_between_blocks and hasattr(time, "clock_gettime_ns")):
        return False
    engine.remove_hook(core.uc, core.hooks.pop("block"))
    core.uc.ctl_flush_tb()
    words = core.words
    engine.add_hook(core.uc, const.UC_HOOK_EDGE_GENERATED, note_block.address, core.address)
    words[WORD["host_time"]] = core.keep(np.zeros(4, np.uint64))
    words[WORD["host_clock_id"]], words[WORD["host_origin"]] = time.CLOCK_MONOTONIC, host_time() - core.now
    words[WORD["host_clock"]] = ctypes.cast(ctypes.CDLL(None).clock_gettime, ctypes.c_void_p).value or 0
    return True


class Watch:
    """The watcher of a core that follows the host's clock: a thread that is there while the context is entered."""

    def __init__(self, core: Core) -> None:
        self._core, self._thread = core, threading.Thread()
        self._wait = ctypes.cast(ctypes.pythonapi.PyThread_acquire_lock_timed, ctypes.c_void_p).value or 0
        core.words[WORD["wake"]] = ctypes.cast(ctypes.pythonapi.PyThread_release_lock, ctypes.c_void_p).value or 0

    def _watch(self, generation: int) -> None:
        watch(self._core.address, generation, self._wait)

    def __enter__(self) -> None:
        words, generation = self._core.words, next(_generations)
        words[LOCK_AT] = lock = _lock("allocate", ctypes.c_void_p)()
        _lock("acquire", ctypes.c_int, ctypes.c_void_p, ctypes.c_int)(lock, 1)
        words[WATCHER_AT] = generation
        self._thread = threading.Thread(target=self._watch, args=(generation,), name="minivisor-watch", daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        words = self._core.words
        words[WATCHER_AT], lock = 0, words[LOCK_AT]
        _lock("release", None, ctypes.c_void_p)(lock)
        self._thread.join()
        words[NEXT_LOOK_AT] = 0  # nobody is to be woken any more
        _lock("free", None, ctypes.c_void_p)(lock)


def _lock(what: str, result: Any, *arguments: Any) -> Any:
    """One of CPython's functions for its own locks: PyThread_<what>_lock."""
    return ctypes.CFUNCTYPE(result, *arguments)((f"PyThread_{what}_lock", ctypes.pythonapi))
