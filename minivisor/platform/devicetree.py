"""A writer for flattened device trees: how a machine describes itself to the kernel it starts.

A tree of nodes with properties becomes one block of bytes (Devicetree Specification v0.4, chapter 5), all big-endian:

    +--------+---------------------+-----------------------+----------------+
    | header | memory reservations | structure             | strings        |
    | 40 B   | (address, size)...0 | BEGIN name PROP...END | property names |
    +--------+---------------------+-----------------------+----------------+

A property is bytes, a string, a list of strings, a number (one cell of 32 bits), a list of cells, or True for a
property whose presence is all it says. `Node` is nothing but a name, properties in order, and children in order.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from minivisor.errors import DeviceTreeError, fault

__all__ = ["Node", "Value", "cells", "flatten"]

Value: TypeAlias = bytes | str | int | bool | Sequence[str] | Sequence[int]

MAGIC, VERSION, LAST_COMPATIBLE = 0xD00D_FEED, 17, 16
BEGIN_NODE, END_NODE, PROP, END = 1, 2, 3, 9
HEADER = struct.Struct(">10I")


@dataclass
class Node:
    """One node. name: with the unit address ("serial@9000000"), empty for the root."""

    name: str = ""
    properties: Mapping[str, Value] = field(default_factory=dict)
    children: Sequence[Node] = ()


def cells(*numbers: int) -> list[int]:
    """64-bit numbers as pairs of 32-bit cells, for #address-cells = #size-cells = 2."""
    return [cell for number in numbers for cell in (number >> 32, number & 0xFFFF_FFFF)]


def flatten(root: Node, reservations: Sequence[tuple[int, int]] = ()) -> bytes:
    """The flattened tree. reservations: (address, size) of memory a kernel must not use, in bytes.

    DeviceTreeError when a name or a value cannot be written.
    """
    strings = _Strings()
    structure = b"".join(_node(root, strings)) + _cell(END)
    reserved = b"".join(struct.pack(">2Q", address, size) for address, size in (*reservations, (0, 0)))
    start = HEADER.size + len(reserved)
    size = start + len(structure) + len(strings.block)
    header = HEADER.pack(
        MAGIC,
        size,
        start,
        start + len(structure),
        HEADER.size,
        VERSION,
        LAST_COMPATIBLE,
        0,  # boot CPU
        len(strings.block),
        len(structure),
    )
    return header + reserved + structure + bytes(strings.block)


class _Strings:
    """The strings block: each property name once."""

    def __init__(self) -> None:
        self.block = bytearray()
        self._offsets: dict[str, int] = {}

    def offset(self, name: str) -> int:
        if name not in self._offsets:
            self._offsets[name] = len(self.block)
            self.block += _text(name)
        return self._offsets[name]


def _node(node: Node, strings: _Strings) -> list[bytes]:
    pieces = [_cell(BEGIN_NODE), _padded(_text(node.name))]
    for name, value in node.properties.items():
        if value is not False:
            encoded = _value(name, value)
            pieces += [_cell(PROP), _cell(len(encoded)), _cell(strings.offset(name)), _padded(encoded)]
    for child in node.children:
        pieces += _node(child, strings)
    return [*pieces, _cell(END_NODE)]


def _value(name: str, value: Value) -> bytes:
    match value:
        case True:
            return b""
        case bytes():
            return value
        case str():
            return _text(value)
        case int():
            return _cell(value, name)
        case _:
            return b"".join(_text(item) if isinstance(item, str) else _cell(item, name) for item in value)


def _cell(number: int, name: str = "cell") -> bytes:
    if not 0 <= number < 1 << 32:
        raise DeviceTreeError(
            fault(f"device tree, {name}", number, "a cell of 32 bits", "Devicetree Specification 2.2.4")
        )
    return struct.pack(">I", number)


def _text(text: str) -> bytes:
    if "\0" in text:
        raise DeviceTreeError(fault("device tree", text, "a string without NUL", "Devicetree Specification 2.2.4"))
    return text.encode() + b"\0"


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
