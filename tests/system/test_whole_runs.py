"""The best whole-system check there is: the same run on both translation engines, at both speeds, and twice.

A run is a function of images, inputs and seed. Whether our compiled walk translates or Unicorn's own two stages, whether hot
code is compiled or interpreted, the guests must retire the same instructions and take the same exits.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from minivisor.phone.phone import Phone

STORY = """
import sys
from minivisor import guests
from minivisor.hypervisor.cost import cost_model
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.platform.image import load_image
from minivisor.hypervisor.persona import RAM, PersonaSettings
from minivisor.machine.board import Machine

mmu, instructions, cost = sys.argv[1], int(sys.argv[2]), sys.argv[3]
hypervisor = Hypervisor(Machine("a", mmu), cost=cost_model(cost), seed=7)
for name, guest in (("personal", "persona"), ("work", "persona"), ("busy", "bench")):
    settings = PersonaSettings(name, memory=16 << 20, bootargs="mixed 4" if guest == "bench" else "")
    hypervisor.add(settings, load_image(guests.path(guest), RAM, settings.memory))
personal, work, busy = hypervisor.personas
for at, byte in enumerate(b"SabFSx"):
    hypervisor.key(personal, byte, at=2_000_000 + 600_000 * at)
    hypervisor.key(work, byte ^ 32, at=3_000_000 + 500_000 * at)
hypervisor.run(4_000_000)
hypervisor.bring_to_front(work)
while hypervisor.core.retired < instructions:
    hypervisor.run(hypervisor.now + 1_000_000)
print(hypervisor.trace.digest(), hypervisor.core.retired, hypervisor.now, len(hypervisor.trace))
"""


def tell(mmu: str, instructions: int, jit: str = "1", cost: str = "zero") -> str:
    """Run the story in a process of its own; returns digest, instructions, virtual time, records."""
    environment = os.environ | {"MINIVISOR_JIT": jit}
    command = [sys.executable, "-W", "error", "-c", STORY, mmu, str(instructions), cost]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=220).stdout


@pytest.mark.parametrize("cost", ["zero", "kvm-arm-2016"])
def test_both_engines_and_two_runs_agree(cost: str) -> None:
    first = tell("minivisor", 60_000_000, cost=cost)
    assert tell("minivisor", 60_000_000, cost=cost) == first
    assert tell("unicorn", 60_000_000, cost=cost) == first


def test_interpreted_and_compiled_agree_over_20_million_instructions() -> None:
    assert tell("minivisor", 20_000_000, jit="0") == tell("minivisor", 20_000_000)


def test_the_digest_would_notice() -> None:
    """A different name on the screen is a different run."""
    ada = Phone(work={"name": "Ada"}).run("20ms")
    bob = Phone(work={"name": "Bob"}).run("20ms")
    assert ada.trace.digest() != bob.trace.digest()


def test_seed_reaches_the_guest_and_nothing_else_does() -> None:
    trees = [bytes(phone.personal.span(0x4000_0000, 4096)) for phone in (Phone(seed=1), Phone(seed=1), Phone(seed=2))]
    assert trees[0] == trees[1] != trees[2]
