"""A driver as the specification tells it, step by step and without haste: it lays queues out in memory, byte by byte.

It shares no line with the devices: every number below is from virtio 1.2, sections 2.7, 3.1 and 4.2.2.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

BASE = 0x4000_0000
SIZE = 1 << 20
NEXT, WRITE, INDIRECT = 1, 2, 4
VERSION_1, EVENT_IDX, INDIRECT_DESC = 1 << 32, 1 << 29, 1 << 28


class Ram:
    """Memory of a guest, and a heap that only grows. writes: [(ipa, size)] of what devices say they wrote."""

    def __init__(self, size: int = SIZE) -> None:
        self.bytes = bytearray(size)
        self.writes: list[tuple[int, int]] = []
        self.top = BASE

    def alloc(self, size: int, align: int = 16) -> int:
        at = -(-self.top // align) * align
        self.top = at + size
        assert self.top <= BASE + len(self.bytes), "the test needs more memory"
        return at

    def write(self, at: int, data: bytes) -> None:
        self.bytes[at - BASE : at - BASE + len(data)] = data

    def read(self, at: int, size: int) -> bytes:
        return bytes(self.bytes[at - BASE : at - BASE + size])

    def store(self, data: bytes) -> int:
        at = self.alloc(len(data), 1)
        self.write(at, data)
        return at

    def u16(self, at: int) -> int:
        return int.from_bytes(self.read(at, 2), "little")


@dataclass
class Done:
    """A chain that came back: its head, how many bytes the device says it wrote, and what is in its writable parts."""

    head: int
    length: int
    data: bytes


class Queue:
    """One queue: descriptors are taken in turn and never reused before they came back."""

    def __init__(self, ram: Ram, size: int, event_idx: bool) -> None:
        self.ram, self.size, self.event_idx = ram, size, event_idx
        self.descriptors = ram.alloc(16 * size, 16)
        self.driver = ram.alloc(6 + 2 * size, 2)
        self.device = ram.alloc(6 + 8 * size, 4)
        self.free = list(range(size))
        self.idx = self.seen = 0
        self.chains: dict[int, tuple[list[int], list[tuple[int, int]]]] = {}

    def descriptor(self, number: int, address: int, length: int, flags: int, following: int = 0) -> None:
        self.ram.write(self.descriptors + 16 * number, struct.pack("<QIHH", address, length, flags, following))

    def offer(self, head: int) -> None:
        self.ram.write(self.driver + 4 + 2 * (self.idx % self.size), struct.pack("<H", head))
        self.idx = (self.idx + 1) % 0x10000
        self.ram.write(self.driver + 2, struct.pack("<H", self.idx))

    def add(self, readable: Sequence[bytes] = (), writable: Sequence[int] = (), indirect: bool = False) -> int:
        """Offer buffers: copies of `readable`, then rooms of these sizes. Returns the head."""
        parts = [(self.ram.store(data), len(data), 0) for data in readable]
        rooms = [(self.ram.alloc(size, 1), size) for size in writable]
        parts += [(at, size, WRITE) for at, size in rooms]
        if indirect:
            table = b"".join(
                struct.pack(
                    "<QIHH", at, size, flags | (NEXT if n + 1 < len(parts) else 0), n + 1 if n + 1 < len(parts) else 0
                )
                for n, (at, size, flags) in enumerate(parts)
            )
            mine = [self.free.pop(0)]
            self.descriptor(mine[0], self.ram.store(table), len(table), INDIRECT)
        else:
            mine = [self.free.pop(0) for _ in parts]
            for n, (at, size, flags) in enumerate(parts):
                more = n + 1 < len(parts)
                self.descriptor(mine[n], at, size, flags | (NEXT if more else 0), mine[n + 1] if more else 0)
        self.chains[mine[0]] = mine, rooms
        self.offer(mine[0])
        return mine[0]

    def collect(self) -> list[Done]:
        """Everything that came back since the last time."""
        done = []
        while self.seen != self.ram.u16(self.device + 2):
            at = self.device + 4 + 8 * (self.seen % self.size)
            head, length = struct.unpack("<II", self.ram.read(at, 8))
            mine, rooms = self.chains.pop(head)
            self.free += mine
            done.append(Done(head, length, b"".join(self.ram.read(at, size) for at, size in rooms)))
            self.seen = (self.seen + 1) % 0x10000
        if self.event_idx:
            self.ram.write(self.driver + 4 + 2 * self.size, struct.pack("<H", self.seen))
        return done

    def must_kick(self, before: int) -> bool:
        """Does the device want to hear of what was offered since idx was `before`? (2.7.10)"""
        if not self.event_idx:
            return not self.ram.u16(self.device) & 1
        event = self.ram.u16(self.device + 4 + 8 * self.size)
        return (self.idx - event - 1) % 0x10000 < (self.idx - before) % 0x10000


class Driver:
    """Drives a device through `registers`, anything with read(offset, width) and write(offset, width, value)."""

    def __init__(self, registers: Any, ram: Ram) -> None:
        self.registers, self.ram = registers, ram
        self.queues: list[Queue] = []

    def get(self, offset: int) -> int:
        value: int = self.registers.read(offset, 4)
        return value

    def set(self, offset: int, value: int) -> None:
        self.registers.write(offset, 4, value)

    @property
    def status(self) -> int:
        return self.get(0x70)

    def offered(self) -> int:
        features = 0
        for word in (0, 1):
            self.set(0x14, word)
            features |= self.get(0x10) << 32 * word
        return features

    def start(self, wanted: int | None = None, size: int = 16) -> Driver:
        """Device initialization (3.1.1): reset to DRIVER_OK. wanted: features, all that is offered unless given."""
        assert (self.get(0), self.get(4)) == (0x74726976, 2)
        self.set(0x70, 0)
        assert self.status == 0
        self.set(0x70, 1)
        self.set(0x70, 1 | 2)
        features = self.offered() if wanted is None else wanted
        for word in (0, 1):
            self.set(0x24, word)
            self.set(0x20, features >> 32 * word & 0xFFFF_FFFF)
        self.set(0x70, 1 | 2 | 8)
        assert self.status & 8, "the features were not accepted"
        self.queues = []
        while True:
            self.set(0x30, len(self.queues))
            assert self.get(0x44) == 0
            if not self.get(0x34):
                break
            self._queue(min(size, self.get(0x34)), bool(features & EVENT_IDX))
        self.set(0x70, 1 | 2 | 8 | 4)
        return self

    def _queue(self, size: int, event_idx: bool) -> None:
        queue = Queue(self.ram, size, event_idx)
        self.set(0x38, size)
        for offset, address in ((0x80, queue.descriptors), (0x90, queue.driver), (0xA0, queue.device)):
            self.set(offset, address & 0xFFFF_FFFF)
            self.set(offset + 4, address >> 32)
        self.set(0x44, 1)
        assert self.get(0x44) == 1
        self.queues.append(queue)

    def kick(self, queue: int = 0) -> None:
        self.set(0x50, queue)

    def acknowledge(self) -> int:
        """Take the interrupt: returns InterruptStatus, and clears it."""
        status = self.get(0x60)
        self.set(0x64, status)
        return status

    def request(
        self, readable: Sequence[bytes] = (), writable: Sequence[int] = (), queue: int = 0, indirect: bool = False
    ) -> Done:
        """Offer one chain and have it served."""
        head = self.queues[queue].add(readable, writable, indirect)
        self.kick(queue)
        (done,) = self.queues[queue].collect()
        assert done.head == head
        return done

    def config(self, offset: int, width: int) -> int:
        value: int = self.registers.read(0x100 + offset, width)
        return value
