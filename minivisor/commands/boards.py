"""`minivisor boards`: which hardware there is, and how much source a board took.

A board is its data in `minivisor/machine/board.py` and whatever only it uses: a model of a part of its own, and EL2's driver
for it. `SOURCES` says which class, function or module belongs to which part; the lines are counted in the files when the
command runs, blank ones left out. What two boards use, or a persona's virtual platform needs too, is nobody's own: the
PL011's model is each persona's serial port, the list registers of GICv3 stand on those of GICv2, and the frames of a guest's
GICv3 are the same wherever there is one.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from minivisor.machine.board import Board

__all__ = ["command"]

DATA, WHOLE = "minivisor.machine.board", ""
SOURCES: dict[str, tuple[tuple[str, str], ...]] = {
    "GICv2": (
        ("minivisor.drivers.gich", "encode_list_register"),
        ("minivisor.drivers.gich", "decode_list_register"),
    ),
    "GICv3": (
        *(("minivisor.arch.gicv3", f"{name}_EL2") for name in ("ICH_HCR", "ICH_VTR", "ICH_VMCR", "ICH_LR")),
        ("minivisor.arch.gicv3", "ICH_LR_EL2_SOFTWARE"),
        ("minivisor.machine.icv", WHOLE),
        ("minivisor.machine.gich", "Ich"),
        ("minivisor.machine.gich", "_kept"),
        ("minivisor.machine.gich", "_seen"),
        ("minivisor.drivers.ich", WHOLE),
    ),
    "PL011": (("minivisor.drivers.serial_port", "Pl011Port"),),
    "NS16550": (
        ("minivisor.arch.ns16550", WHOLE),
        ("minivisor.machine.ns16550", WHOLE),
        ("minivisor.drivers.serial_port", "Ns16550Port"),
    ),
}
"""Part -> (module, name in it) of the source that only boards with this part use."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON instead of a table.")
def command(as_json: bool) -> None:
    """List the boards: their parts, their addresses, and the lines of source that only this board uses."""
    from minivisor.machine.board import BOARDS

    boards = [_describe(board, BOARDS.values()) for board in BOARDS.values()]
    if as_json:
        click.echo(json.dumps(boards, indent=2, ensure_ascii=False))
    else:
        click.echo("\n\n".join(_text(board) for board in boards))


def _parts(board: Board) -> list[str]:
    return [f"GICv{board.gic}", board.uart.upper()]


def _describe(board: Board, boards: Iterable[Board]) -> dict[str, Any]:
    others = {part for other in boards if other is not board for part in _parts(other)}
    own = [source for part in _parts(board) if part not in others for source in SOURCES[part]]
    counted = [(f"{DATA}: {board.name!r}", _entry(board.name))]
    counted += [(f"{module}: {name}" if name else module, _lines(module, name)) for module, name in own]
    return {
        "name": board.name,
        "title": board.title,
        "parts": _parts(board),
        "ram": [board.ram_base, board.ram_size],
        "gicv": board.gicv_base,
        "uart": board.uart_base,
        "list_registers": board.list_registers,
        "panel": list(board.panel),
        "sources": dict(counted),
        "lines": sum(count for _, count in counted),
    }


def _text(board: dict[str, Any]) -> str:
    base, size = board["ram"]
    gic, uart = board["parts"]
    rows = [
        f"{board['name']}  {board['title']}",
        f"   RAM      {base:#x}, {size >> 20} MiB",
        f"   {gic:<8} {board['list_registers']} list registers, virtual CPU interface at {board['gicv']:#x}",
        f"   {uart:<8} {board['uart']:#x}",
        f"   {board['lines']} lines that only this board uses:",
        *(f"   {count:6}   {source}" for source, count in board["sources"].items()),
    ]
    return "\n".join(rows)


# ── counting ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _source(module: str) -> str:
    found = find_spec(module)
    assert found is not None and found.origin is not None, module
    return Path(found.origin).read_text(encoding="utf-8")


def _count(lines: Iterable[str]) -> int:
    return sum(bool(line.strip()) for line in lines)


def _within(source: str, node: ast.stmt | ast.expr) -> int:
    return _count(source.splitlines()[node.lineno - 1 : node.end_lineno])


def _lines(module: str, name: str) -> int:
    """Lines of a class or function at the top of a module, or of the whole module."""
    source = _source(module)
    if name == WHOLE:
        return _count(source.splitlines())
    (node,) = (node for node in ast.parse(source).body if getattr(node, "name", None) == name)
    return _within(source, node)


def _entry(name: str) -> int:
    """Lines of a board's entry in `BOARDS`: its data."""
    source = _source(DATA)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == name:
                    return _within(source, value)
    raise KeyError(name)
