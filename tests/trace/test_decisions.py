"""Decisions by rule are in the trace: what was decided, by which rule, why; and they change when their cause does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from minivisor import Phone, guests
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.list_registers import POLICIES
from minivisor.hypervisor.ownership import OwnershipError
from minivisor.hypervisor.persona import RAM, Persona, PersonaSettings
from minivisor.hypervisor.reference import reference
from minivisor.machine.board import Machine
from minivisor.phone.parts import load_scheduler
from minivisor.platform.image import load_image
from minivisor.stages import Stages
from minivisor.trace.decisions import decisions
from minivisor.trace.records import IrqEvent, IrqRecord, PolicyEvent, PolicyRecord, SchedRecord
from minivisor.trace.store import TEXTS, Trace
from tests.views.examples import crowded

SIZE = 16 << 20


def of(trace: Trace, event: PolicyEvent) -> list[PolicyRecord]:
    return [record for record in trace if isinstance(record, PolicyRecord) and record.event is event]


def hello() -> Hypervisor:
    hypervisor = Hypervisor(Machine())
    hypervisor.add(PersonaSettings("hello", memory=SIZE), load_image(guests.path("hello"), RAM, SIZE))
    return hypervisor


def test_who_must_wait_for_a_list_register_and_by_which_policy() -> None:
    trace, records = crowded(1).trace, list(crowded(1).trace)
    spilled = of(trace, PolicyEvent.SPILL)
    assert spilled and not of(crowded(4).trace, PolicyEvent.SPILL)
    for decision in spilled:
        before = records[records.index(decision) - 1]
        assert isinstance(before, IrqRecord) and before.event is IrqEvent.SPILLED
        assert trace.texts[decision.rule] == "list_registers.flush"
        assert trace.texts[decision.why] == "1 of 2 interrupts wait: there are 1 list registers"
        assert decision.about == before.intid


def bao(persona: Persona) -> Stages:
    return replace(reference(persona), flush=POLICIES["bao"])


def test_another_overflow_policy_is_another_rule() -> None:
    phone = Phone(list_registers=1, stages=bao)
    for at in range(10_000_000, 10_400_000, 4_000):
        phone.type("a", phone.personal, at=at)
    trace = phone.run("12ms").trace
    assert {trace.texts[d.rule] for d in of(trace, PolicyEvent.SPILL)} == {"list_registers.flush_keep_active"}


def test_pages_of_somebody_else_are_refused_with_their_owner() -> None:
    hypervisor = hello()
    persona, trace = hypervisor.personas[0], hypervisor.trace
    base = hypervisor.machine.memory.base
    with pytest.raises(OwnershipError):
        persona.stage2.map(0x2000_0000, base, 4096, "rw")
    (refused,) = of(trace, PolicyEvent.REFUSE)
    assert refused.about == base and "belongs to hypervisor" in trace.texts[refused.why]
    assert trace.words(refused).endswith("(rule: page ownership)")


def test_a_persona_that_is_ended_and_what_it_hears_no_more() -> None:
    phone = Phone()
    phone.type("P", phone.work, at=8_000_000)  # it panics, for ever
    phone.type("x", phone.work, at=200_000_000)
    trace = phone.run("250ms").trace
    (stopped,), (dropped,) = of(trace, PolicyEvent.STOP), of(trace, PolicyEvent.DROP)
    assert stopped.vcpu == dropped.vcpu == 1 and trace.texts[stopped.rule] == "fixed point"
    assert (dropped.time, dropped.about, trace.texts[dropped.why]) == (200_000_000, ord("x"), "it is off")


def test_a_choice_says_why_when_its_policy_does() -> None:
    def reasons(name: str) -> set[str]:
        phone = Phone(slice="100us", scheduler=load_scheduler(name, 100_000))
        trace = phone.run("1ms").trace
        return {trace.texts[record.why] for record in trace if isinstance(record, SchedRecord)}

    assert {"personal has advanced least for its weight", "no other persona is ready"} <= reasons("fair-share")
    assert reasons("round-robin") == {"the next one in turn"}


def test_the_table_counts_them() -> None:
    trace = Trace()
    for _ in range(3):
        trace.policy(0, 0, PolicyEvent.SPILL, "mine", "one too many", 27)
    trace.policy(0, 1, PolicyEvent.REFUSE, "page ownership", "not yours", 0x1000)
    assert decisions(trace).rows == (
        ("spill", "vcpu0", "mine", "one too many", 3),
        ("refuse", "vcpu1", "page ownership", "not yours", 1),
    )


def test_reasons_without_end_take_no_room_without_end_and_none_is_another_ones() -> None:
    trace = Trace()
    for number in range(TEXTS + 5):
        trace.policy(0, 0, PolicyEvent.REFUSE, "rule", f"because of {number}")
    last = trace[-1]
    assert isinstance(last, PolicyRecord) and "because" not in trace.texts[last.why] and len(trace.texts) == TEXTS
