"""The device-tree writer against a naive reader, and against dtc."""

import random
import subprocess

import pytest

from minivisor.errors import DeviceTreeError
from minivisor.platform.devicetree import Node, cells, flatten
from tests.naive_devicetree import parse

TREE = Node(
    "",
    {"compatible": ["a,b", "c"], "#address-cells": 2, "#size-cells": 2, "model": "three: ä"},
    [
        Node("empty"),
        Node("node@1000", {"reg": cells(0x1_0000_1000, 0x20), "here": True, "not-here": False, "raw": b"\1\2\3\4\5"}),
        Node("parent", {"list": [1, 2, 0xFFFF_FFFF], "none": []}, [Node("child", {"compatible": "x"})]),
    ],
)


def test_values_by_a_naive_reader():
    nodes, reservations = parse(flatten(TREE, [(0x8000_0000, 0x1000), (1 << 40, 1 << 33)]))
    assert reservations == [(0x8000_0000, 0x1000), (1 << 40, 1 << 33)]
    assert nodes == {
        "/": {
            "compatible": b"a,b\0c\0",
            "#address-cells": b"\0\0\0\2",
            "#size-cells": b"\0\0\0\2",
            "model": "three: ä\0".encode(),
        },
        "/empty": {},
        "/node@1000": {
            "reg": bytes.fromhex("00000001 00001000 00000000 00000020"),
            "here": b"",
            "raw": b"\1\2\3\4\5",
        },
        "/parent": {"list": bytes.fromhex("00000001 00000002 ffffffff"), "none": b""},
        "/parent/child": {"compatible": b"x\0"},
    }


def test_property_names_are_stored_once():
    assert flatten(TREE).count(b"compatible\0") == 1


def random_node(rng, depth, name=""):
    properties = {f"p{n}": rng.randbytes(rng.randrange(9)) for n in range(rng.randrange(5))}
    count = rng.randrange(4) if depth else 0
    return Node(name, properties, [random_node(rng, depth - 1, f"n{n}" + "x" * rng.randrange(5)) for n in range(count)])


def listing(node, path=""):
    here = f"{path}/{node.name}" if path != "/" else f"/{node.name}"
    yield here, dict(node.properties)
    for child in node.children:
        yield from listing(child, here)


def test_random_trees_come_back():
    rng = random.Random(17)
    for _ in range(200):
        root = random_node(rng, 3)
        assert parse(flatten(root))[0] == dict(listing(root))


@pytest.mark.parametrize("value", [-1, 1 << 32, [1, 1 << 32], "a\0b", ["ok", "a\0b"]])
def test_what_does_not_fit_is_refused(value):
    with pytest.raises(DeviceTreeError):
        flatten(Node("", {"bad": value}))


@pytest.mark.needs("dtc")
def test_dtc_reads_it_and_writes_the_same():
    blob = flatten(TREE, [(0x8000_0000, 0x1000)])
    source = dtc(blob, "-I", "dtb", "-O", "dts")
    assert b"/memreserve/\t0x0000000080000000 0x0000000000001000;" in source
    assert parse(dtc(source, "-I", "dts", "-O", "dtb")) == parse(blob)


def dtc(data, *arguments):
    return subprocess.run(
        ["dtc", "-q", *arguments, "-"], input=data, capture_output=True, check=True, timeout=20
    ).stdout
