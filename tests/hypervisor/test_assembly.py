"""Personas come and go, parts are replaced, and time may be the host's: the assembled hypervisor, on a real machine."""

from __future__ import annotations

import re
import threading
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

from minivisor import guests
from minivisor.errors import BoardError, OptionError, StageError
from minivisor.hypervisor import list_registers, stage2
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import RAM, Persona, PersonaSettings
from minivisor.hypervisor.psci import Psci, answer
from minivisor.hypervisor.reference import reference
from minivisor.machine.board import Machine
from minivisor.machine.clock import HostClock
from minivisor.phone.summary import summarize
from minivisor.platform.image import load_image
from minivisor.stages import Hvc, Outcome, Vcpu

MIB = 1 << 20


def add(hypervisor: Hypervisor, name: str, guest: str = "hello", memory: int = 8 * MIB) -> Persona:
    settings = PersonaSettings(name, memory=memory)
    return hypervisor.add(settings, load_image(guests.path(guest), RAM, memory))


def hello(**parts: Any) -> Persona:
    """The hello guest, run to its end under replaced parts."""
    hypervisor = Hypervisor(Machine(), stages=lambda guest: reference(guest, **parts))
    persona = add(hypervisor, "one")
    hypervisor.run(1_000_000_000)
    return persona


def test_hello_says_so_and_powers_off() -> None:
    persona = hello()
    assert persona.console.decode() == "hello from EL1\r\nPSCI 1.1\r\n"
    assert (persona.status, persona.report) == ("off", "")


# ── personas come and go ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_persona_is_started_again_in_the_middle_of_a_slice() -> None:
    hypervisor = Hypervisor(Machine())
    personas = [add(hypervisor, "one"), add(hypervisor, "two")]
    for at in range(1, 5):
        hypervisor.run(hypervisor.now + 100)
        hypervisor.start(personas[at % 2])
    hypervisor.run(10_000_000)
    assert all(persona.console.endswith(b"hello from EL1\r\nPSCI 1.1\r\n") for persona in personas)


def test_a_removed_persona_leaves_nothing_behind() -> None:
    hypervisor = Hypervisor(Machine())
    first = add(hypervisor, "first")
    hypervisor.run(100_000_000)
    pa = first.pa
    assert hypervisor.machine.memory.span(pa, 8 * MIB).any()
    hypervisor.remove(first)
    assert not hypervisor.machine.memory.span(pa, 8 * MIB).any()
    assert list(first.stage2.mappings()) == []
    assert hypervisor.ledger.count(first.owner) == 0
    second = add(hypervisor, "second")
    assert (second.pa, second.vmid) == (pa, first.vmid), "the room is used again"
    hypervisor.run(hypervisor.now + 100_000_000)
    assert second.console.startswith(b"hello from EL1")


def test_the_vmid_of_a_removed_persona_reaches_nothing_of_it() -> None:
    """The next owner of the VMID runs other code at the same addresses: a TLB entry left behind would run the old."""
    hypervisor = Hypervisor(Machine())
    first = add(hypervisor, "first", "hello")
    hypervisor.run(100_000_000)
    hypervisor.remove(first)
    second = add(hypervisor, "second", "persona", 16 * MIB)
    hypervisor.run(hypervisor.now + 20_000_000)
    assert second.vmid == first.vmid
    assert second.console.startswith(b"second: kernel at")


def test_a_phone_that_is_full_says_so() -> None:
    hypervisor = Hypervisor(Machine())
    add(hypervisor, "large", memory=200 * MIB)
    with pytest.raises(OptionError, match=r"64 MiB do not fit; 54 MiB of 256 are free"):
        add(hypervisor, "another", memory=64 * MIB)


@pytest.mark.parametrize("settings", [{"memory": 3 * MIB}, {"memory": MIB}, {"cpus": 0}, {"cpus": 9}, {"colour": -1}])
def test_settings_nobody_can_have(settings: dict[str, int]) -> None:
    with pytest.raises(OptionError, match="persona 'x'"):
        PersonaSettings("x", **settings)


# ── replaced parts ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_replaced_psci_answers_the_hypercall() -> None:
    def older(function: int, args: Any, vcpu: Any) -> Outcome:
        return answer(0x0000_0002) if function == 0x8400_0000 else Psci(lambda _n: None)(function, args, vcpu)

    assert b"PSCI 0.2" in hello(psci=older).console


