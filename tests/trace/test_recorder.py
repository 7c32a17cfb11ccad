"""Stage-2 changes, TLBIs, devices, walks and calls of real personas, as records."""

from __future__ import annotations

import pytest

from minivisor import Phone, guests
from minivisor.arch import pl011
from minivisor.arch.esr import EC
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import RAM, UART, PersonaSettings
from minivisor.machine.board import Machine
from minivisor.platform.image import load_image
from minivisor.trace import kinds, records
from minivisor.trace.records import Kind, Record
from minivisor.trace.store import Trace
from tests.trace.traces import real_run

SIZE = 16 << 20


# LDR of a hole, at EL1 with the MMU off and no vectors: it takes an external abort, and then one at its own vector.
ASTRAY = (0xD2A16000, 0xF9400001)  # mov x0, #0x0b000000; ldr x1, [x0]


@pytest.fixture(scope="module")
def astray(tmp_path_factory: pytest.TempPathFactory) -> Hypervisor:
    """A guest that goes where nothing answers, run until it is stopped."""
    kernel = tmp_path_factory.mktemp("guest") / "astray.bin"
    kernel.write_bytes(b"".join(word.to_bytes(4, "little") for word in ASTRAY) + bytes(64))
    hypervisor = Hypervisor(Machine())
    hypervisor.add(PersonaSettings("astray", memory=SIZE), load_image(str(kernel), RAM, SIZE))
    hypervisor.run(3_000_000)
    return hypervisor


def of_kind(trace: Trace, kind: Kind) -> list[Record]:
    return [record for record in trace if record.kind is kind]


def test_every_mapping_is_recorded_as_it_is_made(astray: Hypervisor) -> None:
    hypervisor = astray
    persona = hypervisor.personas[0]
    changes = [record for record in hypervisor.trace if isinstance(record, records.Stage2Record)]
    recorded = [(r.ipa, r.pa, r.size, hypervisor.trace.texts[r.prot]) for r in changes]
    assert (RAM, persona.pa, SIZE, "rwx") in recorded
    for ipa, pa, size, prot in persona.stage2.mappings():
        assert any(a <= ipa and ipa + size <= a + s and pa - ipa == p - a and prot == t for a, p, s, t in recorded)


def test_protecting_and_unmapping_too() -> None:
    hypervisor = Hypervisor(Machine())
    persona = hypervisor.add(PersonaSettings("hello", memory=SIZE), load_image(guests.path("hello"), RAM, SIZE))
    before = hypervisor.trace.total
    persona.stage2.protect(RAM, 4096, "r")
    persona.stage2.unmap(RAM, 4096)
    new = [(r.kind.name, hypervisor.trace.words(r)) for r in list(hypervisor.trace)[before:]]
    kinds = [kind for kind, _ in new]
    assert kinds.count("STAGE2") == 2 and "TLBI" in kinds
    assert kinds.index("TLBI") < kinds.index("STAGE2"), "a change is recorded once it is complete"
    assert ("STAGE2", f"protect IPA {RAM:#x} to PA 0x0, 0x1000 bytes r") in new
    assert ("TLBI", f"VMID {persona.vmid}, IPA {RAM:#x}") in new


def test_a_device_record_for_each_access_and_its_exit_agrees() -> None:
    trace = real_run()
    pending: records.DeviceRecord | None = None
    pairs = 0
    for record in trace:
        if isinstance(record, records.DeviceRecord):
            assert pending is None
            pending = record
        elif isinstance(record, records.ExitRecord) and pending is not None:
            assert (record.ipa, record.value, record.vcpu) == (pending.ipa, pending.value, pending.vcpu)
            pending, pairs = None, pairs + 1
    assert pairs > 100
    names = {trace.texts[r.device] for r in trace if isinstance(r, records.DeviceRecord)}
    assert {"Distributor", "Pl011"} <= names


