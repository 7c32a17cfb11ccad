"""Pictures in a terminal: a character cell is two pixels, "▀" with the upper one as ink and the lower one as paper.

A cell is about twice as high as it is wide, so the pixels come out square. A picture is scaled by a whole factor, up or
down, so that it stays crisp; where that would waste room, or where strokes would vanish anyway, it is shrunk to measure.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from PIL import Image
from rich.color import Color
from rich.segment import Segment
from rich.style import Style

__all__ = ["UPPER_HALF", "fit", "half_blocks"]

UPPER_HALF = "▀"
CRISP = 3  # times smaller: beyond it a font's strokes fall between the pixels
WASTE = 1.1  # a whole factor may leave a tenth of the room empty


def fit(picture: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """uint8[h, w, 3] scaled to the most that `columns` × `rows` cells hold, with an even number of lines."""
    height, width, _ = picture.shape
    factor = min(columns / width, 2 * rows / height)
    if factor >= 1:
        whole = int(factor)
        return picture.repeat(whole, axis=0).repeat(whole, axis=1)[: 2 * rows]
    whole = math.ceil(1 / factor)
    if whole <= CRISP and whole * factor < WASTE:
        small = np.asarray(Image.fromarray(picture).reduce(whole))
        return small[: len(small) & ~1]
    size = max(1, round(width * factor)), max(2, round(height * factor / 2) * 2)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def half_blocks(picture: np.ndarray) -> list[list[Segment]]:
    """A list of segments for each row of cells; like neighbours are one. picture: uint8[h, w, 3], h even."""
    wide = picture.astype(np.uint32)
    colours = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    return [_row(colours[line], colours[line + 1]) for line in range(0, len(colours) - 1, 2)]


def _row(upper: np.ndarray, lower: np.ndarray) -> list[Segment]:
    changes = np.flatnonzero((np.diff(upper) != 0) | (np.diff(lower) != 0)) + 1
    starts = [0, *changes.tolist()]
    ends = [*starts[1:], len(upper)]
    pairs = zip(upper[starts].tolist(), lower[starts].tolist(), starts, ends, strict=True)
    return [Segment(UPPER_HALF * (end - start), _style(ink, paper)) for ink, paper, start, end in pairs]


@functools.lru_cache(maxsize=4096)
def _style(ink: int, paper: int) -> Style:
    return Style(color=_colour(ink), bgcolor=_colour(paper))


def _colour(value: int) -> Color:
    return Color.from_rgb(value >> 16, value >> 8 & 0xFF, value & 0xFF)
