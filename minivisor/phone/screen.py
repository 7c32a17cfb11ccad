"""What the panel shows: a strip that no guest can draw on, and below it the screen of the persona in front.

The strip belongs to the hypervisor. It is composed last, from the hypervisor's own state, into rows of the panel that
no stage-2 table maps; a persona's framebuffer is RAM of its own and covers the rest. Nobody can forge the name in it.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from minivisor.hypervisor.persona import Persona

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["STRIP", "compose", "inset", "picture", "rgb_from_565"]

STRIP = 16  # rows of the trusted indicator


def rgb_from_565(pixels: np.ndarray) -> np.ndarray:
    """uint16[h, w] in r5g6b5 -> uint8[h, w, 3]. The low bits repeat the high ones, so white stays white."""
    red, green, blue = pixels >> 11, pixels >> 5 & 0x3F, pixels & 0x1F
    wide = (red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2)
    return np.stack(wide, axis=-1).astype(np.uint8)


@functools.lru_cache(maxsize=32)
def _strip(name: str, colour: int, width: int, stopped: bool) -> np.ndarray:
    """uint8[STRIP, width, 3]: a lock-coloured bar with the persona's name, light or dark letters by contrast."""
    from PIL import Image, ImageDraw, ImageFont  # Pillow: imported by those who draw

    red, green, blue = colour >> 16, colour >> 8 & 0xFF, colour & 0xFF
    image = Image.new("RGB", (width, STRIP), (16, 16, 20))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 5, STRIP - 1), fill=(red, green, blue))
    draw.rectangle((width - 6, 0, width - 1, STRIP - 1), fill=(red, green, blue))
    font = ImageFont.load_default(size=11)
    draw.text((11, 1), name[:20], font=font, fill=(245, 245, 245))
    if stopped:
        draw.text((width - 52, 1), "stopped", font=font, fill=(255, 176, 0))
    return np.asarray(image)


def inset(panel: np.ndarray, pixels: np.ndarray) -> tuple[int, int]:
    """(left, top) of a persona's screen on the panel. pixels: [height, width] of it. A larger panel has it in the middle."""
    height, width = panel.shape[:2]
    rows, columns = min(height - STRIP, pixels.shape[0]), min(width, pixels.shape[1])
    return (width - columns) // 2, STRIP + (height - STRIP - rows) // 2


def compose(panel: np.ndarray, foreground: Persona) -> np.ndarray:
    """Draw a frame into the board's panel, uint8[height, width, 3], and return it. A larger panel has it in the middle."""
    height, width, _ = panel.shape
    picture = rgb_from_565(foreground.pixels())
    rows, columns = min(height - STRIP, picture.shape[0]), min(width, picture.shape[1])
    left, top = inset(panel, picture)
    panel[top : top + rows, left : left + columns] = picture[:rows, :columns]
    panel[:STRIP] = _strip(foreground.name, foreground.settings.colour, width, foreground.status != "running")
    return panel


def picture(panel: np.ndarray, foreground: Persona, scale: int = 2) -> Image.Image:
    """A frame as an image, every pixel `scale` times as large."""
    from PIL import Image  # as above

    image = Image.fromarray(compose(panel, foreground).copy())
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
