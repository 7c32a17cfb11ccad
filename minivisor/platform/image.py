"""Guest images: an ELF executable, a Linux `Image` (packed or not) or a flat binary, as pieces to be copied into RAM.

An initial RAM disk is one more piece: it goes behind the kernel, to the next 2 MiB, and the device tree says where.

Nothing of a file is trusted: every size and offset is checked against the file and against RAM before a byte is copied.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.construct.core import ConstructError
from elftools.elf.elffile import ELFFile

from minivisor.errors import GuestImageError
from minivisor.platform import linux_image
from minivisor.platform.linux_image import ALIGNMENT, unpacked

__all__ = ["FLAT_OFFSET", "TREE_ROOM", "Image", "load_image", "with_initrd"]

FLAT_OFFSET = 0x8_0000  # where the arm64 boot protocol puts a flat image, from the start of RAM
LARGEST = 1 << 30  # bytes of a file: debug information may be larger than RAM, but not by any amount
TREE_ROOM = 0x1_0000  # bytes for the device tree, at the start of RAM
FLAT_ROOM = 1 << 20  # or, for a flat image, at least so far behind its last byte
EM_AARCH64 = "EM_AARCH64"


@dataclass(frozen=True, slots=True)
class Image:
    """pieces: (intermediate physical address, bytes, size in memory; the rest is zero). entry: where vCPU 0 starts.

    tree: where its device tree goes, with TREE_ROOM. initrd: where its RAM disk begins, and the address after it.
    """

    name: str
    entry: int
    pieces: tuple[tuple[int, bytes, int], ...]
    tree: int
    initrd: tuple[int, int] | None = None


def load_image(source: str | Path, ram_base: int, ram_size: int) -> Image:
    """Read an image that must fit RAM [ram_base, ram_base + ram_size). Raises GuestImageError, one line."""
    path = Path(source)
    data = unpacked(path, _read(path))
    if not data:
        raise GuestImageError(f"guest image: {path} is empty; an ELF for AArch64, an Image or a flat binary was expected")
    image = _parse_elf(path, data, ram_base) if data[:4] == b"\x7fELF" else _parse_binary(path, data, ram_base, ram_size)
    for address, _content, size in image.pieces:
        if not ram_base <= address <= address + size <= ram_base + ram_size:
            raise GuestImageError(
                f"guest image: {path} wants [{address:#x}, {address + size:#x}), outside RAM "
                f"[{ram_base:#x}, {ram_base + ram_size:#x}); link it there or give --memory"
            )
    if not any(address <= image.entry < address + size for address, _content, size in image.pieces):
        raise GuestImageError(f"guest image: {path} starts at {image.entry:#x}, where it loads nothing")
    return image


def with_initrd(image: Image, source: str | Path, ram_base: int, ram_size: int) -> Image:
    """The same image with an initial RAM disk behind it. Raises GuestImageError when that cannot be read or does not fit."""
    path = Path(source)
    data = _read(path)
    end = max(image.tree + TREE_ROOM, *(address + size for address, _content, size in image.pieces))
    start = -(-end // ALIGNMENT) * ALIGNMENT
    room = max(ram_base + ram_size - start, 0)
    if not data or len(data) > room:
        raise GuestImageError(
            f"initrd: {path} has {len(data)} bytes; 1 to {room} were expected, behind the kernel's last byte at {end - 1:#x} "
            f"and within RAM (--memory)"
        )
    return replace(image, pieces=(*image.pieces, (start, data, len(data))), initrd=(start, start + len(data)))


def _parse_binary(path: Path, data: bytes, ram_base: int, ram_size: int) -> Image:
    """An Image goes where its header says, from the first 2 MiB boundary that leaves the device tree alone.

    A flat file does not say how much it needs behind its last byte, for a stack or for data that are zero: its tree keeps
    away from there, as kvm-unit-tests expect, if RAM is large enough.
    """
    linux = linux_image.header(path, data)
    if linux is None:
        end = ram_base + FLAT_OFFSET + len(data)
        tree = -(-(end + FLAT_ROOM) // ALIGNMENT) * ALIGNMENT
        tree = tree if tree + TREE_ROOM <= ram_base + ram_size else ram_base
        return Image(path.name, ram_base + FLAT_OFFSET, ((ram_base + FLAT_OFFSET, data, len(data)),), tree)
    start = ram_base + linux.text_offset + (ALIGNMENT if linux.text_offset < TREE_ROOM else 0)
    return Image(path.name, start, ((start, data, linux.size),), ram_base)


def _read(path: Path) -> bytes:
    """The file, if it is one: a device or a pipe may have no end."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise GuestImageError(f"guest image: {path} is a device or a pipe; an ELF or flat file was expected")
        if path.is_file() and path.stat().st_size > LARGEST:
            raise GuestImageError(f"guest image: {path} is larger than {LARGEST >> 20} MiB, more than a guest can be")
        return path.read_bytes()
    except OSError as problem:
        raise GuestImageError(
            f"guest image: {path} cannot be read ({problem.strerror}); an ELF or flat file was expected"
        ) from None