def test_what_a_handler_was_shown_stays_as_it_was() -> None:
    """A part may keep a view, and may not change the guest with it."""
    kept: list[Vcpu] = []

    def on_hvc(exit: Hvc, vcpu: Vcpu) -> Any:
        kept.append(vcpu)
        with pytest.raises(FrozenInstanceError):
            vcpu.pc = 0  # type: ignore[misc]
        return Outcome(writes={"X0": vcpu.x[0] + 1})

    hypervisor = Hypervisor(Machine(), stages=lambda guest: reference(guest, handlers={0x16: on_hvc}))
    persona = add(hypervisor, "one")
    code = np.array([0x5280_0120, 0xD400_0002, 0xD400_0002, 0x1400_0000], np.uint32)  # movz w0, #9; hvc #0 twice; b .
    persona.span(persona.image.entry, 16).view(np.uint32)[:] = code
    hypervisor.run(1_000)
    assert [(view.x[0], view.pc - persona.image.entry) for view in kept] == [(9, 8), (10, 12)]


def test_tables_built_page_by_page_boot_the_same_guest() -> None:
    mapped = []

    def map_page(tables: Any, ipa: int, pa: int, prot: str) -> None:
        mapped.append(ipa)
        stage2.map_page(tables, ipa, pa, prot)

    persona = hello(map_page=map_page)
    assert persona.console.decode() == hello().console.decode()
    virtual_interface = [0x0801_0000]
    assert mapped == list(range(RAM, RAM + 8 * MIB, 4096)) + virtual_interface


def test_every_part_of_the_interrupt_path_is_used() -> None:
    used: set[str] = set()

    def note(name: str, part: Any) -> Any:
        def noted(*arguments: Any) -> Any:
            used.add(name)
            return part(*arguments)

        return noted

    parts = {name: note(name, getattr(list_registers, name)) for name in ("flush", "fold", "target")}
    hypervisor = Hypervisor(Machine(), stages=lambda guest: reference(guest, **parts))
    persona = add(hypervisor, "one", "persona", 16 * MIB)
    hypervisor.key(persona, ord("x"), at=30_000_000)
    hypervisor.run(60_000_000)
    assert used == {"flush", "fold", "target"}
    assert b"key 'x'" in persona.console


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"handlers": {0x16: lambda _exit, _vcpu: 1 / 0}}, "ZeroDivisionError"),
        ({"handlers": {0x16: lambda _exit, _vcpu: Outcome("shrug")}}, "outcome 'shrug'"),
        ({"decode": lambda *_: None}, "AttributeError"),
    ],
)
def test_a_part_that_breaks_its_contract_is_named(parts: dict[str, Any], words: str) -> None:
    with pytest.raises(StageError, match=words):
        hello(**parts)


def test_a_scheduler_that_chooses_nobody_sensible_is_named() -> None:
    class Wild:
        def next(self, _now: int, _vcpus: Any) -> tuple[int, int]:
            return 7, 1000

    hypervisor = Hypervisor(Machine(), scheduler=Wild())
    add(hypervisor, "one")
    with pytest.raises(StageError, match="chose vCPU 7"):
        hypervisor.run(1_000_000)


def test_exits_without_progress_stop_the_persona_and_not_the_host() -> None:
    """A handler that resumes at the trapped instruction for ever."""
    persona = hello(handlers={0x24: lambda _exit, _vcpu: Outcome("resume")})
    assert "1000 exits in a row without one instruction retired" in persona.report


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


class FakeHost:
    """A host whose clock moves by what it is told, and by sleeping."""

    def __init__(self) -> None:
        self.time, self.slept = 5_000_000_000, 0.0

    def monotonic(self) -> int:
        self.time += 50_000  # every look costs some
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.time += round(seconds * 1e9)


def test_with_the_hosts_clock_an_idle_phone_sleeps_and_time_keeps_up() -> None:
    host = FakeHost()
    hypervisor = Hypervisor(Machine())
    hypervisor.clock = HostClock(hypervisor.core, host.monotonic, host.sleep)
    began = host.time
    add(hypervisor, "one", "persona", 16 * MIB)
    hypervisor.run(500_000_000)
    assert hypervisor.clock.described == {"clock": "host", "instructions": "counted"}
    assert abs((host.time - began) - hypervisor.now) < 60_000_000
    assert host.slept > 0.3, "mostly idle"
    assert hypervisor.core.retired < 20_000_000


def test_time_never_goes_back_under_the_hosts_clock() -> None:
    host = FakeHost()
    hypervisor = Hypervisor(Machine())
    clock = HostClock(hypervisor.core, host.monotonic, host.sleep)
    hypervisor.core.skip(10_000_000_000)  # the guest ran ahead
    before = hypervisor.now
    clock.catch_up()
    assert hypervisor.now == before


