"""`minivisor boards`: every board, its parts, and a count of lines that follows the files."""

from __future__ import annotations

import inspect
import json
from importlib import import_module

import pytest

from minivisor import cli
from minivisor.commands.boards import SOURCES, WHOLE
from minivisor.drivers import ich
from minivisor.drivers.serial_port import Ns16550Port
from minivisor.machine.board import BOARDS


def test_every_board_with_its_addresses(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["boards"]) == 0
    out = capsys.readouterr().out
    for board in BOARDS.values():
        assert board.title in out and f"{board.ram_base:#x}, 256 MiB" in out and f"{board.gicv_base:#x}" in out


def test_lines_are_counted_in_the_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["boards", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["name"], second["parts"]) == ("a", ["GICv3", "NS16550"])
    for thing, name in (
        (ich, "minivisor.drivers.ich"),
        (Ns16550Port, "minivisor.drivers.serial_port: Ns16550Port"),
    ):
        assert second["sources"][name] == len([line for line in inspect.getsource(thing).splitlines() if line.strip()])
    assert second["sources"]["minivisor.machine.board: 'b'"] == 12
    for board in (first, second):
        assert board["lines"] == sum(board["sources"].values())
    assert not set(first["sources"]) & set(second["sources"])
    assert first["lines"] < second["lines"] < 650


def test_every_part_has_its_sources_and_they_are_there() -> None:
    parts = {part for board in BOARDS.values() for part in (f"GICv{board.gic}", board.uart.upper())}
    assert parts == set(SOURCES)
    for module, name in (source for sources in SOURCES.values() for source in sources):
        assert name == WHOLE or hasattr(import_module(module), name)
