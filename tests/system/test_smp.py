"""A guest with up to eight CPUs, on one core: it checks itself, both engines agree, and nobody else suffers.

`guest-kernels/smp` prints a line for each thing that CPUs do to each other; QEMU's eight host threads print the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from minivisor import guests
from minivisor.arch.encoding import from_iss
from minivisor.arch.esr import EC
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.list_registers import POLICIES
from minivisor.hypervisor.persona import RAM, Persona, PersonaSettings
from minivisor.hypervisor.reference import reference
from minivisor.hypervisor.scheduler import RoundRobin
from minivisor.machine.board import Machine
from minivisor.machine.clock import SPIN
from minivisor.platform.image import load_image
from minivisor.trace.records import Kind
from tests.guest_kernels.virt import Virt

MIB = 1 << 20
CHECKS = ("start", "lock", "exclusive", "event", "sgi ring", "sgi to all", "tlbi", "off")
LINES = [*(f"smp: {check}, ok" for check in CHECKS), "smp: 0 wrong"]


def add(hypervisor: Hypervisor, cpus: int, guest: str = "smp", **settings: Any) -> Persona:
    made = PersonaSettings(f"{guest} {len(hypervisor.personas)}", memory=16 * MIB, cpus=cpus, **settings)
    return hypervisor.add(made, load_image(guests.path(guest), RAM, made.memory))


def lines(persona: Persona) -> list[str]:
    return persona.console.decode().splitlines()[1:]


@pytest.mark.parametrize("cpus", range(1, 9))
def test_every_check_holds_for_any_number_of_cpus(cpus: int) -> None:
    hypervisor = Hypervisor(Machine())
    persona = add(hypervisor, cpus)
    hypervisor.run(100_000_000)
    assert persona.console.decode().startswith(f"smp: {cpus} CPU")
    assert lines(persona) == LINES
    assert (persona.status, persona.report) == ("off", "")


@pytest.mark.parametrize("cpus", [1, 2, 3, 8])
def test_every_check_holds_on_a_gicv3(cpus: int) -> None:
    """SGIs by affinity, one exit each; acknowledged and completed by system registers, no exit. On either engine."""
    hypervisor, other = Hypervisor(Machine("b")), Hypervisor(Machine("b", "unicorn"))
    persona = add(hypervisor, cpus, gic=3)
    add(other, cpus, gic=3)
    for each in (hypervisor, other):
        each.run(100_000_000)
    assert hypervisor.trace.digest() == other.trace.digest()
    assert persona.console.decode().startswith(f"smp: {cpus} CPU")
    assert lines(persona) == LINES
    traps = hypervisor.trace.select(Kind.EXIT)
    trapped = [from_iss(int(esr) & 0x1FF_FFFF).name for esr in traps["esr"] if int(esr) >> 26 == EC.SYSREG]
    assert {name for name in trapped if name.startswith("ICC")} == {"ICC_SGI1R_EL1"}
    assert trapped.count("ICC_SGI1R_EL1") == 4 * cpus + cpus


@pytest.mark.parametrize("count", [1, 16])
def test_a_gicv3_guest_beside_one_with_a_gicv2(count: int) -> None:
    """One core: its interface serves the page for one and system registers for the other, and neither sees the other's."""
    hypervisor = Hypervisor(Machine("b", list_registers=count))
    new, old, home = add(hypervisor, 4, gic=3), add(hypervisor, 4), add(hypervisor, 1, "persona")
    for at in range(20):
        hypervisor.key(home, ord("a") + at, at=5_000_000 + 2_000_000 * at)
    hypervisor.run(150_000_000)
    assert lines(new) == lines(old) == LINES
    assert home.console.count(b"key '") == 20


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("count", [1, 2, 16])
def test_every_check_holds_for_any_number_of_list_registers(count: int, policy: str) -> None:
    """CPU 0 gets its answers from seven senders, one interrupt at a time, and the timer's too: nothing is lost."""
    machine = Machine(list_registers=count)
    hypervisor = Hypervisor(machine, stages=lambda guest: reference(guest, flush=POLICIES[policy]))
    smp, home = add(hypervisor, 8), add(hypervisor, 1, "persona")
    for at in range(20):
        hypervisor.key(home, ord("a") + at, at=5_000_000 + 2_000_000 * at)
    hypervisor.run(100_000_000)
    assert lines(smp) == LINES
    assert home.console.count(b"key '") == 20


