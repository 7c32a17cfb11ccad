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
from minivisor.phone.phone import Phone
phone = Phone(mmu=sys.argv[1], work={"name": "Ada"}, cost=sys.argv[3])
phone.type("Sab", phone.personal, at=60_000_000)
phone.type("xF", phone.work, at=75_000_000)
phone.run("70ms")
phone.switch()
while phone.machine.core.retired < int(sys.argv[2]):
    phone.run("1ms")
print(phone.trace.digest(), phone.machine.core.retired, phone.now, len(phone.trace))
"""


def tell(mmu: str, instructions: int, jit: str = "1", cost: str = "zero") -> str:
    """Run the story in a process of its own; returns digest, instructions, virtual time, records."""
    environment = os.environ | {"MINIVISOR_JIT": jit}
    command = [sys.executable, "-W", "error", "-c", STORY, mmu, str(instructions), cost]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=110).stdout


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
