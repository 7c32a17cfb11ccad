"""Where the engine keeps its registers: an address in its own memory, found by looking and believed after a comparison.

Unicorn has no call that gives a syndrome or the exclusive monitor; a saved context has them, and to save one copies 12 KB.
The context is a plain copy of the engine's register file, so once that is found, what an offset in the context names can be
read and written in place: an exception costs a few loads instead of a copy.

    uc_engine { … CPUState *cpu … }   *cpu { … X0 X1 X2 X3 … }        X0..X3 hold a pattern that nothing else holds

Pointers are followed with a system call that refuses an address which is not ours to read, instead of ending the process.
Where nothing is found, or what is found is not equal to a saved context, the answer is 0, and contexts are saved as before.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from typing import Any

from unicorn import Uc
from unicorn import arm64_const as arm64
from unicorn.unicorn_py3.unicorn import uclib

__all__ = ["live_context", "readable"]

PATTERN = tuple(0x5EA1_ED00_0000_0000 | n * 0x1234_5678_9ABB for n in (1, 2, 3, 4))
MARK = b"".join(value.to_bytes(8, "little") for value in PATTERN)
ENGINE_BYTES, STEP, LONGEST = 4096, 4096, 1 << 18  # of uc_engine before `cpu`; of one look; of CPUState before X0
REGISTERS = [arm64.UC_ARM64_REG_X0 + n for n in range(len(PATTERN))]


def readable(address: int, size: int) -> bytes:
    """The bytes at an address of this process, at most `size`, fewer or none where it has no memory. size: at most 4096."""
    if sys.platform == "win32":
        got, buffer = ctypes.c_size_t(), ctypes.create_string_buffer(size)
        kernel = ctypes.WinDLL("kernel32")
        here = ctypes.c_void_p(-1)  # GetCurrentProcess()
        kernel.ReadProcessMemory(here, ctypes.c_void_p(address), buffer, ctypes.c_size_t(size), ctypes.byref(got))
        return buffer.raw[: got.value]
    read, write = os.pipe()
    try:
        function = _libc().write
        function.restype, function.argtypes = ctypes.c_ssize_t, [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
        written = function(write, address, size)
        return os.read(read, written) if written > 0 else b""
    finally:
        os.close(read)
        os.close(write)


@functools.cache
def _libc() -> Any:
    return ctypes.CDLL(None)


def _search(address: int) -> int | None:
    """How far behind an address the pattern is."""
    before = b""
    for at in range(0, LONGEST, STEP):
        page = readable(address + at, STEP)
        found = (before + page).find(MARK)
        if found >= 0:
            return at - len(before) + found
        if len(page) < STEP:
            return None
        before = page[-len(MARK) :]
    return None


def _path(handle: int) -> tuple[int, int] | None:
    """(where in uc_engine the pointer is, how far behind its target X0 is); the same in every engine of this build."""
    engine = readable(handle, ENGINE_BYTES)
    for at in range(0, len(engine) - 7, 8):
        pointer = int.from_bytes(engine[at : at + 8], "little")
        if pointer % 8 == 0 and 1 << 16 <= pointer < 1 << 56 and (offset := _search(pointer)) is not None:
            return at, offset
    return None


_known: list[tuple[int, int]] = []


def live_context(uc: Uc, handle: int, context: int, size: int, x0: int) -> int:
    """The address from which the offsets in a saved context count in the engine itself; 0 where that is not found.

    context, size: a buffer for contexts, which is written. x0: the offset of X0 in it. X0..X3 are left 0.
    """
    for register, value in zip(REGISTERS, PATTERN, strict=True):
        uc.reg_write(register, value)
    try:
        path = _known[0] if _known else _path(handle)
        if path is None:
            return 0
        pointer = int.from_bytes(readable(handle + path[0], 8), "little")
        address = pointer + path[1] - x0
        uclib.uc_context_save(uc._uch, ctypes.c_void_p(context))
        if not _same(address + x0, context + x0, size - x0):
            return 0
        _known[:] = [path]
        return address
    finally:
        for register in REGISTERS:
            uc.reg_write(register, 0)


def _same(live: int, saved: int, size: int) -> bool:
    """Are so many bytes equal?"""
    return all(
        readable(live + at, min(STEP, size - at)) == ctypes.string_at(saved + at, min(STEP, size - at))
        for at in range(0, size, STEP)
    )
