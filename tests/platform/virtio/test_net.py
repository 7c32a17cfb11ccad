"""The network device and the switch: frames between two drivers, and to Python."""

import json
import struct

import pytest

from minivisor.errors import OptionError
from minivisor.platform.virtio.net import BACKLOG, LATENCY, Net
from minivisor.platform.virtio.switch import LEARNED, Switch
from minivisor.trace.records import InputEvent
from tests.platform.virtio.rig import Rig

BROADCAST = b"\xff" * 6
RX, TX = 0, 1
HEADER = 12


def frame(to, source, payload=b"payload"):
    return to + source + b"\x88\xb5" + payload


def buffers(rig, count, size=1600):
    for _ in range(count):
        rig.driver.queues[RX].add([], [size])
    rig.driver.kick(RX)


def send(rig, data, header=bytes(HEADER)):
    return rig.driver.request([header, data], [], queue=TX)


def received(rig):
    return [done.data[HEADER : done.length] for done in rig.driver.queues[RX].collect()]


@pytest.fixture
def switch():
    return Switch()


@pytest.fixture
def cards(switch):
    made = [Rig(Net(switch)) for _ in range(3)]
    for rig in made:
        rig.driver.start()
        buffers(rig, 8)
    return made


def test_its_configuration_has_an_address_of_its_own(cards):
    addresses = [bytes(rig.driver.config(n, 1) for n in range(6)) for rig in cards]
    assert addresses == [b"\x02mv\0\0" + bytes((n,)) for n in (1, 2, 3)]
    assert all(rig.driver.config(6, 2) == 1 for rig in cards)  # the link is up
    assert cards[0].driver.offered() == 1 << 5 | 1 << 16 | 1 << 28 | 1 << 29 | 1 << 32


def test_a_frame_for_many_reaches_all_others_and_a_known_address_only_its_own(cards):
    one, two, three = cards
    hello = frame(BROADCAST, one.device.mac)
    assert send(one, hello).length == 0
    assert (received(one), received(two), received(three)) == ([], [hello], [hello])
    answer = frame(one.device.mac, two.device.mac)
    send(two, answer)
    assert (received(one), received(two), received(three)) == ([answer], [], [])
    assert one.transport.interrupt and one.driver.acknowledge() == 1
    unknown = frame(b"\x02\0\0\0\0\x99", two.device.mac)
    send(two, unknown)
    assert (received(one), received(three)) == ([unknown], [unknown])


def test_the_header_of_a_frame_that_came_says_one_buffer(cards):
    send(cards[0], frame(BROADCAST, cards[0].device.mac))
    (done,) = cards[1].driver.queues[RX].collect()
    assert struct.unpack("<BBHHHHH", done.data[:HEADER]) == (0, 0, 0, 0, 0, 0, 1)


def test_an_address_that_moves_is_found_again(switch, cards):
    one, two, three = cards
    wanderer = b"\x02\0\0\0\0\x42"
    send(one, frame(BROADCAST, wanderer))
    send(two, frame(BROADCAST, wanderer))
    received(one), received(two), received(three)
    send(three, frame(wanderer, three.device.mac))
    assert (len(received(one)), len(received(two))) == (0, 1)
    two.device.close()
    send(three, frame(wanderer, three.device.mac))
    assert (len(received(one)), len(received(two))) == (1, 0)


def test_many_addresses_do_not_fill_memory(switch):
    tap, other = switch.tap(), switch.tap()
    for n in range(3 * LEARNED):
        tap.send(frame(BROADCAST, b"\x02\0" + n.to_bytes(4, "big")))
    tap.send(frame(BROADCAST, b"\x03" + bytes(5)))  # no group sends
    assert len(switch.learned) == LEARNED and len(other.frames) == 3 * LEARNED + 1


@pytest.mark.parametrize("size", [0, 13, 1519, 60_000])
def test_what_is_no_frame_is_lost(cards, size):
    send(cards[0], bytes(size))
    assert received(cards[1]) == [] and cards[0].driver.status == 15


def test_frames_wait_for_buffers_so_many_and_no_more(switch):
    rig, tap = Rig(Net(switch)), switch.tap()
    rig.driver.start()
    sent = [frame(BROADCAST, b"\x02" + bytes(5), bytes((n & 0xFF,))) for n in range(BACKLOG + 3)]
    for each in sent:
        tap.send(each)
    assert not rig.transport.interrupt and rig.device.lost == 3
    got = []
    while len(got) < BACKLOG:
        rig.now += 1_000_000
        rig.ram.top = max(queue.device for queue in rig.driver.queues) + 256
        buffers(rig, 16, 64)
        got += received(rig)
    assert got == sent[:BACKLOG]


def test_a_frame_longer_than_its_buffer_is_lost_and_the_next_one_is_not(switch):
    rig, tap = Rig(Net(switch)), switch.tap()
    rig.driver.start()
    buffers(rig, 2, 100)
    tap.send(frame(BROADCAST, b"\x02" + bytes(5), bytes(200)))
    tap.send(frame(BROADCAST, b"\x02" + bytes(5)))
    assert [len(each) for each in received(rig)] == [0, 21] and rig.device.lost == 1


def test_python_sends_and_receives(switch, cards):
    tap, seen = switch.tap(), []
    switch.tap(seen.append)
    mine = b"\x02\0\0\0\0\x10"
    tap.send(frame(BROADCAST, mine))
    assert [received(rig) for rig in cards] == [[frame(BROADCAST, mine)]] * 3 and seen == [frame(BROADCAST, mine)]
    send(cards[2], frame(mine, cards[2].device.mac, b"answer"))
    assert tap.receive() == frame(mine, cards[2].device.mac, b"answer") and tap.receive() is None and len(seen) == 1


def test_an_arrival_is_posted_with_what_a_trace_needs(switch):
    rig, tap, posted = Rig(Net(switch)), switch.tap(), []
    rig.device.post = posted.append
    rig.driver.start()
    buffers(rig, 2)
    tap.send(frame(BROADCAST, b"\x02" + bytes(5), b"one"))
    tap.send(frame(BROADCAST, b"\x02" + bytes(5), b"two"))
    assert received(rig) == [] and len({arrival.position for arrival in posted}) == 2
    assert {(each.event, each.code, each.after, each.at) for each in posted} == {(InputEvent.FRAME, 17, LATENCY, None)}
    for arrival in posted:
        arrival.deliver()
    assert [each[-3:] for each in received(rig)] == [b"one", b"two"]


def test_a_frame_without_a_header_breaks_the_device(cards):
    cards[0].driver.queues[TX].add([bytes(11)], [])
    cards[0].driver.kick(TX)
    assert cards[0].driver.status & 64 and "shorter than the header" in cards[0].reports[0]
    send(cards[1], frame(BROADCAST, cards[1].device.mac))
    assert len(received(cards[2])) == 1


def test_a_reset_forgets_what_waits_and_a_snapshot_does_not(switch):
    rig, tap = Rig(Net(switch)), switch.tap()
    rig.driver.start()
    tap.send(frame(BROADCAST, b"\x02" + bytes(5)))
    twin = Net(Switch())
    twin.load(json.loads(json.dumps(rig.device.state())))
    assert twin.wants(RX) and rig.device.wants(RX)
    rig.driver.start()
    assert not rig.device.wants(RX)


@pytest.mark.parametrize("mac", [b"\x01\0\0\0\0\0", bytes(5), b"\xff" * 6])
def test_an_address_that_cannot_be(mac):
    with pytest.raises(OptionError, match="MAC"):
        Net(Switch(), mac)
