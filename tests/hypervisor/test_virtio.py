"""virtio devices of a persona: on its bus, in its memory, on its interrupts, in the input log; and never the other persona's.

The naive driver stands in for the guest's kernel here: it reaches the devices through the persona's bus, as a stage-2 fault
does. Real kernels drive them in `tests/system/`.
"""

from __future__ import annotations

import numpy as np
import pytest

from minivisor.errors import OptionError
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import RAM, Persona, PersonaSettings
from minivisor.machine.board import Machine
from minivisor.phone.summary import summarize
from minivisor.platform.image import load_image
from minivisor.platform.virtio.block import Block
from minivisor.platform.virtio.console import Console
from minivisor.platform.virtio.device import Device
from minivisor.platform.virtio.disk import MemoryDisk
from minivisor.platform.virtio.entropy import Entropy
from minivisor.platform.virtio.input import Keyboard, Touch
from minivisor.platform.virtio.net import LATENCY, Net
from minivisor.platform.virtio.switch import Switch
from minivisor.stages import Access
from minivisor.trace.records import InputEvent, InputRecord, Kind
from tests.naive_devicetree import parse
from tests.platform.virtio.naive_driver import Driver, Ram

MIB, MS = 1 << 20, 1_000_000
ENTRY = 0x4008_0000
LOOP, WFI, BACK = 0x1400_0000, 0xD503_207F, 0x17FF_FFFF  # b . / wfi / b .-4
OFF = (0x5280_0100, 0x72B0_8000, 0xD400_0002)  # PSCI SYSTEM_OFF


class Registers:
    """A slot as the bus shows it."""

    def __init__(self, persona: Persona, slot: int) -> None:
        self.perform, self.base = persona.bus.perform, 0x0A00_0000 + 0x200 * slot

    def read(self, offset: int, width: int) -> int | None:
        return self.perform(Access(self.base + offset, width, False, 0), 0)

    def write(self, offset: int, width: int, value: int) -> None:
        assert self.perform(Access(self.base + offset, width, True, 0, value), 0) == 0


class PersonaRam(Ram):
    """The persona's own, from 5 MiB on, a part for each slot."""

    def __init__(self, persona: Persona, slot: int) -> None:
        super().__init__(0)
        self.bytes = memoryview(persona.span(RAM, persona.settings.memory))
        self.top = RAM + 5 * MIB + MIB * slot


def drive(persona: Persona, slot: int = 0) -> Driver:
    return Driver(Registers(persona, slot), PersonaRam(persona, slot)).start()


@pytest.fixture
def make(tmp_path):
    machines = []

    def persona(*devices: Device, code=(LOOP,), name="guest", first=True, memory=8 * MIB, cpus=1) -> Persona:
        file = tmp_path / "code.bin"
        file.write_bytes(b"".join(word.to_bytes(4, "little") for word in code))
        if first:
            machines.append(Hypervisor(Machine("a")))
        settings = PersonaSettings(name, memory=memory, cpus=cpus)
        made = machines[-1].add(settings, load_image(str(file), RAM, memory), devices)
        made.test_hypervisor = machines[-1]
        return made

    return persona


def test_every_slot_answers_and_the_tree_names_those_in_use(make):
    persona = make(Block(MemoryDisk(512)), Entropy(0))
    assert [Registers(persona, slot).read(8, 4) for slot in (0, 1, 2, 31)] == [2, 4, 0, 0]
    assert [Registers(persona, 31).read(offset, 4) for offset in (0, 4)] == [0x74726976, 2]
    Registers(persona, 31).write(0x70, 4, 1)
    assert persona.bus.perform(Access(0x0A00_4000, 4, False, 0), 0) is None
    size = int.from_bytes(bytes(persona.span(persona.image.tree + 4, 4)), "big")
    nodes, _ = parse(bytes(persona.span(persona.image.tree, size)))
    found = [path for path in nodes if path.startswith("/virtio")]
    assert found == ["/virtio_mmio@a000000", "/virtio_mmio@a000200"]
    assert nodes[found[1]]["reg"].hex() == "000000000a0002000000000000000200"
    assert nodes[found[1]]["interrupts"].hex() == "000000000000001100000004"


def test_more_devices_than_slots(make):
    with pytest.raises(OptionError, match="33 devices"):
        make(*(Entropy(n) for n in range(33)))


