"""Records survive the way into a page: packed here, read by the very script that reads them there."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivisor.trace.records import COLUMNS, DTYPE, Rows
from minivisor.views.engine import _load
from minivisor.views.modules import module
from minivisor.views.packing import pack
from tests.trace.traces import real_run

READ = """((packed) => {
  const rows = unpackRows(packed), out = {};
  const value = (column, i) => (ArrayBuffer.isView(column) ? BigInt(column[i]) : column.at(i));
  for (const name of Object.keys(packed.columns))
    out[name] = Array.from({ length: rows.n }, (_, i) => value(rows[name], i).toString(16));
  return JSON.stringify(out);
})"""


def read_back(packed: dict[str, Any]) -> dict[str, list[int]]:
    """What js/rows.js makes of packed columns."""
    functions = module("timeline").partition("/** Classes by how often")[0]
    told = _load("timeline").eval(f"(() => {{ {functions}; return {READ}({json.dumps(packed)}) }})()")
    return {name: [int(value, 16) for value in values] for name, values in json.loads(told).items()}


def assert_same(rows: Rows) -> None:
    found = read_back(pack(rows))
    for name in COLUMNS:
        if name != "host":
            assert found[name] == rows[name].tolist(), name
    assert "host" not in found


def test_a_real_run_comes_back() -> None:
    assert_same(real_run().rows())


@given(st.lists(st.tuples(st.integers(0, 1 << 40), st.integers(0, (1 << 64) - 1), st.integers(0, 3)), max_size=40))
def test_any_values_come_back(values: list[tuple[int, int, int]]) -> None:
    rows = np.zeros(len(values), DTYPE)
    for name, at in (("time", 0), ("pc", 1), ("kind", 2), ("esr", 1), ("far", 2)):
        rows[name] = [value[at] for value in values]
    rows["time"].sort()
    assert_same(rows)


@pytest.mark.parametrize(("distinct", "form"), [(1, "all"), (300, "of"), (5000, "raw")])
def test_a_column_takes_the_form_that_is_small(distinct: int, form: str) -> None:
    rows = np.zeros(5000, DTYPE)
    rows["pc"] = (np.arange(5000, dtype=np.uint64) % np.uint64(distinct)) * np.uint64(0x9E37_79B9_7F4A_7C15)
    assert form in pack(rows)["columns"]["pc"]
    assert_same(rows)


def test_times_are_differences_of_two_bytes_each() -> None:
    rows = np.zeros(5000, DTYPE)
    rows["time"] = np.arange(5000) * 1001 + (1 << 50)
    assert pack(rows)["columns"]["time"]["width"] == 2
    assert_same(rows)
