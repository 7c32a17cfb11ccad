"""Entropy, console, keyboard and touch screen."""

import json
import struct

import pytest

from minivisor.platform.virtio.console import Console
from minivisor.platform.virtio.entropy import Entropy
from minivisor.platform.virtio.input import Keyboard, Touch
from minivisor.trace.records import InputEvent
from tests.platform.virtio.rig import Rig

# ── entropy ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def noise(seed, name, *sizes):
    rig = Rig(Entropy(seed, name))
    rig.driver.start()
    return [rig.driver.request([], [size]).data for size in sizes]


def test_noise_is_the_same_for_the_same_seed_and_guest_only():
    first = noise(7, "ada", 64, 1, 100)
    assert first == noise(7, "ada", 64, 1, 100)
    others = [noise(8, "ada", 64)[0], noise(7, "bob", 64)[0], first[0], first[2][:64]]
    assert len(set(others)) == 4


def test_noise_looks_like_noise():
    data = b"".join(noise(1, "", *[4096] * 16))
    counts = [data.count(bytes((value,))) for value in range(256)]
    expected = len(data) / 256
    assert sum((count - expected) ** 2 / expected for count in counts) < 330  # chi-square, 255 degrees, p ≈ 0.001


def test_noise_comes_in_portions_and_goes_on_after_a_snapshot():
    rig = Rig(Entropy(1))
    rig.driver.start()
    assert rig.driver.request([], [3000, 3000]).length == 4096
    twin = Entropy(1)
    twin.load(json.loads(json.dumps(rig.device.state())))
    assert twin._next() == rig.device._next()


def test_asking_for_noise_without_room_breaks_the_device():
    rig = Rig(Entropy(1))
    rig.driver.start()
    rig.driver.queues[0].add([b"please"], [])
    rig.driver.kick()
    assert "no room for noise" in rig.reports[0]


# ── console ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_console_prints_and_listens():
    rig = Rig(Console(size=(100, 30)))
    rig.driver.start()
    assert [rig.driver.config(at, 2) for at in (0, 2)] == [100, 30]
    rig.driver.request([b"hello ", b"world"], [], queue=1)
    assert rig.device.sent == b"hello world"
    rig.device.type(b"typed before there is a buffer")
    rig.driver.acknowledge()
    rig.driver.queues[0].add([], [5])
    rig.driver.queues[0].add([], [100])
    rig.driver.kick(0)
    assert b"".join(d.data[: d.length] for d in rig.driver.queues[0].collect()) == b"typed before there is a buffer"
    rig.driver.queues[0].add([], [4])
    rig.driver.kick(0)
    rig.device.type(b"ok")
    assert rig.transport.interrupt and [d.data[: d.length] for d in rig.driver.queues[0].collect()] == [b"o"]


def test_what_is_typed_is_posted_and_not_kept_for_ever():
    console, posted = Console(), []
    console.post = posted.append
    console.type(b"ab", at=5)
    assert [(p.event, p.code, p.at) for p in posted] == [(InputEvent.KEY, 97, 5), (InputEvent.KEY, 98, 5)]
    assert not console.wants(0)
    assert sum(console.receive(1) for _ in range(70_000)) == 65536
    other = Console()
    other.load(json.loads(json.dumps(console.state())))
    assert other.state() == console.state()
    other.reset()
    assert not other.wants(0)


def test_a_console_is_not_a_way_to_keep_the_host_busy():
    rig = Rig(Console())
    rig.driver.start()
    rig.driver.queues[1].add([bytes(65537)], [])
    rig.driver.kick(1)
    assert rig.driver.status & 64 and "65536 are the most" in rig.reports[0] and rig.device.sent == b""


# ── input ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def asked(rig, select, subsel=0):
    """What the driver reads after it wrote select and subsel, as Linux does it: byte by byte."""
    rig.transport.write(0x100, 1, select)
    rig.transport.write(0x101, 1, subsel)
    size = rig.driver.config(2, 1)
    return bytes(rig.driver.config(8 + n, 1) for n in range(size))


def bits(data):
    return {8 * n + bit for n, byte in enumerate(data) for bit in range(8) if byte >> bit & 1}


def events(rig):
    return [struct.unpack("<HHI", done.data) for done in rig.driver.queues[0].collect()]


def test_a_keyboard_says_what_it_is():
    rig = Rig(Keyboard())
    assert asked(rig, 1) == b"minivisor keyboard" and asked(rig, 2) == b""
    assert struct.unpack("<HHHH", asked(rig, 3)) == (6, 0, 1, 1)
    keys = bits(asked(rig, 0x11, 1))
    assert {30, 28, 57, 42, 11} <= keys and not keys & {0, 0x14A}
    assert asked(rig, 0x11, 3) == asked(rig, 0x12, 0) == asked(rig, 0x10) == asked(rig, 0x99) == asked(rig, 0) == b""


