"""Trace files: written whole or not at all, and read without trust.

    offset  size
         0     8   magic, not text: an editor or a transfer that changes line ends breaks it
         8     4   version, u32
        12     4   header length, u32
        16    32   blake2b over the 16 bytes before it, the header and the columns
        48     h   header: JSON with counts, columns, texts, metadata, digest
      48+h         the columns of DTYPE one after the other, raw, little-endian
         …         rows of the input log that are older than those records, whole, 80 bytes each

A file may come from anyone. Nothing in it is executed, no size in it is believed before it is compared with the file's
own, and every number that names something (a kind, a member, a text) is checked here, so that readers of a loaded trace
need not. Whatever is wrong ends as one TraceError.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from struct import Struct
from typing import Any

import numpy as np

from minivisor.errors import TraceError, fault
from minivisor.trace.codec import problem
from minivisor.trace.digest import digest_of
from minivisor.trace.records import COLUMNS, DTYPE, NOBODY, Rows

__all__ = ["MAGIC", "VERSION", "Document", "Metadata", "read", "write"]

MAGIC = b"\x89MVTRACE"
VERSION = 2
PREFIX = Struct("<8sII")
CHECKSUM = 32
START = PREFIX.size + CHECKSUM
LARGEST_FILE = 1 << 32
LARGEST_HEADER = 1 << 24
SEE = "minivisor/trace/file.py"


@dataclass(frozen=True)
class Metadata:
    """What a trace was recorded on. Not part of the digest.

    personas: a name for each vCPU index. extra: further settings, words to words.
    """

    board: str = ""
    cost_model: str = ""
    seed: int = 0
    mmu: str = ""
    personas: tuple[str, ...] = ()
    extra: Mapping[str, str] = field(default_factory=dict)

    def name(self, vcpu: int) -> str:
        """The persona of a vCPU, or its number."""
        if vcpu == NOBODY:
            return "-"
        return self.personas[vcpu] if vcpu < len(self.personas) else f"vcpu{vcpu}"


@dataclass(frozen=True)
class Document:
    """What a trace file holds: the kept rows, how many were lost before them, and the digest over all of them.

    log: what of the lost ones came from outside; log_lost: how many of those are not there either.
    """

    metadata: Metadata
    rows: Rows
    lost: int
    texts: tuple[str, ...]
    digest: str
    log: Rows = field(default_factory=lambda: np.zeros(0, DTYPE))
    log_lost: int = 0


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def write(document: Document, path: Path) -> None:
    """Write beside `path` and move into place, so that no reader ever sees half a file. TraceError when it cannot."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        try:
            with temporary.open("xb") as stream:
                stream.write(pack(document))
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise TraceError(f"trace file {path}: cannot write: {error.strerror or error}") from None


def pack(document: Document) -> bytes:
    """A document as the bytes of a file."""
    header = {
        "records": len(document.rows),
        "lost": document.lost,
        "log": len(document.log),
        "log_lost": document.log_lost,
        "digest": document.digest,
        "columns": _layout(),
        "texts": document.texts,
        "metadata": asdict(document.metadata),
    }
    body = json.dumps(header).encode()
    columns = b"".join(np.ascontiguousarray(document.rows[name]).tobytes() for name in COLUMNS)
    prefix = PREFIX.pack(MAGIC, VERSION, len(body))
    content = body + columns + document.log.tobytes()
    return prefix + checksum(prefix, content) + content


def checksum(prefix: bytes, rest: bytes) -> bytes:
    return hashlib.blake2b(prefix + rest, digest_size=CHECKSUM).digest()


