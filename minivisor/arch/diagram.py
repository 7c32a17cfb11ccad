"""Drawing a register: boxes with bit numbers, names and values, as text for a terminal and as SVG for a notebook.

    31    26 25 24                        0
    ┌───────┬──┬──────────────────────────┐
    │ EC    │IL│ ISS                      │      numbers above, name and value inside, most significant bit left
    │ 0x24  │1 │ 0x46                     │
    └───────┴──┴──────────────────────────┘

Text takes the width each name needs and wraps; the SVG gives every bit the same width, 32 to a row, and turns names
that do not fit. Colours come from the page (`currentColor`), so that both light and dark pages stay readable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minivisor.arch.bits import Cell

__all__ = ["html", "text"]

COLUMNS = 80
ROW_BITS = 32
BIT, ROW, TOP = 22, 78, 16  # SVG pixels: width of a bit, height of a row, height of its bit numbers


# ── text ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def text(name: str, value: int, width: int, cells: Sequence[Cell]) -> str:
    """The whole picture: a title, rows of boxes, and a line for each field that is set."""
    lines = [f"{name} = {value:#0{width // 4 + 2}x}"]
    for row in _rows(cells):
        lines += _boxes(row)
    longest = max((len(cell.name) for cell in cells if cell.is_set), default=0)
    lines += [_clip(f"{cell.name:>{longest}} = {cell.value}  {cell.meaning}") for cell in cells if cell.is_set]
    return "\n".join(lines)


def _clip(line: str) -> str:
    return line if len(line) <= COLUMNS else line[: COLUMNS - 1] + "…"


def _range(cell: Cell) -> str:
    return f"{cell.msb}:{cell.lsb}" if cell.msb > cell.lsb else str(cell.lsb)


def _column(cell: Cell) -> int:
    return max(len(cell.name), len(cell.value), len(_range(cell)))


def _rows(cells: Sequence[Cell]) -> Iterator[list[Cell]]:
    """Boxes packed greedily into rows of COLUMNS."""
    row: list[Cell] = []
    used = 1
    for cell in cells:
        if row and used + _column(cell) + 1 > COLUMNS:
            yield row
            row, used = [], 1
        row.append(cell)
        used += _column(cell) + 1
    yield row


def _boxes(row: Sequence[Cell]) -> list[str]:
    widths = [_column(cell) for cell in row]

    def line(left: str, parts: Sequence[str], between: str, right: str, fill: str = " ") -> str:
        padded = (part.ljust(width, fill) for part, width in zip(parts, widths, strict=True))
        return (left + between.join(padded) + right).rstrip()

    nothing = [""] * len(row)
    return [
        line(" ", [_range(cell) for cell in row], " ", ""),
        line("┌", nothing, "┬", "┐", "─"),
        line("│", [cell.name for cell in row], "│", "│"),
        line("│", [cell.value for cell in row], "│", "│"),
        line("└", nothing, "┴", "┘", "─"),
    ]


# ── SVG ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def html(name: str, value: int, width: int, source: str, cells: Sequence[Cell]) -> str:
    """An inline SVG: nothing to load, no script. Each box has a tooltip with the field's value in words."""
    across = min(width, ROW_BITS)
    rows = -(-width // ROW_BITS)
    parts = [_svg_cell(cell, part, width) for cell in cells for part in _split(cell)]
    title = escape(f"{name} = {value:#0{width // 4 + 2}x}")
    return (
        f'<div style="max-width:{across * BIT + 2}px">'
        f'<div style="font:13px monospace"><b>{title}</b> <span style="opacity:.7">{escape(source)}</span></div>'
        f'<svg role="img" aria-label="{title}" viewBox="0 0 {across * BIT + 2} {rows * ROW}" width="100%" '
        f'style="font:11px monospace" fill="currentColor" stroke="none">{"".join(parts)}</svg></div>'
    )


def _split(cell: Cell) -> Iterator[tuple[int, int]]:
    """The (msb, lsb) pieces of a box, cut where a row ends."""
    msb = cell.msb
    while msb >= cell.lsb:
        lsb = max(cell.lsb, msb // ROW_BITS * ROW_BITS)
        yield msb, lsb
        msb = lsb - 1


def _svg_cell(cell: Cell, piece: tuple[int, int], width: int) -> str:
    msb, lsb = piece
    across = min(width, ROW_BITS)
    wide, high = (msb - lsb + 1) * BIT, ROW - TOP - 4
    left = 1 + (across - 1 - msb % ROW_BITS) * BIT
    top = (-(-width // ROW_BITS) - 1 - lsb // ROW_BITS) * ROW + TOP
    shade = ".22" if cell.is_set else "0"
    words = escape(f"{cell.name} [{_range(cell)}] = {cell.value}" + (f": {cell.meaning}" if cell.meaning else ""))
    numbers = f'<text x="{left + 2}" y="{top - 4}">{msb}</text>'
    if msb > lsb:
        numbers += f'<text x="{left + wide - 2}" y="{top - 4}" text-anchor="end">{lsb}</text>'
    return (
        f"<g><title>{words}</title>"
        f'<rect x="{left}" y="{top}" width="{wide}" height="{high}" fill-opacity="{shade}" stroke="currentColor" '
        f'stroke-opacity=".6"/><g opacity=".7" style="font-size:9px">{numbers}</g>'
        f"{_svg_name(cell, left + wide / 2, top, wide, high)}</g>"
    )


def _svg_name(cell: Cell, middle: float, top: int, wide: int, high: int) -> str:
    """Name over value when both fit, else both on one line turned upwards."""
    weight = ' font-weight="bold"' if cell.is_set else ' opacity=".75"'
    name, value = escape(cell.name), escape(cell.value)
    if max(len(cell.name), len(cell.value)) * 7 <= wide:
        return (
            f'<text x="{middle}" y="{top + high / 2 - 4}" text-anchor="middle"{weight}>{name}</text>'
            f'<text x="{middle}" y="{top + high / 2 + 12}" text-anchor="middle"{weight}>{value}</text>'
        )
    at = f"{middle + 4} {top + high - 3}"
    size = min(11.0, (high - 6) / (0.62 * (len(cell.name) + len(cell.value) + 1)))
    return f'<text transform="translate({at}) rotate(-90)" style="font-size:{size:.1f}px"{weight}>{name}={value}</text>'
