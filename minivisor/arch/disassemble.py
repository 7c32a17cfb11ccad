"""A64 disassembly by capstone, for reports and notebooks. Any word has a line: what is no instruction is `.word`.

capstone prints system registers it has no name for in the generic form; `encoding` knows a few more, and they are put
in. It is imported when first used, because loading it takes longer than `--help` may.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from functools import cache
from typing import Any

from minivisor.arch import encoding

__all__ = ["around", "disassemble"]

_GENERIC = re.compile(r"\bs[0-3]_[0-7]_c\d+_c\d+_[0-7]\b")


@cache
def _engine() -> Any:
    import capstone

    return capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)


def disassemble(code: bytes, pc: int) -> list[tuple[int, bytes, str]]:
    """(address, bytes, text) for each instruction.

    code: little-endian words; one to three bytes left over at the end are shown as `.byte`. pc: address of the first.
    """
    lines = []
    for at in range(0, len(code), 4):
        raw = bytes(code[at : at + 4])
        lines.append((pc + at, raw, _text(raw, pc + at)))
    return lines


def _text(raw: bytes, pc: int) -> str:
    if len(raw) < 4:
        return f".byte {', '.join(f'{byte:#04x}' for byte in raw)}"
    found = next(_engine().disasm_lite(raw, pc & 0xFFFF_FFFF_FFFF_FFFF, 1), None)
    if found is None:
        return f".word {struct.unpack('<I', raw)[0]:#010x}"
    _, _, mnemonic, operands = found
    named = _GENERIC.sub(lambda match: encoding.name(encoding.encoding(match[0])).lower(), operands)
    return f"{mnemonic} {named}".rstrip()


def around(
    read: Callable[[int, int], bytes | None], pc: int, before: int = 4, after: int = 4
) -> list[tuple[int, bytes, str]]:
    """Instructions around `pc`: `before` words before it, its own, and `after` words after it.

    read(address, length): the bytes there, or None (or an exception of lookup) where nothing is mapped; such words are
    left out. Nothing else about the guest is assumed, so that a report can be made of any state.
    """
    start = pc & ~3
    lines = []
    for address in range(max(0, start - 4 * before), min(1 << 64, start + 4 * after + 4), 4):
        try:
            raw = read(address, 4)
        except (LookupError, ValueError):
            raw = None
        if raw is not None and len(raw) == 4:
            lines += disassemble(bytes(raw), address)
    return lines
