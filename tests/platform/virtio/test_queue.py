"""Queues as a hostile driver fills them: whatever it writes, nothing outside its memory is touched and nobody waits for ever.

The oracle is `naive_chain` below: it follows a chain as the specification tells it and says whether every rule is kept.
"""

import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minivisor.arch.virtio import DeviceId
from minivisor.platform.virtio.device import Device
from tests.platform.virtio.naive_driver import BASE, INDIRECT, INDIRECT_DESC, NEXT, VERSION_1, WRITE
from tests.platform.virtio.rig import Rig

SIZE = 1 << 14
END = BASE + SIZE


class Sink(Device):
    """Reads what it is sent and fills what it is given with 0xA5; remembers both."""

    id = DeviceId.NONE
    name = "sink"
    queues = (8,)

    def __init__(self):
        super().__init__()
        self.taken = []

    def handle(self, queue, chain):
        limit = 1 << 16
        self.taken.append((chain.head, chain.readable, chain.writable))
        chain.take(limit)
        return chain.put(b"\xa5" * min(chain.writable, limit))


def broken(fill, features=VERSION_1 | INDIRECT_DESC):
    """The report on a driver whose queue `fill(queue, ram)` made."""
    rig = Rig(Sink(), SIZE)
    driver = rig.driver.start(features, size=8)
    queue = driver.queues[0]
    before = bytes(rig.ram.bytes)
    fill(queue, rig.ram)
    filled = bytes(rig.ram.bytes)
    driver.kick()
    assert driver.status & 64 and driver.acknowledge() == 2 and len(rig.reports) == 1 and rig.device.taken == []
    assert bytes(rig.ram.bytes) == filled != before  # nothing was served, nothing written
    return rig.reports[0]


def descriptors(*rows):
    def fill(queue, ram):
        for number, row in enumerate(rows):
            queue.descriptor(number, *row)
        queue.offer(0)

    return fill


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(BASE, 1, NEXT, 0)], "more than 8 descriptors"),
        ([(BASE, 1, NEXT, 1), (BASE, 1, NEXT, 0)], "more than 8 descriptors"),
        ([(BASE, 1, NEXT, 8)], "goes on at descriptor 8 of 8"),
        ([(BASE, 1, NEXT, 0xFFFF)], "goes on at descriptor 65535"),
        ([(BASE - 1, 1, 0)], "[0x3fffffff, 0x40000000) is not the guest's RAM"),
        ([(BASE - 1, 2, 0)], "is not the guest's RAM"),
        ([(END - 1, 2, WRITE)], "is not the guest's RAM"),
        ([(END, 1, WRITE)], "is not the guest's RAM"),
        ([(BASE, 0xFFFF_FFFF, WRITE)], "is not the guest's RAM"),
        ([((1 << 64) - 1, 2, WRITE)], "is not the guest's RAM"),
        ([((1 << 64) - BASE, 2 * BASE & 0xFFFF_FFFF, 0)], "is not the guest's RAM"),
        ([(0x0A00_0000, 4, 0)], "is not the guest's RAM"),
        ([(BASE, 4, WRITE | NEXT, 1), (BASE, 4, 0)], "to be read, after one to be written"),
        ([(BASE, 16, INDIRECT | NEXT, 1), (BASE, 4, 0)], "an indirect table that goes on"),
        ([(BASE, 0, INDIRECT)], "an indirect table of 0 bytes"),
        ([(BASE, 24, INDIRECT)], "an indirect table of 24 bytes"),
        ([(END - 16, 32, INDIRECT)], "is not the guest's RAM"),
        ([(BASE, 0xFFFF_FFF0, INDIRECT)], "is not the guest's RAM"),
    ],
)
def test_a_chain_that_breaks_the_rules_breaks_the_device_with_a_word(rows, words):
    assert words in broken(descriptors(*rows))


def test_an_indirect_table_that_was_not_agreed_on():
    assert "not agreed on" in broken(descriptors((BASE, 16, INDIRECT)), VERSION_1)


@pytest.mark.parametrize(
    ("inner", "words"),
    [
        ((BASE, 16, INDIRECT, 0), "an indirect table inside another"),
        ((BASE, 1, NEXT, 0), "more than 8 descriptors"),
        ((BASE, 1, NEXT, 1), "goes on at descriptor 1 of 1"),
        ((END, 1, 0, 0), "is not the guest's RAM"),
    ],
)
def test_an_indirect_table_that_breaks_the_rules(inner, words):
    def fill(queue, ram):
        queue.descriptor(0, ram.store(struct.pack("<QIHH", *inner)), 16, INDIRECT)
        queue.offer(0)

    assert words in broken(fill)


def test_more_chains_than_the_queue_holds():
    def fill(queue, ram):
        queue.descriptor(0, BASE, 1, 0)
        ram.write(queue.driver + 2, b"\x09\x00")

    assert "9 chains are offered in a queue of 8" in broken(fill)


def test_a_head_that_is_no_descriptor():
    assert "chain 77 goes on at descriptor 77 of 8" in broken(lambda queue, _ram: queue.offer(77))


