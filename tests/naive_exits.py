"""Slow, obvious oracles for exits: syndromes as strings of binary digits, registers as arithmetic on signed numbers."""

from __future__ import annotations


def field(value: int, high: int, low: int) -> int:
    """Bits high..low by cutting them out of the written-out number."""
    digits = f"{value:064b}"
    return int(digits[63 - high : 64 - low], 2)


def loaded(value: int, width: int, sign_extend: bool, sixty_four: bool) -> int:
    """What X holds after a load of `width` bytes that reads `value`."""
    raw = (value % 2 ** (8 * width)).to_bytes(width, "little")
    number = int.from_bytes(raw, "little", signed=sign_extend)
    return number % 2**64 if sixty_four else number % 2**32