def test_a_failing_walk_is_recorded_with_its_steps(astray: Hypervisor) -> None:
    hypervisor = astray
    trace = list(hypervisor.trace)
    walks = [at for at, record in enumerate(trace) if isinstance(record, records.WalkRecord)]
    aborts = [r for r in trace if isinstance(r, records.ExitRecord) and r.outcome is records.Outcome.ABORT]
    assert len(walks) == len(aborts) >= 2
    for at, abort in zip(walks, aborts, strict=True):
        walk = trace[at]
        assert isinstance(walk, records.WalkRecord)
        assert (walk.va, walk.ipa & ~0xFFF, walk.vcpu) == (abort.far, abort.ipa & ~0xFFF, abort.vcpu)
        assert walk.fsc == abort.esr & 0x3F
        steps = trace[at + 1 : at + 1 + walk.steps]
        assert all(isinstance(step, records.StepRecord) for step in steps)
        assert (walk.access, walk.el) == (kinds.WalkAccess.FETCH if abort.esr >> 26 == EC.IABT_LOWER else 0, 1)
        last = steps[-1]
        assert isinstance(last, records.StepRecord) and last.stage == 2
        word = (last.table - hypervisor.machine.memory.base) // 8 + last.index
        assert int(hypervisor.machine.memory.words[word]) == last.descriptor


def test_a_timer_that_interrupts_a_guest() -> None:
    phone = Phone()
    phone.type("S", at=10_000_000)  # it computes, and so does not sleep through its ticks
    trace = phone.run("60ms").trace
    timers = [record for record in trace if isinstance(record, records.TimerRecord)]
    fired = [
        r for r in trace if isinstance(r, records.ExitRecord) and r.cause is records.ExitCause.IRQ and r.value == 27
    ]
    assert [r.time for r in timers if r.intid == 27] == [r.time for r in fired]
    assert timers


def test_a_call_for_each_hvc() -> None:
    hypervisor = Hypervisor(Machine())
    hypervisor.add(PersonaSettings("asks", memory=SIZE), load_image(guests.path("hypercall"), RAM, SIZE))
    trace = hypervisor.trace
    hypervisor.run(20_000_000)
    calls = [record for record in trace if isinstance(record, records.PsciRecord)]
    exits = [r for r in trace if isinstance(r, records.ExitRecord) and r.esr >> 26 == EC.HVC64]
    assert [call.result for call in calls] == [exit_.value for exit_ in exits] and len(calls) > 1
    assert trace.words(calls[0]).startswith("vendor specific hypervisor service 0xc600") and trace.words(
        calls[0]
    ).endswith("= -1")


def test_personas_are_told_apart() -> None:
    for record in of_kind(real_run(), Kind.TLBI):
        assert isinstance(record, records.TlbiRecord) and record.vmid == record.vcpu + 1


def test_a_removed_persona_gives_its_index_away() -> None:
    hypervisor = Hypervisor(Machine())
    image = load_image(guests.path("hello"), RAM, SIZE)
    first, second = (hypervisor.add(PersonaSettings(name, memory=SIZE), image) for name in ("a", "b"))
    hypervisor.remove(first)
    before = hypervisor.trace.total
    second.stage2.protect(RAM, 4096, "r")
    assert all(record.vcpu == 0 for record in list(hypervisor.trace)[before:])


def test_what_a_world_switch_moved_and_what_an_exit_cost_the_host() -> None:
    phone = Phone(slice="500us")
    for persona in phone.personas:
        phone.type("S", persona, at=5_000_000)
    trace = phone.run("20ms").trace
    switches = [record for record in trace if isinstance(record, records.SwitchRecord)]
    kept = {len(vcpu.state) for vcpu in phone.hypervisor.vcpus}
    assert len(kept) == 1
    assert {(s.saved, s.loaded) for s in switches if s.reason is records.SwitchReason.SLICE} == {(*kept, *kept)}
    assert all(s.saved == 0 for s in switches if s.previous == records.NOBODY)
    exits = [r for r in trace if isinstance(r, records.ExitRecord) and r.cause is records.ExitCause.SYNC]
    letters = [r for r in exits if r.ipa in (UART + pl011.UART.DR, UART + pl011.UART.FR)]
    assert 0 < len(letters) < len(exits)
    assert all(r.host for r in exits if r not in letters), "every one is measured that comes to the interpreter"
