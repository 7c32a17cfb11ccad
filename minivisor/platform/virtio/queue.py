"""The split virtqueue: three areas of guest memory, and the only code here that follows what a driver wrote into them.

    descriptors      what and where          ┌ address u64 │ length u32 │ flags u16 │ next u16 ┐ × size
    driver area      offered to the device   ┌ flags u16 │ idx u16 │ head u16 × size │ used_event u16 ┐
    device area      given back              ┌ flags u16 │ idx u16 │ (head u32, written u32) × size │ avail_event u16 ┐

A driver offers a chain of descriptors by its head; the device reads the first part of it, writes the rest, and gives the
head back with the number of bytes written. Descriptors may also come in a table of their own (indirect).

Invariant: whatever is in those areas, a chain has at most `size` descriptors (that ends loops), every byte of it is the
guest's own RAM, and no byte is written that the driver meant to be read. What breaks the rules is not an exception: `fault`
says in words what it was, and from then on the queue gives nothing until it is enabled anew.

The guest does not run meanwhile, so nothing is read twice that may change; but a buffer may lie over the queue itself, which
is why `look` takes idx once for a whole round.

Source: virtio 1.2, 2.7 "Split Virtqueues".
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Any

from minivisor.arch.virtio import Avail, Descriptor
from minivisor.platform.virtio.memory import GuestMemory

__all__ = ["Chain", "Queue"]

DESCRIPTOR = Struct("<QIHH")
USED = Struct("<II")
WORD = Struct("<H")
NEXT, WRITE, INDIRECT = int(Descriptor.NEXT), int(Descriptor.WRITE), int(Descriptor.INDIRECT)
MASK16 = 0xFFFF
IDX, RING = 2, 4  # offsets in the driver's and the device's area
ALIGNMENT = {"descriptors": 16, "driver": 2, "device": 4}  # 2.7
LONGEST = 1 << 32  # bytes of a chain (2.7.4)

Segment = tuple[int, memoryview]


class Chain:
    """One request: what the driver wants read, then what it wants written, each a stream over several pieces of memory.

    readable, writable: bytes left of each. written: bytes handed out for writing so far.
    """

    def __init__(self, memory: GuestMemory, head: int) -> None:
        self.head, self._memory = head, memory
        self._from: list[Segment] = []
        self._to: list[Segment] = []
        self.readable = self.writable = self.written = 0

    def add(self, ipa: int, view: memoryview, write: bool) -> None:
        """Append the next descriptor's memory."""
        if write:
            self._to.append((ipa, view))
            self.writable += len(view)
        else:
            self._from.append((ipa, view))
            self.readable += len(view)

    def sources(self, size: int) -> Iterator[memoryview]:
        """The next `size` readable bytes, piece by piece; fewer when there are no more."""
        for _ipa, view in _cut(self._from, size):
            self.readable -= len(view)
            yield view

    def take(self, size: int) -> bytes:
        """The next `size` readable bytes, or what is left of them."""
        return b"".join(self.sources(size))

    def room(self, size: int) -> Iterator[memoryview]:
        """Where the next `size` bytes for the driver go, piece by piece; fewer when there is no more room."""
        for ipa, view in _cut(self._to, size):
            self.writable -= len(view)
            self.written += len(view)
            self._memory.wrote(ipa, len(view))
            yield view

    def skip(self, size: int) -> None:
        """Leave the next `size` writable bytes as they are."""
        for _ipa, view in _cut(self._to, size):
            self.writable -= len(view)

    def put(self, data: bytes) -> int:
        """Write bytes for the driver, as many as there is room for. Returns how many."""
        at = 0
        for view in self.room(len(data)):
            view[:] = data[at : at + len(view)]
            at += len(view)
        return at


def _cut(segments: list[Segment], size: int) -> Iterator[Segment]:
    """Take `size` bytes off the front of a list of segments."""
    while size > 0 and segments:
        ipa, view = segments[0]
        if len(view) > size:
            segments[0] = ipa + size, view[size:]
            view = view[:size]
        else:
            del segments[0]
        size -= len(view)
        if len(view):
            yield ipa, view


