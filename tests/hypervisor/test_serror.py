"""EL2 gives a guest an SError: by a handler's outcome, to a vCPU that runs, waits or is not in the core; never to another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minivisor.hypervisor.handlers import on_unknown
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import RAM, Persona, PersonaSettings
from minivisor.hypervisor.reference import reference
from minivisor.machine.board import Machine
from minivisor.platform.image import Image
from minivisor.stages import Outcome
from minivisor.trace.records import Kind
from minivisor.trace.records import Outcome as TraceOutcome
from tests.machine import a64

ENTRY, VECTORS, UART = RAM + 0x8_0000, RAM + 0x9_0000, 0x0900_0000
CALL = 7  # HVC #7: our handler's
SAY_S = [*a64.MOV(2, ord("S")), a64.STRW(2, 1), a64.mrs(20, "ESR_EL1"), a64.ADD(21, 21, 1), a64.ERET]
OFF = [*a64.MOV(0, 0x8400_0008), a64.HVC(0)]


def guest(*body: int) -> Image:
    """A flat guest: X1 the UART, vectors set; its SError handler prints S, keeps ESR in X20 and counts in X21."""
    code = [*a64.MOV(1, UART), *a64.MOV(3, VECTORS), a64.msr("VBAR_EL1", 3), a64.ISB, *body, *OFF]
    pieces = ((ENTRY, code), (VECTORS + 0x380, SAY_S))
    content = tuple((at, np.array(words, np.uint32).tobytes(), 4 * len(words)) for at, words in pieces)
    return Image("test", ENTRY, content, tree=RAM)


def letter(character: str) -> list[int]:
    return [*a64.MOV(2, ord(character)), a64.STRW(2, 1)]


@pytest.fixture(params=["minivisor", "unicorn"])
def hypervisor(request: pytest.FixtureRequest) -> Hypervisor:
    def on_hvc(exit_: Any, vcpu: Any) -> Outcome:
        return Outcome("serror") if exit_.immediate == CALL else usual(exit_, vcpu)

    def stages(persona: Persona) -> Any:
        nonlocal usual
        usual = reference(persona).handlers[0x16]
        return reference(persona, handlers={0x16: on_hvc})

    usual = on_unknown
    return Hypervisor(Machine("a", request.param), stages)


def add(hypervisor: Hypervisor, *body: int) -> Persona:
    return hypervisor.add(PersonaSettings("guest", memory=4 << 20), guest(*body))


def test_a_handlers_outcome_pends_it_and_the_guest_takes_it_when_it_unmasks(hypervisor: Hypervisor) -> None:
    persona = add(hypervisor, a64.HVC(CALL), *letter("a"), a64.MSR_DAIFCLR(4), *letter("b"))
    hypervisor.run(1_000_000)
    assert (persona.console, persona.status, persona.report) == (b"aSb", "off", "")
    exits = [record for record in hypervisor.trace if record.kind == Kind.EXIT]
    assert [record.outcome for record in exits if record.outcome == TraceOutcome.SERROR] == [TraceOutcome.SERROR]


def test_a_vcpu_that_waits_wakes_for_it(hypervisor: Hypervisor) -> None:
    persona = add(hypervisor, a64.MSR_DAIFCLR(4), a64.WFI, *letter("b"))
    vcpu = persona.vcpus[0]
    persona.next_event = lambda _now: hypervisor.now + 1000  # type: ignore[method-assign]  # somebody may yet wake it
    hypervisor.run(500)
    assert vcpu.status == "waiting"
    hypervisor.pend_serror(vcpu)
    hypervisor.run(1_000_000)
    assert persona.console == b"Sb"


def test_wfi_does_not_sleep_while_one_is_pending(hypervisor: Hypervisor) -> None:
    persona = add(hypervisor, a64.HVC(CALL), a64.WFI, *letter("a"), a64.MSR_DAIFCLR(4))
    hypervisor.run(1_000_000)
    assert persona.console == b"aS"


def test_it_goes_with_its_vcpu_through_world_switches_and_to_nobody_else(hypervisor: Hypervisor) -> None:
    """One has it pending and masks it; the other runs with PSTATE.A clear, and many slices long."""
    spin = [a64.SUBS(4, 4, 1), a64.CBNZ(4, -4)]
    first = add(hypervisor, a64.HVC(CALL), *a64.MOV(4, 8_000_000), *spin, a64.MSR_DAIFCLR(4), *letter("b"))
    second = add(hypervisor, a64.MSR_DAIFCLR(4), *a64.MOV(4, 8_000_000), *spin, *letter("c"))
    hypervisor.run(100_000_000)
    assert (first.console, second.console) == (b"Sb", b"c")
    assert sum(record.kind == Kind.SWITCH for record in hypervisor.trace) > 4


def test_a_vcpu_that_starts_again_has_none(hypervisor: Hypervisor) -> None:
    persona = add(hypervisor, a64.MSR_DAIFCLR(4), *letter("b"))
    hypervisor.pend_serror(persona.vcpus[0])
    hypervisor.start(persona)
    hypervisor.run(1_000_000)
    assert persona.console == b"b"