def _layout() -> list[list[str]]:
    return [[name, DTYPE[name].str] for name in COLUMNS]


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def read(path: Path) -> Document:
    """Read and check a file. TraceError, in one line, for whatever is not a trace of this version."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise _wrong(path, "something that is no regular file", "a trace file")
        if status.st_size > LARGEST_FILE:
            raise _wrong(path, f"{status.st_size:,} bytes", f"at most {LARGEST_FILE:,}")
        with path.open("rb") as stream:
            content = stream.read(status.st_size)
    except (OSError, ValueError) as error:
        raise TraceError(f"trace file {path}: cannot read: {getattr(error, 'strerror', None) or error}") from None
    return _unpack(content, path)


def _wrong(path: Path, given: object, expected: str) -> TraceError:
    return TraceError(fault(f"trace file {path}", given, expected, SEE))


def _unpack(content: bytes, path: Path) -> Document:
    length = _check_prefix(content, path)
    header = _parse(content[START : START + length], path)
    rows, log = _columns(content, START + length, header, path)
    texts, metadata = tuple(header["texts"]), _metadata(header, path)
    document = Document(metadata, rows, header["lost"], texts, header["digest"], log, header["log_lost"])
    found = problem(rows, len(texts)) or problem(log, len(texts))
    if found or len(log) + document.log_lost > document.lost:
        raise _wrong(path, found or f"a log of {len(log):,} records that were lost", "records of this version")
    if not document.lost:
        computed = digest_of(rows, document.texts)
        if computed != document.digest:
            raise _wrong(path, f"digest {document.digest}", f"{computed}, that of its records")
    return document


def _check_prefix(content: bytes, path: Path) -> int:
    """Magic, version, lengths, checksum. Returns the header's length in bytes."""
    if len(content) < len(MAGIC) or not content.startswith(MAGIC):
        raise _wrong(path, f"a file that begins with {content[:8]!r}", f"a trace, which begins with {MAGIC!r}")
    if len(content) < START:
        raise _wrong(path, f"{len(content)} bytes", f"at least {START}: it is truncated")
    _, version, length = PREFIX.unpack_from(content)
    if version != VERSION:
        raise _wrong(path, f"version {version}", f"version {VERSION}")
    if length > LARGEST_HEADER or START + length > len(content):
        raise _wrong(path, f"a header of {length:,} bytes", f"one inside the file's {len(content):,}: it is truncated")
    if checksum(content[: PREFIX.size], content[START:]) != content[PREFIX.size : START]:
        raise _wrong(path, "a wrong checksum", "an unchanged file: it is truncated or damaged")
    return int(length)


def _parse(body: bytes, path: Path) -> dict[str, Any]:
    """The header as a dictionary whose values have the types they should have."""
    try:
        header = json.loads(body)
    except (ValueError, RecursionError):
        raise _wrong(path, "a header that is not JSON", "a JSON object") from None
    if not isinstance(header, dict):
        raise _wrong(path, "a header that is no object", "a JSON object")
    for name, (holds, expected) in _HEADER.items():
        if name not in header or not holds(header[name]):
            raise _wrong(path, f"header {name!r} = {header.get(name)!r:.60}", expected)
    return header


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 48


def _is_words(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{32}", value) is not None


_HEADER: dict[str, tuple[Callable[[object], bool], str]] = {
    "records": (_is_count, "a count of records"),
    "lost": (_is_count, "a count of records"),
    "log": (_is_count, "a count of records"),
    "log_lost": (_is_count, "a count of records"),
    "digest": (_is_digest, "32 hexadecimal digits"),
    "columns": (lambda value: value == _layout(), "the columns of this version"),
    "texts": (_is_words, "a list of texts"),
    "metadata": (lambda value: isinstance(value, dict), "an object"),
}


def _columns(content: bytes, start: int, header: dict[str, Any], path: Path) -> tuple[Rows, Rows]:
    """The rows, from their columns, and those of the log."""
    count, stated = header["records"], (header["records"] + header["log"]) * DTYPE.itemsize
    if start + stated != len(content):
        raise _wrong(path, f"{count:,} records in {len(content) - start:,} bytes", f"{stated:,} bytes")
    rows = np.zeros(count, DTYPE)
    for name in COLUMNS:
        rows[name] = np.frombuffer(content, DTYPE[name], count, start)
        start += count * DTYPE[name].itemsize
    return rows, np.frombuffer(content, DTYPE, header["log"], start)


def _metadata(header: dict[str, Any], path: Path) -> Metadata:
    given = header["metadata"]
    right = (
        set(given) == {"board", "cost_model", "seed", "mmu", "personas", "extra"}
        and _is_words([given["board"], given["cost_model"], given["mmu"]])
        and _is_words(given["personas"])
        and type(given["seed"]) is int
        and isinstance(given["extra"], dict)
        and _is_words(list(given["extra"].values()))
    )
    if not right:
        raise _wrong(path, f"metadata {given!r:.60}", "board, cost_model, seed, mmu, personas, extra")
    return Metadata(**{**given, "personas": tuple(given["personas"])})
