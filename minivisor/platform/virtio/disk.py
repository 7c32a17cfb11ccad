"""What a block device stores to: bytes in memory, or a file of the host's.

A file keeps its size from beginning to end. Every write goes to it at once, unbuffered, in whole sectors, so whenever the
run ends, and however, each sector is either the old or the new one; `flush` puts them on the medium. The file is locked as
long as it is open (`lock`), for this program and for others.

Zeroes are written only where the file has data: a sparse file stays sparse.
"""

from __future__ import annotations

import os
import stat
from io import FileIO
from pathlib import Path
from typing import Protocol

from minivisor.errors import OptionError, fault
from minivisor.platform.virtio.lock import lock

__all__ = ["SECTOR", "Disk", "FileDisk", "MemoryDisk", "open_disk"]

SECTOR = 512
ZEROES = bytes(1 << 16)
SEEK_DATA, SEEK_HOLE = getattr(os, "SEEK_DATA", None), getattr(os, "SEEK_HOLE", None)


class Disk(Protocol):
    """Bytes that stay. size: a multiple of SECTOR. Offsets are inside; what the host refuses is an OSError."""

    size: int
    read_only: bool
    name: str

    def read(self, offset: int, into: memoryview) -> None: ...

    def write(self, offset: int, data: memoryview) -> None: ...

    def zero(self, offset: int, size: int) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class MemoryDisk:
    """A disk that is gone with the run. content: its first state, or its size in bytes."""

    def __init__(self, content: bytes | int, read_only: bool = False, name: str = "memory") -> None:
        self.data = bytearray(content)
        self.size, self.read_only, self.name = len(self.data), read_only, name
        if not self.size or self.size % SECTOR:
            raise OptionError(fault(f"disk {name!r}", f"{self.size} bytes", f"a multiple of {SECTOR}, above 0"))

    def read(self, offset: int, into: memoryview) -> None:
        """Fill `into` from a byte offset on."""
        into[:] = self.data[offset : offset + len(into)]

    def write(self, offset: int, data: memoryview) -> None:
        """Store bytes at an offset."""
        self.data[offset : offset + len(data)] = data

    def zero(self, offset: int, size: int) -> None:
        """Store zeroes."""
        self.data[offset : offset + size] = bytes(size)

    def flush(self) -> None:
        """There is no medium below."""

    def close(self) -> None:
        """Nothing is held."""


class FileDisk:
    """A disk in a file, locked until `close`. Raises OptionError when it cannot be one: missing, locked, odd size."""

    def __init__(self, path: str | Path, read_only: bool = False) -> None:
        self.name, self.read_only = Path(path).name, read_only
        self._file = _open(Path(path), read_only)
        try:
            self.size = _checked_size(self._file, str(path), read_only)
        except OptionError:
            self._file.close()
            raise

    def read(self, offset: int, into: memoryview) -> None:
        """Fill `into` from a byte offset on. OSError when the file has become shorter meanwhile."""
        self._file.seek(offset)
        while into:
            count = self._file.readinto(into)
            if not count:
                raise OSError(f"{self.name}: no more bytes at {offset}")
            into = into[count:]

    def write(self, offset: int, data: memoryview) -> None:
        """Store bytes at an offset, past all buffers of this program."""
        self._file.seek(offset)
        while data:
            data = data[self._file.write(data) :]

    def zero(self, offset: int, size: int) -> None:
        """Store zeroes where there is data."""
        end = offset + size
        while offset < end:
            first, last = self._data(offset, end)
            for at in range(first, last, len(ZEROES)):
                self.write(at, memoryview(ZEROES)[: last - at])
            offset = max(last, offset + 1)

    def _data(self, offset: int, end: int) -> tuple[int, int]:
        """The first extent in [offset, end) that is no hole; (end, end) when all of it is."""
        if SEEK_DATA is None or SEEK_HOLE is None:
            return offset, end
        try:
            first = min(self._file.seek(offset, SEEK_DATA), end)
        except OSError:  # ENXIO: nothing but a hole from here on
            return end, end
        return first, min(self._file.seek(first, SEEK_HOLE), end) if first < end else end

    def flush(self) -> None:
        """Put everything written so far on the medium."""
        if not self.read_only:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Give the file back, everything on the medium."""
        if not self._file.closed:
            self.flush()
            self._file.close()


def open_disk(text: str) -> FileDisk:
    """A disk from FILE, FILE:ro or FILE:rw, as `--disk` takes it. Raises OptionError."""
    file, colon, mode = text.rpartition(":")
    if not colon or mode not in ("ro", "rw"):
        file, mode = text, "rw"
    return FileDisk(file, mode == "ro")


def _open(path: Path, read_only: bool) -> FileIO:
    wanted = "a disk image that can be read" if read_only else "a disk image that can be read and written (or FILE:ro)"
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would make us wait for ever
            raise OptionError(fault("--disk", f"{path}, which is not a regular file", wanted))
        return FileIO(path, "rb" if read_only else "rb+")
    except (OSError, ValueError) as problem:
        why = getattr(problem, "strerror", None) or problem
        raise OptionError(fault("--disk", f"{path} ({why})", wanted)) from None


def _checked_size(file: FileIO, path: str, read_only: bool) -> int:
    if not lock(file.fileno(), read_only):
        raise OptionError(
            fault("--disk", f"{path}, which is in use", "a disk image that no other guest or program has open")
        )
    size = file.seek(0, os.SEEK_END)
    if not size or size % SECTOR:
        raise OptionError(fault("--disk", f"{path} of {size} bytes", f"whole sectors of {SECTOR} bytes, at least one"))
    return size
