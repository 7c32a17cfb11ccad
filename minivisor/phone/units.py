"""What people write for a time, a size, a colour or a person, and what the machine makes of it.

Each function takes a text as it comes from an option or a notebook, and either returns plain integers or raises
OptionError with what was expected. Integers pass through, so that Python callers may give either.
"""

from __future__ import annotations

import re
from typing import Any

from minivisor.errors import OptionError, fault

__all__ = ["parse_colour", "parse_duration", "parse_person", "parse_size"]

DURATIONS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "min": 60_000_000_000}
SIZES = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
LONGEST = 1 << 60  # ns, 36 years: beyond it the clock's arithmetic would no longer fit 64 bits


def parse_duration(text: str | int) -> int:
    """Virtual time in ns from "2s", "150ms", "20us" or a number of ns. Raises OptionError."""
    if isinstance(text, int):
        return text
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ns|us|µs|ms|s|min)", text.strip(), re.ASCII)
    duration = round(float(match[1]) * DURATIONS[match[2]]) if match and len(match[1]) < 20 else LONGEST
    if duration >= LONGEST:
        raise OptionError(fault("duration", text, "a number with a unit, as in 2s, 150ms or 20us"))
    return duration


def parse_size(text: str | int) -> int:
    """Bytes from "64M", "1G", "4096K" or a number of bytes. Raises OptionError."""
    if isinstance(text, int):
        return text
    match = re.fullmatch(r"(\d{1,12})([kmg]?)(i?b)?", text.strip().lower(), re.ASCII)
    if match is None:
        raise OptionError(fault("size", text, "a number with a unit, as in 64M or 1G"))
    return int(match[1]) * SIZES.get(match[2], 1)


def parse_colour(text: str | int) -> int:
    """0xRRGGBB from a CSS name ("teal") or from hexadecimal digits ("2e7d6b", "#2e7d6b"). Raises OptionError."""
    if isinstance(text, int):
        return text
    from PIL import ImageColor  # Pillow: imported by those who name colours or draw

    word = text.strip()
    digits = re.fullmatch(r"#?([0-9a-fA-F]{6}|[0-9a-fA-F]{3})", word)
    try:
        red, green, blue = ImageColor.getrgb("#" + digits[1] if digits else word)[:3]
    except ValueError:
        raise OptionError(fault("colour", text, "a CSS name such as teal, or rrggbb")) from None
    return red << 16 | green << 8 | blue


def parse_person(text: str) -> dict[str, Any]:
    """Settings of a persona from "NAME" or "NAME,COLOUR". Raises OptionError."""
    name, comma, colour = text.rpartition(",")
    if not comma:
        name = text
    if not name.strip() or not name.isprintable():
        raise OptionError(fault("persona", text, "a name, or a name and a colour as in 'Ada,teal'"))
    return {"name": name.strip(), "colour": parse_colour(colour)} if comma else {"name": name.strip()}
