"""A slow, obvious reader of flattened device trees, straight from the Devicetree Specification v0.4, chapter 5."""

from __future__ import annotations


def parse(blob: bytes) -> tuple[dict[str, dict[str, bytes]], list[tuple[int, int]]]:
    """({path of a node: {property: bytes}}, [(address, size) of each reservation])."""
    word = lambda at: int.from_bytes(blob[at : at + 4], "big")  # noqa: E731
    magic, total, structure, strings, reserved, version, compatible = (word(4 * n) for n in range(7))
    assert (magic, total, version, compatible) == (0xD00DFEED, len(blob), 17, 16)
    assert (structure % 4, reserved % 8) == (0, 0)
    assert structure + word(36) <= total
    assert strings + word(32) <= total

    reservations = []
    while (entry := (word(reserved) << 32 | word(reserved + 4), word(reserved + 8) << 32 | word(reserved + 12))) != (
        0,
        0,
    ):
        reservations.append(entry)
        reserved += 16

    nodes: dict[str, dict[str, bytes]] = {}
    path: list[str] = []
    at = structure
    while True:
        token, at = word(at), at + 4
        if token == 1:
            end = blob.index(b"\0", at)
            path.append(blob[at:end].decode())
            nodes["/".join(path) or "/"] = {}
            at = end + 4 - end % 4
        elif token == 2:
            path.pop()
        elif token == 3:
            length, name = word(at), strings + word(at + 4)
            key = blob[name : blob.index(b"\0", name)].decode()
            nodes["/".join(path) or "/"][key] = blob[at + 8 : at + 8 + length]
            at += 8 + (length + 3) // 4 * 4
        elif token == 9:
            assert path == []
            assert at == structure + word(36)
            return nodes, reservations
        else:
            raise AssertionError(f"token {token} at {at:#x}")
