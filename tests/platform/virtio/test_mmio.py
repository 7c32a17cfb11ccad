"""The transport against virtio 1.2, 4.2: registers, status, features, queues, interrupts, and its pace."""

import json

import pytest

from minivisor.platform.virtio.device import Device
from minivisor.platform.virtio.mmio import BURST
from tests.platform.virtio.naive_driver import BASE, EVENT_IDX, INDIRECT_DESC, VERSION_1
from tests.platform.virtio.rig import Rig


class Echo(Device):
    """Queue 0 answers with what it was sent; queue 1 has nothing to say until `say`."""

    id = 42
    name = "echo"
    queues = (16, 8)
    features = 1 << 3
    outside = True

    def __init__(self):
        super().__init__()
        self.words, self.agreed = [], None

    def config(self):
        return b"\x11\x22\x33\x44\x55\x66\x77\x88"

    def negotiated(self, features):
        self.agreed = features

    def wants(self, queue):
        return queue == 0 or bool(self.words)

    def handle(self, queue, chain):
        return chain.put(chain.take(chain.readable) if queue == 0 else self.words.pop(0))

    def say(self, words):
        self.words.append(words)
        self.serve(1)


@pytest.fixture
def rig():
    return Rig(Echo())


def test_a_device_is_recognized_by_its_first_registers(rig):
    assert [rig.driver.get(offset) for offset in (0, 4, 8)] == [0x74726976, 2, 42]
    assert rig.driver.offered() == VERSION_1 | EVENT_IDX | INDIRECT_DESC | 1 << 3
    rig.driver.set(0x14, 2)
    assert rig.driver.get(0x10) == 0
    rig.driver.set(0x30, 2)
    assert (rig.driver.get(0x34), rig.driver.get(0x44)) == (0, 0)
    assert rig.driver.get(0xB0) == rig.driver.get(0xB8) == 0xFFFF_FFFF  # no shared memory
    assert rig.driver.get(0xFC) == 0


@pytest.mark.parametrize("features", [VERSION_1, VERSION_1 | EVENT_IDX, VERSION_1 | INDIRECT_DESC, None])
@pytest.mark.parametrize("indirect", [False, True])
def test_a_request_goes_there_and_back(rig, features, indirect):
    indirect = indirect and features in (VERSION_1 | INDIRECT_DESC, None)
    driver = rig.driver.start(features)
    assert driver.status == 15 and rig.device.agreed == (rig.transport.offered if features is None else features)
    done = driver.request([b"he", b"", b"llo"], [2, 9], indirect=indirect)
    assert (done.length, done.data) == (5, b"hello" + bytes(6))
    assert rig.transport.interrupt and driver.acknowledge() == 1 and not rig.transport.interrupt
    for at, size in rig.ram.writes:
        assert BASE <= at and at + size <= rig.ram.top


def test_one_kick_serves_all_that_is_there_and_interrupts_once(rig):
    driver = rig.driver.start()
    for n in range(16):
        driver.queues[0].add([bytes((n,))], [], indirect=True)
    driver.kick()
    assert [done.length for done in driver.queues[0].collect()] == [0] * 16
    assert driver.acknowledge() == 1 and driver.get(0x60) == 0


def test_the_ring_goes_round_and_so_do_its_indices(rig):
    driver = rig.driver.start(size=4)
    queue, near = driver.queues[0], 0x10000 - 10  # as if so many had gone through already
    state = rig.transport.state()
    state["queues"][0] |= dict.fromkeys(("_taken", "_offered", "_given", "_told"), near)
    rig.transport.load(state)
    queue.idx = queue.seen = near
    for at in (queue.driver + 2, queue.device + 2, queue.driver + 12, queue.device + 36):
        rig.ram.write(at, near.to_bytes(2, "little"))
    for n in range(40):
        before = queue.idx
        queue.add([bytes((n,))], [1])
        assert queue.must_kick(before)
        assert driver.kick() is None and driver.acknowledge() == 1
        assert [done.data for done in queue.collect()] == [bytes((n,))]
    assert queue.idx == 30


def test_an_interrupt_only_when_the_driver_wants_one(rig):
    driver = rig.driver.start(VERSION_1)
    rig.ram.write(driver.queues[0].driver, b"\x01")  # NO_INTERRUPT
    driver.request([b"x"], [1])
    assert not rig.transport.interrupt
    driver = rig.driver.start(VERSION_1 | EVENT_IDX)
    queue = driver.queues[0]
    rig.ram.write(queue.driver + 4 + 2 * queue.size, b"\x02\x00")  # used_event: tell me of the third
    for n in range(4):
        queue.add([b"x"], [1])
        driver.kick()
        assert rig.transport.interrupt == (n >= 2)


def test_what_comes_from_outside_waits_for_a_buffer(rig):
    driver = rig.driver.start()
    assert rig.transport.listening
    rig.device.say(b"first")
    assert not rig.transport.interrupt
    driver.queues[1].add([], [8])
    driver.queues[1].add([], [8])
    driver.kick(1)
    assert [done.data[: done.length] for done in driver.queues[1].collect()] == [b"first"]
    assert driver.acknowledge() == 1
    rig.device.say(b"second")
    assert [done.data[: done.length] for done in driver.queues[1].collect()] == [b"second"]
    assert driver.acknowledge() == 1


