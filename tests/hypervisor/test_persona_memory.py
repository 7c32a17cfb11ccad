"""What a persona's RAM costs the host, and what it holds when the persona starts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minivisor import guests
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import RAM, Persona, PersonaSettings
from minivisor.machine.board import Machine
from minivisor.platform.image import load_image

BACKED = Path("/proc/self/smaps_rollup")


@pytest.fixture(scope="module")
def persona() -> Persona:
    hypervisor = Hypervisor(Machine("a"))
    return hypervisor.add(PersonaSettings("hello"), load_image(guests.path("hello"), RAM, 64 << 20))


def shared_memory() -> int:
    """Bytes of shared anonymous memory that this process has touched: guests' RAM is of that kind."""
    lines = BACKED.read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss_Shmem"))


@pytest.mark.skipif(not BACKED.is_file(), reason="NOT RUN: only Linux tells which pages are backed")
def test_ram_that_no_guest_touched_costs_nothing() -> None:
    before = shared_memory()
    hypervisor = Hypervisor(Machine("a"))
    hypervisor.add(PersonaSettings("hello"), load_image(guests.path("hello"), RAM, 64 << 20))
    assert shared_memory() - before < 8 << 20


def test_ram_is_zero_but_for_image_and_tree_at_the_first_start_and_after_a_reset(persona: Persona) -> None:
    first = persona.span(RAM, persona.settings.memory).copy()
    assert 0 < np.count_nonzero(first) < 1 << 20
    persona.span(RAM + (40 << 20), 4096)[:] = 0xA5
    persona.power_on(0)
    assert np.array_equal(persona.span(RAM, persona.settings.memory), first)
