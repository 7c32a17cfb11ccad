"""Physical memory: one array of bytes. Unicorn maps these very bytes, the walk reads them, devices and loaders write them.

Nothing is ever copied to or from the engine. The pages are anonymous memory, so RAM that no guest touched costs nothing.
"""

from __future__ import annotations

import mmap

import numpy as np

from minivisor.errors import MinivisorError

__all__ = ["PAGE_SIZE", "PhysicalMemory"]

PAGE_SIZE = 4096


class PhysicalMemory:
    """RAM of `size` bytes from physical address `base`; both page aligned.

    bytes: uint8[size]. words: uint64[size / 8], the same memory.
    """

    def __init__(self, base: int, size: int) -> None:
        if base % PAGE_SIZE or size % PAGE_SIZE or size <= 0:
            raise MinivisorError(f"memory: base {base:#x} and size {size:#x} must be multiples of {PAGE_SIZE} bytes")
        self.base, self.size = base, size
        try:
            self._pages = mmap.mmap(-1, size)
        except OSError as problem:
            raise MinivisorError(f"memory: the host has no {size >> 20} MiB to give ({problem.strerror})") from None
        self.bytes: np.ndarray = np.frombuffer(self._pages, dtype=np.uint8)
        self.words: np.ndarray = self.bytes.view(np.uint64)

    def span(self, pa: int, size: int) -> np.ndarray:
        """uint8[size] view from a physical address. Raises MinivisorError outside RAM."""
        offset = pa - self.base
        if offset < 0 or size < 0 or offset + size > self.size:
            raise MinivisorError(
                f"memory: [{pa:#x}, {pa + size:#x}) is outside RAM [{self.base:#x}, {self.base + self.size:#x})"
            )
        return self.bytes[offset : offset + size]

    def read(self, pa: int) -> int:
        """The 64-bit word at a physical address, 8-byte aligned."""
        return int(self.span(pa, 8).view(np.uint64)[0])

    def write(self, pa: int, value: int) -> None:
        """Store a 64-bit word at a physical address, 8-byte aligned."""
        self.span(pa, 8).view(np.uint64)[0] = value