def test_a_request_raises_the_slots_interrupt(make):
    persona = make(Entropy(0), Entropy(1))
    driver = drive(persona, 1)
    assert any(driver.request([], [64]).data)
    persona.update_lines()
    assert (persona.vgic.line(48), persona.vgic.line(49)) == (False, True)
    driver.acknowledge()
    persona.update_lines()
    assert not persona.vgic.line(49)


def test_a_device_reaches_its_own_guest_only(make):
    first = make(Entropy(0), name="first")
    second = make(Entropy(0), name="second", first=False)
    before = second.span(RAM, 8 * MIB).copy()
    driver = drive(first)
    distance = second.pa - first.pa
    for ipa in (RAM + distance, RAM + 8 * MIB, RAM - 8, second.pa, first.pa, 0):
        driver.start()
        driver.queues[0].descriptor(0, ipa, 8, 2)
        driver.queues[0].offer(0)
        driver.kick()
        assert driver.status & 64
    assert np.array_equal(second.span(RAM, 8 * MIB), before)
    assert (
        b"first: virtio entropy: queue 0: chain 0, descriptor 0: [0x0, 0x8) is not the guest's RAM"
        in first.machine.console
    )
    assert first.virtio.reports[0].startswith("slot 0: virtio entropy") and second.virtio.reports == []
    second.test_hypervisor.run(5 * MS)
    assert first.status == second.status == "running"  # both go on


def test_a_broken_device_is_in_the_summary_until_its_driver_resets_it(make):
    persona = make(Entropy(0), name="<b>")
    driver = drive(persona)
    driver.queues[0].add([b"what"], [])
    driver.kick()
    summary = summarize(persona.test_hypervisor, 0)
    words = "slot 0: virtio entropy: queue 0: chain 0 has no room for noise; the device waits for a reset by its driver"
    assert f"<b>: {words}" in str(summary) and f"&lt;b&gt;: {words}" in summary._repr_html_()
    assert summary.as_dict()["personas"][0]["devices"] == (words,) and not summary.stopped
    driver.start()
    assert summarize(persona.test_hypervisor, 0).personas[0].devices == ()


def test_code_that_a_disk_brings_runs(make):
    program = b"".join(word.to_bytes(4, "little") for word in OFF)
    persona = make(Block(MemoryDisk(program.ljust(512, b"\0"))))
    hypervisor = persona.test_hypervisor
    hypervisor.run(MS)
    assert persona.status == "running"  # going round at ENTRY, translated long ago
    driver = drive(persona)
    queue = driver.queues[0]
    queue.descriptor(0, driver.ram.store(bytes(16)), 16, 1, 1)  # IN, sector 0
    queue.descriptor(1, ENTRY, 512, 3, 2)
    queue.descriptor(2, driver.ram.alloc(1), 1, 2)
    queue.offer(0)
    driver.kick()
    hypervisor.run(2 * MS)
    assert persona.status == "off" and persona.report == ""


def test_a_reset_of_the_guest_resets_its_devices_and_taking_it_away_closes_them(make):
    disk = MemoryDisk(512)
    closed = []
    disk.close = lambda: closed.append(True)
    persona = make(Block(disk))
    driver = drive(persona)
    persona.power_on(0)
    assert driver.status == 0 and driver.get(0x44) == 0
    persona.power_off()
    assert not closed
    persona.test_hypervisor.remove(persona)
    assert closed == [True]


# ── from outside ─────────────────────────────────────────────────────────────────────────────────────────────────────


def inputs(hypervisor):
    return [record for record in hypervisor.trace if record.kind is Kind.INPUT]


def test_keys_and_fingers_come_at_their_moment_and_are_in_the_trace(make):
    keyboard, touch = Keyboard(), Touch(160, 240)
    persona = make(keyboard, touch)
    hypervisor = persona.test_hypervisor
    drivers = [drive(persona, slot) for slot in (0, 1)]
    for driver in drivers:
        for _ in range(8):
            driver.queues[0].add([], [8])
        driver.kick()
    keyboard.key(30, True, at=3 * MS)
    touch.touch(5, 6, at=2 * MS)
    hypervisor.run(MS)
    assert [driver.queues[0].collect() for driver in drivers] == [[], []]
    hypervisor.run(4 * MS)
    assert [len(driver.queues[0].collect()) for driver in drivers] == [2, 4]
    assert [persona.vgic.line(intid) for intid in (48, 49)] == [True, True]
    assert inputs(hypervisor) == [
        InputRecord(time=2 * MS, vcpu=0, event=InputEvent.TOUCH, code=1, position=5 << 32 | 6, slot=2),
        InputRecord(time=3 * MS, vcpu=0, event=InputEvent.KEYBOARD, code=30, position=1, slot=1),
    ]