def test_a_chain_may_be_as_long_as_the_queue_also_in_a_table():
    rig = Rig(Sink(), SIZE)
    driver = rig.driver.start(size=8)
    for indirect in (False, True):
        driver.request([b"ab"] * 4, [3] * 4, indirect=indirect)
    driver.queues[0].descriptor(0, rig.ram.store(bytes(16)), 6, NEXT, 1)  # a plain one, then a table (2.7.5.3.2)
    table = struct.pack("<QIHH", BASE, 5, WRITE, 0)
    driver.queues[0].descriptor(1, rig.ram.store(table), 16, INDIRECT | WRITE)
    driver.queues[0].offer(0)
    driver.kick()
    assert (0, 6, 5) in rig.device.taken and not rig.reports


def test_a_buffer_over_the_queue_itself_ends_like_any_other():
    rig = Rig(Sink(), SIZE)
    driver = rig.driver.start(size=8)
    queue = driver.queues[0]
    for number in range(8):  # what the device writes makes idx jump, and each head is again such a chain
        queue.descriptor(number, queue.driver, 6 + 16, WRITE)
        queue.offer(number)
    driver.kick()
    assert len(rig.device.taken) == 1 or rig.reports


# ── anything at all ──────────────────────────────────────────────────────────────────────────────────────────────────

addresses = st.one_of(
    st.integers(BASE, BASE + 0x2000),
    st.sampled_from([0, BASE - 1, END - 8, END, (1 << 64) - 8]),
    st.integers(0, (1 << 64) - 1),
)
lengths = st.one_of(st.integers(0, 64), st.sampled_from([16, 32, 48, 0xFFFF_FFFF]), st.integers(0, 0xFFFF_FFFF))
flags = st.one_of(st.integers(0, 7), st.integers(0, 0xFFFF))
nexts = st.one_of(st.integers(0, 8), st.integers(0, 0xFFFF))
rows = st.lists(st.tuples(addresses, lengths, flags, nexts), min_size=8, max_size=8)


def naive_chain(ram, read, head, indirect_agreed):
    """(readable, writable) bytes of a chain, or None when it breaks a rule (virtio 1.2, 2.7.4 to 2.7.5)."""
    table, entries, at, walked, readable, writable = read, 8, head, 0, 0, 0
    inside = False
    while True:
        if at >= entries or walked == 8:
            return None
        address, length, flag, following = struct.unpack("<QIHH", ram.read(table + 16 * at, 16))
        if not (BASE <= address and address + length <= END):
            return None
        if flag & INDIRECT:
            if not indirect_agreed or inside or flag & NEXT or length == 0 or length % 16:
                return None
            table, entries, at, inside = address, length // 16, 0, True
            continue
        walked += 1
        if flag & WRITE:
            writable += length
        elif writable:
            return None
        else:
            readable += length
        if not flag & NEXT:
            return readable, writable
        at = following


@given(rows, st.integers(0, 9), st.booleans(), st.binary(min_size=64, max_size=64))
@example([(BASE, 16, INDIRECT, 0)] * 8, 0, True, struct.pack("<QIHH", BASE, 16, 4, 0) * 4)
def test_whatever_a_driver_writes_the_device_does_what_the_specification_says_or_stops(table, head, agreed, noise):
    rig = Rig(Sink(), SIZE)
    rig.ram.store(noise)
    driver = rig.driver.start(VERSION_1 | (INDIRECT_DESC if agreed else 0), size=8)
    queue = driver.queues[0]
    for number, row in enumerate(table):
        queue.descriptor(number, *row)
    expected = naive_chain(rig.ram, queue.descriptors, head, agreed)
    queue.offer(head)
    before = bytes(rig.ram.bytes)
    driver.kick()
    if expected is None:
        assert driver.status & 64 and rig.device.taken == [] and bytes(rig.ram.bytes) == before
    else:
        assert rig.device.taken == [(head, *expected)] and not driver.status & 64
    check_writes(rig, before)


@given(st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, 255)), max_size=24), st.integers(1, 8), st.booleans())
def test_a_queue_with_bytes_changed_at_random_breaks_nobody_else(changes, count, indirect):
    rig = Rig(Sink(), SIZE)
    driver = rig.driver.start(size=8)
    queue = driver.queues[0]
    for _ in range(count):
        queue.add([b"ask"] if indirect else [], [5], indirect)
    used = rig.ram.top - BASE
    for at, value in changes:
        rig.ram.bytes[at % used] = value
    before = bytes(rig.ram.bytes)
    for _ in range(3):
        driver.kick()
    check_writes(rig, before)
    driver.start(size=8)
    assert driver.request([b"q"], [3]).data == b"\xa5" * 3  # after a reset all is well


@given(st.lists(st.tuples(st.sampled_from(range(0, 0x200, 4)), st.integers(0, 0xFFFF_FFFF)), max_size=60))
def test_registers_written_at_random_raise_nothing(writes):
    rig = Rig(Sink(), SIZE)
    rig.driver.start(size=8)
    for offset, value in writes:
        rig.transport.write(offset, 4, value)
        rig.transport.read(offset, 4)
    rig.driver.start(size=8)
    assert rig.driver.request([b"q"], [3]).length == 3


def check_writes(rig, before):
    """Every byte that changed was announced, and lies in RAM."""
    announced = bytearray(len(before))
    for at, size in rig.ram.writes:
        assert BASE <= at and at + size <= END
        announced[at - BASE : at - BASE + size] = b"\1" * size
    assert len(rig.ram.bytes) == len(before)
    changed = np.frombuffer(before, np.uint8) != np.frombuffer(bytes(rig.ram.bytes), np.uint8)
    assert np.frombuffer(announced, np.uint8)[changed].all()
