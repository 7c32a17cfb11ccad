"""The rows are data: each can be measured, is documented, and holds the bar that was promised."""

from __future__ import annotations

from pathlib import Path

import pytest

from minivisor.bench.rows import ROWS, Bar, chosen
from minivisor.commands.bench import ROWS as TAUGHT
from minivisor.errors import OptionError

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"

PROMISED = {
    "guest": Bar("ratio", "≥", 1.8),
    "exit": Bar("ratio", "≤", 3.0),
    "switch": None,
    "start-warm": Bar("value", "≤", 3.0),
    "start-cold": Bar("value", "≤", 30.0),
    "help": Bar("value", "≤", 0.3),
    "memory": Bar("value", "≤", 400.0),
}


def test_the_bars_are_those_promised() -> None:
    assert {name: row.bar for name, row in ROWS.items()} == PROMISED


@pytest.mark.parametrize("name", list(ROWS))
def test_a_row_can_be_measured_and_is_documented(name: str) -> None:
    assert callable(ROWS[name].load())
    assert ROWS[name].peer
    assert f"### `{name}`" in DOCUMENT.read_text(encoding="utf-8")


def test_the_help_names_every_row() -> None:
    assert TAUGHT.split(", ") == list(ROWS)


def test_rows_come_in_the_order_of_the_table_and_all_when_none_is_named() -> None:
    assert [row.name for row in chosen(())] == list(ROWS)
    assert [row.name for row in chosen(("help", "exit"))] == ["exit", "help"]


def test_an_unknown_row_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(OptionError, match=r"speed.*guest, exit"):
        chosen(("speed",))


def test_a_limit_itself_holds() -> None:
    assert Bar("ratio", "≥", 1.8).holds(1.8)
    assert Bar("value", "≤", 30.0).holds(30.0)
    assert not Bar("value", "≤", 30.0).holds(30.1)