class Queue:
    """One queue of a device. limit: the most descriptors it may have, a power of 2.

    size: entries, as the driver chose. descriptors, driver, device: IPA of the three areas. ready: in use.
    """

    def __init__(self, memory: GuestMemory, limit: int) -> None:
        self._memory, self.limit = memory, limit
        self.reset()

    def reset(self) -> None:
        """As after power-on."""
        self.size, self.descriptors, self.driver, self.device = 0, 0, 0, 0
        self.disable()

    def disable(self) -> None:
        """QueueReady = 0: the areas are the driver's again."""
        self.ready, self.fault = False, ""
        self.indirect = self.event_idx = False
        self._taken = self._offered = self._given = self._told = 0

    def enable(self, indirect: bool, event_idx: bool) -> None:
        """QueueReady = 1: from here on the areas are used. indirect, event_idx: features that were agreed on."""
        self.disable()
        self.ready, self.indirect, self.event_idx = True, indirect, event_idx
        self._map()

    def _map(self) -> None:
        size = self.size
        if not 0 < size <= self.limit or size & size - 1:
            self.fault = f"size {size}, where a power of 2 up to {self.limit} was expected"
            return
        self._descriptors = self._area("descriptors", DESCRIPTOR.size * size)
        self._avail = self._area("driver", RING + WORD.size * size + WORD.size)
        self._used = self._area("device", RING + USED.size * size + WORD.size)

    def _area(self, name: str, size: int) -> memoryview:
        at: int = getattr(self, name)
        view = self._memory.view(at, size)
        if view is None or at % ALIGNMENT[name]:
            self.fault = (
                f"its {name} area at {at:#x}, {size} bytes, is not in RAM or not {ALIGNMENT[name]}-byte aligned"
            )
        return memoryview(b"") if view is None else view

    # ── taking ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def look(self) -> bool:
        """See how far the driver has got. Is there anything to take?"""
        if not self.ready or self.fault:
            return False
        self._offered = WORD.unpack_from(self._avail, IDX)[0]
        waiting = self._offered - self._taken & MASK16
        if waiting > self.size:
            self.fault = f"{waiting} chains are offered in a queue of {self.size}"
        return waiting > 0 and not self.fault

    @property
    def waiting(self) -> bool:
        """Is there more of what `look` saw?"""
        return self._taken != self._offered

    def take(self) -> Chain | None:
        """The next chain that `look` saw. None when there is none, or when it breaks the rules: see `fault`."""
        if self.fault or not self.ready or self._taken == self._offered:
            return None
        head = WORD.unpack_from(self._avail, RING + WORD.size * (self._taken & self.size - 1))[0]
        self._taken = self._taken + 1 & MASK16
        chain = Chain(self._memory, head)
        self.fault = self._follow(chain)
        return None if self.fault else chain

    def _follow(self, chain: Chain) -> str:
        """Walk a chain's descriptors into it. Returns what is wrong with it, "" when nothing is."""
        table, entries, at, left = self._descriptors, self.size, chain.head, self.size
        while left:
            if at >= entries:
                return f"chain {chain.head} goes on at descriptor {at} of {entries}"
            ipa, length, flags, following = DESCRIPTOR.unpack_from(table, DESCRIPTOR.size * at)
            view = self._memory.view(ipa, length)
            if flags & INDIRECT:
                wrong = self._wrong_table(length, flags, table is not self._descriptors)
                if wrong:
                    return f"chain {chain.head}, descriptor {at}: {wrong}"
            if view is None:
                return f"chain {chain.head}, descriptor {at}: [{ipa:#x}, {ipa + length:#x}) is not the guest's RAM"
            if flags & INDIRECT:
                table, entries, at = view, length // DESCRIPTOR.size, 0
                continue
            if chain.writable and not flags & WRITE:
                return f"chain {chain.head}, descriptor {at}: to be read, after one to be written"
            chain.add(ipa, view, bool(flags & WRITE))
            if not flags & NEXT:
                return "" if chain.readable + chain.writable <= LONGEST else f"chain {chain.head} is above 4 GiB"
            at, left = following, left - 1
        return f"chain {chain.head} has more than {self.size} descriptors"

    def _wrong_table(self, length: int, flags: int, inside: bool) -> str:
        """What is wrong with an indirect table (2.7.5.3.1). WRITE in the descriptor that refers to it means nothing."""
        if not self.indirect or inside:
            return "an indirect table inside another" if inside else "an indirect table, which was not agreed on"
        if flags & NEXT:
            return "an indirect table that goes on"
        return f"an indirect table of {length} bytes" if not length or length % DESCRIPTOR.size else ""

    # ── giving back ──────────────────────────────────────────────────────────────────────────────────────────────────

    def give(self, chain: Chain, written: int) -> None:
        """Return a chain to the driver. written: how many bytes from its first writable one on are valid."""
        USED.pack_into(self._used, RING + USED.size * (self._given & self.size - 1), chain.head, written)
        self._given = self._given + 1 & MASK16
        WORD.pack_into(self._used, IDX, self._given)

    def tell(self) -> bool:
        """At the end of a round: ask to be notified of what comes next. Does the driver want to hear of this round?

        With VIRTIO_F_EVENT_IDX only when used_event lies in it (2.7.7.1), otherwise unless it said not to.
        """
        before, self._told = self._told, self._given
        if before == self._given or not self.ready:
            return False
        self._memory.wrote(self.device, len(self._used))
        if not self.event_idx:
            flags: int = WORD.unpack_from(self._avail, 0)[0]
            return not flags & Avail.NO_INTERRUPT
        wanted: int = WORD.unpack_from(self._avail, RING + WORD.size * self.size)[0]
        return (self._given - wanted - 1 & MASK16) < (self._given - before & MASK16)

    def ask(self) -> None:
        """Ask to be notified of the next chain (2.7.10): flags stay 0, and avail_event is the one we have not taken."""
        if self.ready and not self.fault and self.event_idx:
            WORD.pack_into(self._used, RING + USED.size * self.size, self._taken)
            self._memory.wrote(self.device + RING + USED.size * self.size, WORD.size)

    # ── snapshots ────────────────────────────────────────────────────────────────────────────────────────────────────

    FIELDS = ("size", "descriptors", "driver", "device", "ready", "fault", "indirect", "event_idx",
              "_taken", "_offered", "_given", "_told")  # fmt: skip

    def state(self) -> dict[str, Any]:
        """Everything a snapshot needs beside guest memory."""
        return {name: getattr(self, name) for name in self.FIELDS}

    def load(self, state: dict[str, Any]) -> None:
        """Go back to what `state` returned."""
        if state["ready"]:
            self.size = state["size"]
            self.descriptors, self.driver, self.device = state["descriptors"], state["driver"], state["device"]
            self._map()
        for name in self.FIELDS:
            setattr(self, name, state[name])