STORY = """
import sys
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.machine.board import Machine
from minivisor.machine.clock import SPIN
from tests.system.test_smp import add
hypervisor = Hypervisor(Machine("a", sys.argv[1]))
personas = [add(hypervisor, int(cpus)) for cpus in sys.argv[2:]]
hypervisor.run(100_000_000)
print(hypervisor.trace.digest(), hypervisor.core.retired, *(bytes(persona.console) for persona in personas))
"""


def tell(mmu: str, *cpus: int, jit: str = "1") -> str:
    """Run guests with these numbers of CPUs in a process of its own; returns digest, instructions, consoles."""
    command = [sys.executable, "-W", "error", "-c", STORY, mmu, *map(str, cpus)]
    environment = os.environ | {"MINIVISOR_JIT": jit, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=110).stdout


def test_both_engines_and_both_speeds_agree() -> None:
    first = tell("minivisor", 8, 2)
    assert first.count("smp: 0 wrong") == 2
    assert tell("unicorn", 8, 2) == first
    assert tell("minivisor", 2, jit="0") == tell("minivisor", 2)


@pytest.mark.parametrize("cpus", [1, 8])
@pytest.mark.parametrize("gic", [2, 3])
@pytest.mark.needs("qemu")
def test_the_same_guest_on_qemu(gic: int, cpus: int, tmp_path: Path) -> None:
    with Virt(guests.path("smp"), tmp_path, "-smp", str(cpus), gic=gic) as machine:
        machine.until_off()
        assert machine.until("wrong\r\n").splitlines()[1:] == LINES


def test_a_sibling_is_woken_by_the_exit_it_waits_for_and_not_at_the_next_tick() -> None:
    """With slices of 50 ms nobody waits as long for an SGI: the whole story takes less than one slice."""
    hypervisor = Hypervisor(Machine(), scheduler=RoundRobin(50_000_000))
    persona = add(hypervisor, 4)
    hypervisor.run(40_000_000)
    assert lines(persona) == LINES


def test_turns_are_short_while_a_sibling_is_ready_and_only_then() -> None:
    hypervisor = Hypervisor(Machine(), scheduler=RoundRobin(3_000_000))
    add(hypervisor, 4)
    add(hypervisor, 1, "bench", bootargs="mixed 4")
    hypervisor.run(60_000_000)
    choices = hypervisor.trace.select(Kind.SCHED)
    siblings = 0b1111
    several = [bin(int(ready) & siblings).count("1") > 1 for ready in choices["number"]]
    for choice, ready in zip(choices, several, strict=True):
        assert choice["value"] == (SPIN if ready and choice["vcpu"] < 4 else 3_000_000)
    assert any(several) and not all(several)


def test_what_one_persona_does_among_its_cpus_is_nothing_to_the_other() -> None:
    alone, beside = Hypervisor(Machine()), Hypervisor(Machine())
    quiet = add(alone, 1, "bench", bootargs="hvc 500")
    same = add(beside, 1, "bench", bootargs="hvc 500")
    add(beside, 8)
    for hypervisor in (alone, beside):
        hypervisor.run(400_000_000)
    words = [persona.console.decode().rsplit(",", 1)[0] for persona in (quiet, same)]
    assert words[0] == words[1] == "bench: hvc 500"


def test_a_cpu_that_is_off_hands_its_shared_interrupts_on() -> None:
    """An SPI goes to the first target that is online; when that one goes off, a sibling in WFI wakes for it."""
    hypervisor = Hypervisor(Machine())
    persona = add(hypervisor, 2)
    vgic, (first, second) = persona.vgic, persona.vcpus
    first.status, second.status = "off", "waiting"
    vgic.enabled = True
    uart = vgic.interrupt(33, 0)
    assert uart is not None
    uart.enabled, uart.targets, uart.latch, uart.edge = True, 0b11, True, True
    vgic.settle(uart, 0)
    assert persona.wake(0)
    assert second.status == "ready"


def test_a_vcpu_is_known_by_its_number_inside_whatever_its_pc() -> None:
    hypervisor = Hypervisor(Machine())
    add(hypervisor, 3)
    vcpu = add(hypervisor, 2).vcpus[1]
    assert (vcpu.view().index, vcpu.view_inside().index, vcpu.view_inside(pc=0x4020_0000).index) == (4, 1, 1)
