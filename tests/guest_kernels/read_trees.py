"""Reads device trees with the guests' own reader, the way the persona does, and prints what it found as JSON.

`read_trees.py LIBRARY`, a tree in hexadecimal on each line of standard input. Each is put in a mapping whose next page
faults, just as long as the reader's limit. A program of its own, because a reader that leaves its bounds is killed.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import sys

LIMIT, PAGE = 0x20_0000, 4096


class Node(ctypes.Structure):
    """struct fdt_node."""

    _fields_ = (
        ("properties", ctypes.c_uint32),
        ("depth", ctypes.c_uint32),
        ("name", ctypes.c_char_p),
        ("cells", ctypes.c_uint8 * 18),
    )


class Tree(ctypes.Structure):
    """struct fdt."""

    _fields_ = (("blob", ctypes.c_void_p), ("offsets", ctypes.c_uint32 * 4))


def describe(reader: ctypes.CDLL, tree: Tree, node: Node) -> list[object]:
    at = ctypes.byref(tree), ctypes.byref(node)
    address, size, text = ctypes.c_uint64(), ctypes.c_uint64(), ctypes.create_string_buffer(16)
    uart = reader.fdt_compatible(*at, b"arm,pl011")
    reader.fdt_reg(*at, 0, ctypes.byref(address), ctypes.byref(size))
    reader.fdt_word(*at, b"interrupts", 2, ctypes.byref(ctypes.c_uint32()))
    reader.fdt_string(*at, b"minivisor,name", text, 16)
    name = node.name.decode(errors="replace")
    return [node.depth, name, uart, address.value, size.value, text.value.decode(errors="replace")]


def read(reader: ctypes.CDLL, start: int) -> list[list[object]] | None:
    tree, node = Tree(), Node()
    found: list[list[object]] = []
    if not reader.fdt_open(ctypes.byref(tree), ctypes.c_void_p(start)):
        return None
    while reader.fdt_next_node(ctypes.byref(tree), ctypes.byref(node)):
        found.append(describe(reader, tree, node))
    return found


def main() -> None:
    reader = ctypes.CDLL(sys.argv[1])
    for name in ("fdt_open", "fdt_next_node", "fdt_compatible"):
        getattr(reader, name).restype = ctypes.c_bool
    area = mmap.mmap(-1, LIMIT + PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(area))
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + LIMIT), ctypes.c_size_t(PAGE), 0) == 0
    results, used = [], 0
    for line in sys.stdin:
        blob = bytes.fromhex(line)[:LIMIT]
        area[: max(used, len(blob))] = blob.ljust(used, b"\0")
        used = len(blob)
        results.append(read(reader, start))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
