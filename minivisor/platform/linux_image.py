"""The arm64 boot protocol: what a kernel `Image` asks for, and where its initial RAM disk goes.

    offset  size  Image header (Linux, Documentation/arm64/booting.rst, section 4)
      0x00     8  code0, code1     the first instruction; with an EFI stub it spells "MZ"
      0x08     8  text_offset      from a 2 MiB boundary to the first byte of the image
      0x10     8  image_size       with its BSS; zero before Linux 3.17
      0x18     8  flags            bit 0 big-endian; bits 2:1 page size, 0 unknown, 1 4 KiB, 2 16 KiB, 3 64 KiB
      0x38     4  magic            "ARM\\x64"

    RAM  ┌─────────────┬──────────────────────────────┬───────────────┬───────────────────┬─────────────┐
         │ device tree │ … 2 MiB + text_offset: Image │ its BSS       │ 2 MiB: initrd     │ framebuffer │
         └─────────────┴──────────────────────────────┴───────────────┴───────────────────┴─────────────┘

An image carries no checksum and no length of its own file, but an EFI stub lists its sections: a file that ends before the
last of them was cut short. Nothing here trusts a number before it is compared with the file.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import NamedTuple

from minivisor.errors import GuestImageError

__all__ = ["ALIGNMENT", "Header", "header", "unpacked"]

ALIGNMENT = 2 << 20
LARGEST = 1 << 30  # bytes: a small file may claim to unpack to any amount
MAGIC, MAGIC_AT = b"ARM\x64", 0x38
FIELDS = struct.Struct("<QQQQ")
BIG_ENDIAN, PAGE_SIZES = 1, (0, 4, 16, 64)
GZIP = b"\x1f\x8b"
PE_AT, PE_MAGIC = 0x3C, b"PE\0\0"
SECTION = struct.Struct("<8x4I16x")  # VirtualSize, VirtualAddress, SizeOfRawData, PointerToRawData
COFF = struct.Struct("<4s2xH12xH2x")  # signature, NumberOfSections, SizeOfOptionalHeader


class Header(NamedTuple):
    """text_offset, size: bytes. size: of the kernel in memory, never less than its file."""

    text_offset: int
    size: int


def unpacked(path: Path, data: bytes) -> bytes:
    """The kernel in a gzip file, or the file as it is. Raises GuestImageError for a damaged or endless one."""
    if data[:2] != GZIP:
        return data
    unpacker = zlib.decompressobj(wbits=31)
    try:
        content = unpacker.decompress(data, LARGEST)
    except zlib.error as problem:
        raise GuestImageError(f"guest image: {path} is a damaged gzip file ({problem}); a packed Image was expected") from None
    if unpacker.unconsumed_tail:
        raise GuestImageError(f"guest image: {path} unpacks to more than {LARGEST >> 20} MiB, more than a guest can be")
    if not unpacker.eof:
        raise GuestImageError(f"guest image: {path} is truncated: its gzip data ends in the middle, after {len(data)} bytes")
    return content


def header(path: Path, data: bytes) -> Header | None:
    """What an arm64 Image asks for; None when the file is not one. Raises GuestImageError for one that cannot run here."""
    if data[MAGIC_AT : MAGIC_AT + len(MAGIC)] != MAGIC:
        return None
    _code, text_offset, size, flags = FIELDS.unpack_from(data)
    page = PAGE_SIZES[flags >> 1 & 3]
    if flags & BIG_ENDIAN or page > 4:
        wants = "big-endian data" if flags & BIG_ENDIAN else f"{page} KiB pages"
        raise GuestImageError(f"guest image: {path} wants {wants}; this core has little-endian data and 4 KiB pages")
    if text_offset >= ALIGNMENT:
        raise GuestImageError(f"guest image: {path} has text_offset {text_offset:#x}; less than 2 MiB was expected")
    needed = _last_byte(data)
    if len(data) < needed:
        raise GuestImageError(f"guest image: {path} is truncated: its sections end at byte {needed}, the file at {len(data)}")
    return Header(text_offset, max(size, len(data)))


def _last_byte(data: bytes) -> int:
    """Where the last section of an EFI stub ends in the file; 0 without one (PE format, "COFF file header")."""
    start = int.from_bytes(data[PE_AT : PE_AT + 4], "little")
    if data[:2] != b"MZ" or start + COFF.size > len(data):
        return 0
    signature, sections, optional = COFF.unpack_from(data, start)
    table = start + COFF.size + optional
    if signature != PE_MAGIC:
        return 0
    ends: list[int] = [table + sections * SECTION.size]
    for number in range(sections):
        at = table + number * SECTION.size
        if at + SECTION.size <= len(data):
            _virtual, _address, size, offset = SECTION.unpack_from(data, at)
            ends.append(offset + size)
    return max(ends)
