"""What a page must know besides the rows: what kinds, exception classes and syndromes mean, as plain data.

All of it comes from `minivisor.arch` and `minivisor.trace`, so a page says nothing that the sources do not. A page gets the
syndromes of its own window only; `viewer.html`, which opens any trace, gets all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any

import numpy as np

from minivisor.arch.bits import Address, Bits, Register
from minivisor.arch.esr import EC_NAMES, ESR_EL2, FORMS, describe
from minivisor.arch.gic import PPIS, describe_intid
from minivisor.trace.codec import FIELDS
from minivisor.trace.records import Kind, Outcome, Rows
from minivisor.trace.store import Trace
from minivisor.views.packing import pack

__all__ = ["Reader", "described", "forms", "schema", "trace_state"]

EMBED = 130_000
"""Characters of JSON that records may take in a page, unless a window was asked for."""
MOST_SAID = 400  # different syndromes put in words
Lines = Sequence[tuple[int, bytes, str]]


class Reader:
    """Instructions of a guest, for the detail of an exit. pieces: (address, bytes), as a file has them."""

    def __init__(self, pieces: Iterable[tuple[int, bytes]]) -> None:
        self._pieces = tuple(pieces)

    def __call__(self, address: int, length: int) -> bytes | None:
        """The bytes there, None where the file has none."""
        for start, content in self._pieces:
            if start <= address and address + length <= start + len(content):
                return content[address - start : address - start + length]
        return None


def described(register: type[Register]) -> dict[str, Any]:
    """A register's declaration as plain data: fields from bit 0 up."""
    return {
        "name": register.__name__,
        "width": register.width,
        "source": register.source,
        "fields": [_field(field) for field in register.layout.values()],
    }


def _field(field: Bits) -> dict[str, Any]:
    told: dict[str, Any] = {"name": field.name, "msb": field.msb, "lsb": field.lsb, "text": field.description}
    if isinstance(field, Address):
        told["unit"] = field.unit
    if field.values:
        told["values"] = {str(value): words for value, words in field.values.items()}
    return told


def forms(classes: Iterable[int] = FORMS) -> dict[str, Any]:
    """Exception class -> its form of the ISS."""
    return {str(int(ec)): described(FORMS[ec]) for ec in classes if ec in FORMS}


def schema() -> dict[str, Any]:
    """Names of kinds, of their fields and members, of outcomes, exception classes and interrupts."""
    return {
        "kinds": {str(int(kind)): {"name": kind.name.lower(), "fields": _fields(kind)} for kind in Kind},
        "outcomes": [outcome.name.lower() for outcome in Outcome],
        "ec": {str(int(ec)): words for ec, words in EC_NAMES.items()},
        "irq": {str(intid): describe_intid(intid) for intid in PPIS},
    }


def _fields(kind: int) -> list[list[Any]]:
    """[name, column, names of its members or none, does it number a text] for each field that a kind has of its own."""
    own = (field for field in FIELDS[kind] if field.name not in ("time", "vcpu", "host"))
    return [[field.name, field.column, field.members and _members(field.members), field.text] for field in own]


def _members(cls: type[IntEnum]) -> dict[str, str]:
    return {str(int(member)): member.name.lower().replace("_", " ") for member in cls}


# ── a window of a trace ──────────────────────────────────────────────────────────────────────────────────────────────


def trace_state(
    trace: Trace,
    since: int = 0,
    until: int | None = None,
    code: Reader | None = None,
    size: int | None = EMBED,
    kinds: Sequence[int] = (),
) -> dict[str, Any]:
    """The records of a trace between two virtual times in ns, the second excluded, with what is needed to read them.

    size: characters that records may take; later ones are left out, and `note` says so. None: as many as there are.
    kinds: only these.
    """
    rows = trace.rows()
    low = int(np.searchsorted(rows["time"], since))
    high = max(low, len(rows) if until is None else int(np.searchsorted(rows["time"], until)))
    at = np.arange(low, high)
    if kinds:
        at = at[np.isin(rows["kind"][low:high], kinds)]
    kept, packed = _fitting(rows, at, trace.lost, size)
    if len(kept) < len(at):
        high = int(at[len(kept)])
    window = rows[kept]
    return {
        "trace": trace.digest(),
        "names": list(trace.metadata.personas),
        "rows": packed,
        "texts": list(trace.texts),
        "schema": schema(),
        "note": _note(trace, low, high),
        **_syndromes(window),
        "code": _code(window, code),
    }


def _fitting(rows: Rows, at: np.ndarray, lost: int, size: int | None) -> tuple[np.ndarray, dict[str, Any]]:
    """The positions of as many rows, from the first, as fit into `size` characters, and those rows packed."""
    packed = pack(rows[at], at + lost)
    while size is not None and (taken := _size(packed)) > size:
        at = at[: int(len(at) * size / taken * 0.97)]
        packed = pack(rows[at], at + lost)
    return at, packed


def _size(packed: Mapping[str, Any]) -> int:
    return sum(len(part) + 12 for column in packed["columns"].values() for part in map(str, column.values()))


def _note(trace: Trace, low: int, high: int) -> str:
    """Which part of the run this is, when it is not all of it."""
    if high - low == len(trace) and not trace.lost:
        return ""
    lost = f"; the first {trace.lost:,} were not kept" if trace.lost else ""
    return f"Records {trace.lost + low + 1:,} to {trace.lost + high:,} of {trace.total:,}{lost}."


def _syndromes(rows: Rows) -> dict[str, Any]:
    """What the exits of a window say: their syndromes in words, and the forms of those classes."""
    exits = rows[(rows["kind"] == Kind.EXIT) & (rows["detail"] == 0)]
    found = np.unique(exits["esr"]).tolist()
    return {
        "exits": {f"{esr:x}": describe(esr) for esr in found[:MOST_SAID]},
        "esr": described(ESR_EL2),
        "forms": forms(sorted({esr >> 26 & 0x3F for esr in found})),
    }


def _code(rows: Rows, read: Reader | None, most: int = 150) -> dict[str, list[list[str]]]:
    """The instructions around each PC of a window, [address, text], by PC; of the first `most` only."""
    from minivisor.arch.disassemble import around

    pcs = np.unique(rows[rows["kind"] == Kind.EXIT]["pc"]).tolist()[:most] if read is not None else []
    return {f"{pc:x}": [[f"{at:x}", text] for at, _, text in around(read, pc, 3, 3)] for pc in pcs if read is not None}
