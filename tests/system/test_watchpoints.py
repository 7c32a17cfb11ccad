"""Two personas at the same addresses, one with a watchpoint: hers fires, every time; his never, and his time is his own."""

from __future__ import annotations

import numpy as np
import pytest

from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import Persona, PersonaSettings
from minivisor.hypervisor.scheduler import RoundRobin
from minivisor.machine.board import Machine
from minivisor.platform.image import Image
from tests.machine import a64
from tests.machine.test_debug import KDE, MDE, D
from tests.machine.watching import ALL
from tests.system.bare import CODE, DATA, MEMORY, VECTORS, words_at

TURNS, SLICE = 400, 777
OFF = [*a64.MOV(0, 0x8400_0008), a64.HVC(0)]
# X1 data, X5 a counter, X6 exceptions: store the counter, load the word beside it, TURNS times
LOOP = [a64.ADD(5, 5, 1), a64.STR(5, 1), a64.LDR(7, 1, 8), a64.SUBS(2, 2, 1), a64.CBNZ(2, -16)]
SKIP = [a64.ADD(6, 6, 1), a64.mrs(8, "ELR_EL1"), a64.ADD(8, 8, 4), a64.msr("ELR_EL1", 8), a64.ERET]
TELL = [a64.STR(5, 1, 16), a64.STR(6, 1, 24), a64.mrs(9, "FAR_EL1"), a64.STR(9, 1, 32)]


def guest(armed: bool) -> Image:
    code = [
        *a64.MOV(1, DATA),
        *a64.MOV(3, VECTORS),
        a64.msr("VBAR_EL1", 3),
        *a64.MOV(2, TURNS),
        *a64.MOV(5, 0),
        *a64.MOV(6, 0),
    ]
    if armed:
        code += [*a64.MOV(3, MDE | KDE), *a64.MOV(4, ALL), a64.msr("DBGWVR1_EL1", 1), a64.msr("DBGWCR1_EL1", 4)]
        code += [a64.msr("MDSCR_EL1", 3), a64.MSR_DAIFCLR(D >> 6)]
    pieces = ((CODE, [*code, *LOOP, *TELL, *OFF]), (VECTORS + 0x200, SKIP))
    content = tuple((at, np.array(words, np.uint32).tobytes(), 4 * len(words)) for at, words in pieces)
    return Image("bare", CODE, content, CODE + 0x18_0000)


def together(*armed: bool) -> list[Persona]:
    hypervisor = Hypervisor(Machine(), scheduler=RoundRobin(SLICE))
    personas = [hypervisor.add(PersonaSettings(f"p{n}", memory=MEMORY), guest(it)) for n, it in enumerate(armed)]
    hypervisor.run(10_000_000)
    assert [persona.status for persona in personas] == ["off"] * len(personas)
    return personas


@pytest.mark.parametrize("armed", [(True, False), (False, True), (True, True)], ids=str)
def test_a_watchpoint_is_its_persona_s_alone(armed: tuple[bool, ...]) -> None:
    for persona, mine in zip(together(*armed), armed, strict=True):
        stored, _beside, counted, taken, far = words_at(persona, DATA, 5)
        assert (stored, counted, taken) == ((0, TURNS, TURNS) if mine else (TURNS, TURNS, 0))
        assert far == (DATA if mine else 0)