def test_a_virtio_console_gets_the_keys_and_prints_where_the_uart_does(make):
    console = Console()
    persona = make(console)
    driver = drive(persona)
    driver.queues[0].add([], [16])
    driver.kick(0)
    persona.test_hypervisor.key(persona, ord("k"), at=MS)
    persona.test_hypervisor.run(2 * MS)
    assert [done.data[: done.length] for done in driver.queues[0].collect()] == [b"k"] and not persona.keys
    driver.request([b"printed"], [], queue=1)
    assert persona.console == b"printed"


def conversation(make):
    """Two personas on one switch: who hears what, and the trace's digest."""
    switch = Switch()
    first = make(Net(switch), name="first")
    second = make(Net(switch), name="second", first=False)
    hypervisor = second.test_hypervisor
    drivers = [drive(persona) for persona in (first, second)]
    for driver in drivers:
        for _ in range(8):
            driver.queues[0].add([], [1600])
        driver.kick(0)
    macs = [bytes(driver.config(n, 1) for n in range(6)) for driver in drivers]
    heard = []
    for n in range(4):
        this, other = n % 2, 1 - n % 2
        drivers[this].request([bytes(12), macs[other] + macs[this] + b"\x88\xb5" + bytes((n,)) * 46], [], queue=1)
        sent = hypervisor.now
        hypervisor.run(sent + LATENCY - 1)
        assert drivers[other].queues[0].collect() == []
        hypervisor.run(sent + MS)
        heard += [done.data[12 : done.length] for done in drivers[other].queues[0].collect()]
        assert drivers[other].acknowledge() == 1
    return heard, [record.vcpu for record in inputs(hypervisor)], hypervisor.trace.digest()


def test_two_personas_talk_over_a_switch_in_the_same_way_every_time(make):
    heard, who, digest = conversation(make)
    assert [frame[-1] for frame in heard] == [0, 1, 2, 3] and who == [1, 0, 1, 0]
    assert conversation(make) == (heard, who, digest)


def test_a_guest_that_waits_for_a_frame_is_not_given_up_and_wakes(make):
    switch = Switch()
    persona = make(Net(switch), code=(WFI, BACK))
    hypervisor, driver = persona.test_hypervisor, drive(persona)
    driver.queues[0].add([], [1600])
    driver.kick(0)
    gicd = Registers(persona, 0)
    gicd.base = 0x0800_0000
    for offset, value in ((0x000, 1), (0x104, 1 << 16)):  # GICD_CTLR, GICD_ISENABLER1: interrupt 48
        gicd.write(offset, 4, value)
    hypervisor.run(MS)
    assert persona.status == "running" and persona.vcpus[0].status == "waiting"
    switch.tap().send(b"\xff" * 6 + b"\x02" + bytes(5) + b"\x88\xb5" + bytes(46))
    hypervisor.run(hypervisor.now + LATENCY + 100)  # it never acknowledges: from there on its WFI is no wait
    assert len(driver.queues[0].collect()) == 1 and persona.vgic.line(48)
    assert persona.vcpus[0].status == "ready"


def test_a_guest_that_waits_for_a_disk_that_has_nothing_to_say_is_stopped(make):
    persona = make(Block(MemoryDisk(512)), code=(WFI, BACK))
    drive(persona)
    persona.test_hypervisor.run(MS)
    assert persona.status == "off" and "waits for an interrupt" in persona.report


def test_a_device_that_is_ahead_of_time_goes_on_while_its_guest_waits(make):
    persona = make(Entropy(0), code=(WFI, BACK))
    driver = drive(persona)
    now = persona.test_hypervisor.now
    top = driver.ram.top
    done = 0
    while persona.virtio.deadline is None:
        driver.ram.top = top
        driver.queues[0].add([], [4096])
        driver.kick()
        done += len(driver.queues[0].collect())
        assert done < 2000
    assert persona.next_event(now) == persona.virtio.deadline > now
    persona.test_hypervisor.run(persona.virtio.deadline + 1)
    assert len(driver.queues[0].collect()) == 1 and persona.virtio.deadline is None
