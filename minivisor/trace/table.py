"""A small table that prints in a terminal and shows in a notebook: what a trace answers when asked to count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Table"]


@dataclass(frozen=True)
class Table:
    """columns: headings. rows: cells; numbers go right, and ints get thousands separators. title: a line above.

    Text may come from a file or a guest: what is not printable is shown escaped, so that it cannot drive a terminal.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    title: str = ""

    def _cells(self) -> list[list[str]]:
        return [[_text(cell) for cell in row] for row in self.rows]

    def _numeric(self) -> list[bool]:
        return [all(isinstance(row[at], int | float) for row in self.rows) for at in range(len(self.columns))]

    def __str__(self) -> str:
        cells = [list(map(_text, self.columns)), *self._cells()]
        widths = [max(len(row[at]) for row in cells) for at in range(len(self.columns))]
        right = self._numeric()

        def line(row: Sequence[str]) -> str:
            parts = (t.rjust(w) if r else t.ljust(w) for t, w, r in zip(row, widths, right, strict=True))
            return "  ".join(parts).rstrip()

        rule = "  ".join("─" * width for width in widths)
        head = [_text(self.title)] if self.title else []
        return "\n".join([*head, line(cells[0]), rule, *map(line, cells[1:])])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        aligned = ["right" if numeric else "left" for numeric in self._numeric()]

        def row(cells: Sequence[str], tag: str) -> str:
            inner = (f'<{tag} style="text-align:{a}">{escape(c)}</{tag}>' for c, a in zip(cells, aligned, strict=True))
            return f"<tr>{''.join(inner)}</tr>"

        caption = f"<caption>{escape(_text(self.title))}</caption>" if self.title else ""
        body = "".join(row(cells, "td") for cells in self._cells())
        return (
            f"<table>{caption}<thead>{row(list(map(_text, self.columns)), 'th')}</thead><tbody>{body}</tbody></table>"
        )


def _text(cell: object) -> str:
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(cell))
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:.1f}"