@pytest.mark.parametrize(
    ("guest", "bootargs", "cpus"), [("hello", "", 1), ("bench", "mixed 1", 1), ("bench", "svc 500", 1), ("smp", "", 4)]
)
def test_guests_do_the_same_on_the_hosts_clock_which_counts_nothing(guest: str, bootargs: str, cpus: int) -> None:
    said = []
    for clock in ("virtual", "host"):
        hypervisor = Hypervisor(Machine(), clock=clock)
        settings = PersonaSettings(guest, memory=8 * MIB, bootargs=bootargs, cpus=cpus)
        persona = hypervisor.add(settings, load_image(guests.path(guest), RAM, 8 * MIB))
        while hypervisor.alive and hypervisor.now < 60_000_000_000:
            hypervisor.run(hypervisor.now + 5_000_000)
        assert (persona.status, persona.report) == ("off", "")
        said.append(re.sub(r", \d+ ns", "", persona.console.decode()))
    assert said[0] == said[1] != ""
    assert hypervisor.trace.metadata.extra == {"clock": "host", "instructions": "not counted"}
    assert summarize(hypervisor, 1.0).instructions is None
    assert "instructions not counted (host clock)" in str(summarize(hypervisor, 1.0))
    assert not any(thread.name == "minivisor-watch" for thread in threading.enumerate())


def test_on_the_hosts_clock_too_exits_without_progress_stop_the_persona() -> None:
    stuck = {0x24: lambda _exit, _vcpu: Outcome("resume")}
    hypervisor = Hypervisor(Machine(), stages=lambda guest: reference(guest, handlers=stuck), clock="host")
    persona = add(hypervisor, "one")
    hypervisor.run(60_000_000_000)
    assert "1000 exits in a row without one instruction retired" in persona.report


def test_an_unknown_clock() -> None:
    with pytest.raises(OptionError, match="clock: 'sundial' is unknown; there is virtual, host"):
        Hypervisor(Machine(), clock="sundial")


def test_costs_move_the_clock_and_nothing_else() -> None:
    from minivisor.hypervisor.cost import cost_model

    runs = []
    for name in ("zero", "kvm-arm-2016"):
        hypervisor = Hypervisor(Machine(), cost=cost_model(name))
        persona = add(hypervisor, "one")
        hypervisor.run()
        runs.append((hypervisor.core.retired, bytes(persona.console), hypervisor.now))
        assert hypervisor.trace.metadata.cost_model == name
    assert runs[0][:2] == runs[1][:2]
    exits = len(hypervisor.trace.select(1))
    aborts = int(np.count_nonzero(hypervisor.trace.select(1)["esr"] >> np.uint64(26) == 0x24))
    assert runs[1][2] - runs[0][2] == aborts * 3071 + (exits - aborts) * 2708 + 4328


def test_no_register_of_one_vcpu_is_left_for_the_next() -> None:
    """On the real core: fill every register the world switch names, switch to an empty vCPU, and look for the fill."""
    from minivisor.hypervisor import world

    core = Machine().core
    fill = {name: 0x5A5A_5A5A_5A5A_5A5A & _width(name) for name in world.REGISTERS if name not in ("PSTATE", "VTTBR_EL2")}
    world.load(core, fill | {"PSTATE": 0x3C5})
    mine = world.save(core)
    survived = {name for name, value in fill.items() if mine[name] == value}
    assert {"X7", "V31", "TPIDR_EL0", "SP_EL0", "DBGBVR5_EL1", "CNTV_CVAL_EL0", "FPSR"} <= survived
    world.load(core, {"PSTATE": 0x3C5})
    after = world.save(core)
    assert {name for name, value in after.items() if value and name != "PSTATE"} == set()
    world.load(core, mine)
    assert world.save(core) == mine


def _width(name: str) -> int:
    """Bits that a register can hold, so that what is written comes back."""
    masks = {"FPCR": 0x07C0_0000, "FPSR": 0x0800_009F, "CPACR_EL1": 0x0030_0000, "CSSELR_EL1": 0xF, "CNTKCTL_EL1": 0x3FF}
    return masks.get(name, (1 << 128) - 1 if name in {f"V{n}" for n in range(32)} else (1 << 64) - 1)


def test_el2_logs_on_the_boards_own_serial_port() -> None:
    hypervisor = Hypervisor(Machine())
    add(hypervisor, "one")
    hypervisor.run()
    log = hypervisor.machine.console.decode()
    assert "one: 8 MiB at PA 0x80200000, VMID 1, start\r\n" in log
    assert "one: PSCI SYSTEM_OFF\r\n" in log
    with pytest.raises(BoardError, match="no device at 0x1234"):
        hypervisor.machine.write_device(0x1234, 0)
