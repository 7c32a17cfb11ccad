"""A few words of machine code as a persona of their own, for what a guest finds when it asks.

The code is at the start of its image; its data are at DATA, in its RAM, where a test reads them when it has run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import RAM, Persona, PersonaSettings
from minivisor.hypervisor.scheduler import RoundRobin
from minivisor.machine.board import Machine
from minivisor.platform.image import Image

__all__ = ["CODE", "DATA", "VECTORS", "boot", "words_at"]

CODE, DATA, VECTORS, TREE = RAM + 0x8_0000, RAM + 0x10_0000, RAM + 0x18_0000, RAM + 0x20_0000
MEMORY, SLICE = 8 << 20, 20_000
Piece = tuple[int, Sequence[int], type]


def boot(
    code: Sequence[int], *pieces: Piece, mmu: str = "minivisor", gic: int = 2, cpus: int = 1, **options: Any
) -> tuple[Hypervisor, Persona]:
    """A machine with this guest on it. pieces: (address, words, np.uint32 or np.uint64). options: of `Hypervisor`."""
    laid_out = [(at, np.array(words, kind).tobytes()) for at, words, kind in ((CODE, code, np.uint32), *pieces)]
    image = Image("bare", CODE, tuple((at, content, len(content)) for at, content in laid_out), TREE)
    hypervisor = Hypervisor(Machine("b" if gic == 3 else "a", mmu), scheduler=RoundRobin(SLICE), **options)
    return hypervisor, hypervisor.add(PersonaSettings("bare", memory=MEMORY, cpus=cpus, gic=gic), image)


def words_at(persona: Persona, address: int, count: int) -> list[int]:
    """count words of 64 bits there."""
    found: list[int] = persona.span(address, 8 * count).view(np.uint64).tolist()
    return found
