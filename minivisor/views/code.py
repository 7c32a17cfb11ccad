"""A guest's instructions, read from its ELF file: what an exit's detail shows around the PC."""

from __future__ import annotations

from pathlib import Path

from minivisor.errors import GuestImageError, fault
from minivisor.views.records import Reader

__all__ = ["elf_reader"]


def elf_reader(path: str | Path) -> Reader:
    """The loaded segments of an ELF file at the virtual addresses it was linked for. GuestImageError for anything else."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with Path(path).open("rb") as stream:
            segments = [each for each in ELFFile(stream).iter_segments() if each["p_type"] == "PT_LOAD"]
            return Reader([(int(each["p_vaddr"]), each.data()) for each in segments])
    except (OSError, ELFError, ValueError, OverflowError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise GuestImageError(fault(f"guest {path}", reason, "an ELF file with the guest's instructions")) from None
