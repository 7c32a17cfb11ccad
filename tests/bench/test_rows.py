"""The rows are data: each can be measured, is documented, and holds the bar that was promised."""

from __future__ import annotations

from pathlib import Path

import pytest

from minivisor.bench.rows import ROWS, Bar, chosen
from minivisor.commands.bench import ROWS as TAUGHT
from minivisor.errors import OptionError

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "numbers.md"

PROMISED = {
    "guest": Bar("ratio", "≥", 1.8),
    "guest-host": Bar("ratio", "≥", 2.5),
    "guest-qemu": Bar("ratio", "≥", 0.45),
    "guest-host-qemu": Bar("ratio", "≥", 0.7),
    "exit": Bar("ratio", "≤", 3.0),
    "svc": Bar("ratio", "≥", 20.0),
    "tlb": Bar("ratio", "≤", 2.0),
    "walk": Bar("ratio", "≥", 0.8),
    "walk-naive": Bar("ratio", "≥", 1000.0),
    "eoi": Bar("exits", "≤", 0.0),
    "mmio_read_vgic": None,
    "mmio_read_user": None,
    "timer": None,
    "ipi": None,
    "switch": None,
    "trace": Bar("ratio", "≤", 1.3),
    "linux": Bar("ratio", "≤", 2.5),
    "linux-host": Bar("ratio", "≤", 2.0),
    "linux-smp": Bar("ratio", "≤", 2.5),
    "linux-idle": Bar("value", "≤", 5.0),
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
    section = DOCUMENT.read_text(encoding="utf-8").split(f"### `{name}`\n")[1].split("###")[0]
    assert f"*May claim:* {ROWS[name].may}.\n" in section, "`make bench` writes the page"
    assert f"*May not claim:* {ROWS[name].may_not}.\n" in section


def test_the_help_names_every_row() -> None:
    assert TAUGHT.replace("\n", "").replace(",  ", ", ").split(", ") == list(ROWS)


def test_rows_come_in_the_order_of_the_table_and_all_when_none_is_named() -> None:
    assert [row.name for row in chosen(())] == list(ROWS)
    assert [row.name for row in chosen(("help", "exit"))] == ["exit", "help"]


def test_an_unknown_row_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(OptionError, match=r"speed.*guest, guest-host"):
        chosen(("speed",))


def test_a_limit_itself_holds() -> None:
    assert Bar("ratio", "≥", 1.8).holds(1.8)
    assert Bar("value", "≤", 30.0).holds(30.0)
    assert not Bar("value", "≤", 30.0).holds(30.1)