def _check_apart(path: Path, segments: list[dict[str, int]]) -> None:
    """No two segments share an address: the file would say two things of one byte, and could ask for any amount."""
    end = 0
    for segment in sorted(segments, key=lambda segment: segment["p_paddr"]):
        if segment["p_paddr"] < end:
            raise GuestImageError(f"guest image: {path} has segments that overlap at {segment['p_paddr']:#x}")
        end = segment["p_paddr"] + segment["p_memsz"]


def _parse_elf(path: Path, data: bytes, ram_base: int) -> Image:
    try:
        elf = ELFFile(io.BytesIO(data))
        header = elf.header
        if header["e_machine"] != EM_AARCH64 or elf.elfclass != 64 or not elf.little_endian:
            raise GuestImageError(
                f"guest image: {path} is for {header['e_machine']}, {elf.elfclass} bits; little-endian AArch64 was expected"
            )
        if header["e_type"] != "ET_EXEC":
            raise GuestImageError(
                f"guest image: {path} is {header['e_type']}; a statically linked executable (ET_EXEC) was expected"
            )
        segments = [segment.header for segment in elf.iter_segments() if segment.header["p_type"] == "PT_LOAD"]
    except (
        ELFError,
        ConstructError,
        ValueError,
        KeyError,
        UnicodeDecodeError,
        OverflowError,
        AttributeError,
        TypeError,
    ) as problem:
        raise GuestImageError(
            f"guest image: {path} is a damaged ELF file ({problem}); AArch64 ET_EXEC was expected"
        ) from None
    segments = [segment for segment in segments if segment["p_memsz"]]
    _check_apart(path, segments)
    pieces = tuple(_piece(path, data, segment) for segment in segments)
    if not pieces:
        raise GuestImageError(
            f"guest image: {path} has nothing to load (no PT_LOAD segment); AArch64 ET_EXEC was expected"
        )
    return Image(path.name, _physical_entry(header["e_entry"], segments), pieces, ram_base)


def _piece(path: Path, data: bytes, segment: dict[str, int]) -> tuple[int, bytes, int]:
    offset, size, memory = segment["p_offset"], segment["p_filesz"], segment["p_memsz"]
    if offset + size > len(data) or size > memory:
        raise GuestImageError(
            f"guest image: {path} is truncated or lies: a segment of {size} bytes at offset {offset} ({memory} in memory), "
            f"in a file of {len(data)}"
        )
    return segment["p_paddr"], data[offset : offset + size], memory


def _physical_entry(entry: int, segments: list[dict[str, int]]) -> int:
    """The entry point is virtual when the kernel is linked high; the MMU is off, so start at its physical address."""
    for segment in segments:
        if segment["p_vaddr"] <= entry < segment["p_vaddr"] + segment["p_memsz"]:
            return entry - segment["p_vaddr"] + segment["p_paddr"]
    return entry