def test_a_touch_screen_says_what_it_is():
    rig = Rig(Touch(160, 240))
    assert asked(rig, 1) == b"minivisor touch screen"
    assert (
        bits(asked(rig, 0x11, 1)) == {0x14A} and bits(asked(rig, 0x11, 3)) == {0, 1} and bits(asked(rig, 0x10)) == {1}
    )
    assert struct.unpack("<5I", asked(rig, 0x12, 0)) == (0, 159, 0, 0, 0)
    assert struct.unpack("<5I", asked(rig, 0x12, 1)) == (0, 239, 0, 0, 0)


def started(device, count=32):
    rig = Rig(device)
    rig.driver.start(size=64)
    for _ in range(count):
        rig.driver.queues[0].add([], [8])
    rig.driver.kick()
    return rig


def test_keys_come_one_by_one_each_with_its_end():
    rig = started(Keyboard())
    rig.device.type("aB\n")
    end = (0, 0, 0)
    pressed = [(30, 1), (30, 0), (42, 1), (48, 1), (48, 0), (42, 0), (28, 1), (28, 0)]
    assert events(rig) == [event for code, down in pressed for event in ((1, code, down), end)]
    assert rig.driver.acknowledge() == 1
    rig.device.type("é")
    assert events(rig) == []


def test_a_finger_touches_and_leaves():
    rig = started(Touch(160, 240))
    rig.device.touch(10, 20)
    rig.device.touch(-5, 999, down=False)
    assert events(rig) == [
        (1, 0x14A, 1),
        (3, 0, 10),
        (3, 1, 20),
        (0, 0, 0),
        (1, 0x14A, 0),
        (3, 0, 0),
        (3, 1, 239),
        (0, 0, 0),
    ]


def test_events_are_posted_with_their_moment():
    keyboard, touch, posted = Keyboard(), Touch(160, 240), []
    keyboard.post = touch.post = posted.append
    keyboard.key(30, True, at=100)
    touch.touch(3, 4, at=200)
    assert [(p.event, p.code, p.position, p.at) for p in posted] == [
        (InputEvent.KEYBOARD, 30, 1, 100), (InputEvent.TOUCH, 1, 3 << 32 | 4, 200)]  # fmt: skip


def test_a_group_waits_whole_or_is_lost_whole():
    rig = started(Keyboard(), count=1)
    for _ in range(300):
        rig.device.key(30, True)
    state = json.loads(json.dumps(rig.device.state()))
    assert len(events(rig)) == 1 and len(state["events"]) == 511  # 256 groups of two, and one event is delivered
    other = Keyboard()
    other.load(state)
    assert other.state() == state
    rig.driver.start()
    assert rig.device.state() == {"select": [0, 0], "events": []}


def test_lights_are_read_and_forgotten():
    rig = started(Keyboard())
    assert rig.driver.request([struct.pack("<HHI", 17, 0, 1)], [], queue=1).length == 0


def test_a_buffer_too_small_for_an_event_breaks_the_device():
    rig = Rig(Keyboard())
    rig.driver.start()
    rig.driver.queues[0].add([], [7])
    rig.driver.kick()
    rig.device.key(30, True)
    assert "no room for an event" in rig.reports[0]


@pytest.mark.parametrize(
    "text", ["The quick brown fox, 42 times!", "/bin/sh -c 'echo ~$HOME | wc' > \"x\"; {[()]} #%^&*_+=-@:?<>|\\`"]
)
def test_every_character_has_its_key(text):
    rig = started(Keyboard(), 0)
    names = {}
    for row, first in (
        ("1234567890-=", 2),
        ("qwertyuiop[]", 16),
        ("asdfghjkl;'`", 30),
        ("\\zxcvbnm,./", 43),
        (" ", 57),
    ):
        names |= {first + n: character for n, character in enumerate(row)}
    upper = dict(zip("1234567890-=[];'`\\,./", '!@#$%^&*()_+{}:"~|<>?', strict=True))
    typed, shift = "", False
    for part in (text[:32], text[32:]):
        rig.device.type(part)
    for event in rig.device._events:
        kind, code, value = struct.unpack("<HHI", event)
        if kind == 1 and code == 42:
            shift = bool(value)
        elif kind == 1 and value:
            typed += upper.get(names[code], names[code].upper()) if shift else names[code]
    assert typed == text