@pytest.mark.parametrize("features", [0, EVENT_IDX, VERSION_1 | 1 << 4, VERSION_1 | 1 << 40])
def test_features_that_were_not_offered_or_without_version_1_are_not_accepted(rig, features):
    with pytest.raises(AssertionError, match="not accepted"):
        rig.driver.start(features)
    rig.driver.set(0x70, 15)
    assert rig.driver.status & 12 == 0  # nor does DRIVER_OK stay without FEATURES_OK


def test_features_are_fixed_once_they_are_accepted(rig):
    driver = rig.driver.start(VERSION_1)
    driver.set(0x24, 0)
    driver.set(0x20, 0xFFFF_FFFF)
    driver.set(0x70, 0x8F)
    assert driver.status == 0x8F and rig.device.agreed == VERSION_1


def test_nothing_is_served_before_driver_ok(rig):
    driver = rig.driver.start()
    rig.transport.status = 11
    driver.queues[0].add([b"x"], [1])
    driver.kick()
    assert driver.queues[0].collect() == [] and not rig.transport.listening


def test_a_queue_in_use_cannot_be_moved(rig):
    driver = rig.driver.start()
    driver.set(0x30, 0)
    for offset in (0x38, 0x80, 0x84, 0x90, 0x94, 0xA0, 0xA4):
        driver.set(offset, 0xFFFF_FFF0)
    assert driver.request([b"still there"], [11]).data == b"still there"
    driver.set(0x44, 0)
    assert driver.get(0x44) == 0
    driver.queues[0].add([b"x"], [1])
    driver.kick()
    assert driver.queues[0].collect() == []


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (0x38, 0),
        (0x38, 3),
        (0x38, 32),
        (0x38, 1 << 31),
        (0x80, 8),
        (0x84, 1),
        (0x90, 1),
        (0xA0, 2),
        (0xA4, 0xFFFF_FFFF),
        (0x90, 0),
    ],
)
def test_a_queue_that_cannot_be_is_reported(rig, offset, value):
    driver = rig.driver.start()
    driver.set(0x70, 0)
    driver.set(0x70, 3)
    driver.set(0x38, 16)
    for at in (0x80, 0x90, 0xA0):
        driver.set(at, BASE)
    driver.set(offset, value)
    driver.set(0x44, 1)
    assert driver.status & 64 and "queue 0: " in rig.reports[0] and not rig.transport.interrupt
    driver.start()
    assert not driver.status & 64 and driver.request([b"again"], [5]).data == b"again" and rig.transport.report == ""


def test_a_broken_queue_interrupts_and_stays_broken_until_reset(rig):
    driver = rig.driver.start()
    queue = driver.queues[0]
    queue.add([b"good"], [4])
    queue.descriptor(9, 0, 1, 0)
    queue.offer(9)
    driver.kick()
    assert driver.status == 15 | 64 and driver.acknowledge() == 3  # the one before it was served
    assert "chain 9, descriptor 9: [0x0, 0x1) is not the guest's RAM" in rig.reports[0]
    driver.kick()
    driver.kick(1)
    rig.device.say(b"nobody listens")
    assert len(rig.reports) == 1 and not rig.transport.interrupt and not rig.transport.listening
    driver.start()
    assert driver.request([b"x"], [1]).data == b"x"


def test_registers_have_32_bits_and_the_configuration_any(rig):
    assert [rig.transport.read(0, width) for width in (1, 2, 8)] == [0, 0, 0]
    assert rig.transport.read(2, 4) == 0
    rig.transport.write(0x70, 1, 1)
    assert rig.driver.status == 0
    assert [rig.driver.config(*at) for at in ((0, 1), (2, 2), (4, 4), (0, 8), (6, 4), (8, 4))] == [
        0x11, 0x4433, 0x88776655, 0x8877665544332211, 0x8877, 0]  # fmt: skip


def test_ahead_of_time_it_goes_so_far_and_no_further():
    rig = Rig(Echo(), 16 << 20)
    driver = rig.driver.start()
    half = bytes(BURST // 2)
    top = rig.ram.top
    for _ in range(4):
        rig.ram.top = top  # the same bytes again and again
        driver.queues[0].add([half], [1])
    driver.kick()
    assert len(driver.queues[0].collect()) == 2 and rig.transport.deadline > 0
    driver.acknowledge()
    rig.now = rig.transport.deadline - 1
    assert not rig.transport.interrupt
    rig.now += 1
    assert rig.transport.interrupt and len(driver.queues[0].collect()) == 1
    rig.now = rig.transport.deadline
    assert rig.transport.interrupt and len(driver.queues[0].collect()) == 1 and rig.transport.deadline is None


def test_a_snapshot_goes_on_where_it_was(rig):
    driver = rig.driver.start()
    driver.queues[1].add([], [8])
    driver.kick(1)
    driver.request([b"x"], [1])
    state = json.loads(json.dumps(rig.transport.state()))
    twin = Rig(Echo())
    twin.ram.bytes[:] = rig.ram.bytes
    twin.transport.load(state)
    for each in (rig, twin):
        each.device.say(b"hello")
        assert each.transport.interrupt and each.device.agreed == rig.transport.offered
        driver.queues[1].ram = each.ram
        driver.queues[1].seen = 0
        driver.queues[1].chains = {0: ([0], [(each.ram.top, 0)])}
        assert [done.length for done in driver.queues[1].collect()] == [5]
    assert twin.transport.state() == rig.transport.state()
