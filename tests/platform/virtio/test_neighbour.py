"""The host that answers ARP and ping, asked by hand and with frames spelled out byte by byte."""

import struct

import pytest

from minivisor.platform.virtio.neighbour import Neighbour, checksum
from minivisor.platform.virtio.switch import Switch

MINE, ITS = bytes.fromhex("025400000001"), bytes.fromhex("026d7600ffff")
ME, IT = bytes((10, 0, 2, 15)), bytes((10, 0, 2, 2))


@pytest.fixture
def ask():
    switch = Switch()
    Neighbour(switch)
    tap = switch.tap()

    def asked(frame):
        tap.send(frame)
        return tap.receive()

    return asked


def who_has(address, operation=1):
    return (
        b"\xff" * 6
        + MINE
        + bytes.fromhex("0806 0001 0800 06 04")
        + struct.pack(">H", operation)
        + MINE
        + ME
        + bytes(6)
        + address
    )


def ping(payload=b"abcdefgh", to=IT, mac=ITS, **change):
    words = {"version": 0x45, "fragment": 0, "protocol": 1, "kind": 8, "sum": 0} | change
    message = struct.pack(">BBHHH", words["kind"], 0, 0, 0x1234, 7) + payload
    message = message[:2] + struct.pack(">H", checksum(message) ^ words["sum"]) + message[4:]
    header = struct.pack(
        ">BBHHHBBH4s4s", words["version"], 0, 20 + len(message), 99, words["fragment"], 64, words["protocol"], 0, ME, to
    )
    header = header[:10] + struct.pack(">H", checksum(header)) + header[12:]
    return mac + MINE + b"\x08\x00" + header + message


def test_the_checksum_of_a_known_header():
    header = bytes.fromhex("4500003044224000800600008c7c19acae241e2b")
    assert checksum(header) == 0x442E
    assert checksum(b"\x01") == 0xFEFF  # an odd byte is the upper one


def test_it_says_where_it_is(ask):
    answer = ask(who_has(IT))
    assert answer == MINE + ITS + bytes.fromhex("0806 0001 0800 06 04 0002") + ITS + IT + MINE + ME
    assert ask(who_has(bytes((10, 0, 2, 3)))) is None and ask(who_has(IT, 2)) is None


@pytest.mark.parametrize("payload", [b"", b"odd", bytes(1472)])
def test_it_answers_a_ping(ask, payload):
    answer = ask(ping(payload))
    assert answer[:14] == MINE + ITS + b"\x08\x00" and answer[26:34] == IT + ME
    assert checksum(answer[14:34]) == 0 and checksum(answer[34:]) == 0
    assert answer[34:36] == b"\0\0" and answer[38:] == b"\x12\x34\x00\x07" + payload


def test_padding_of_a_short_frame_is_not_part_of_it(ask):
    assert ask(ping(b"") + bytes(18))[38:] == b"\x12\x34\x00\x07"


@pytest.mark.parametrize(
    "frame",
    [
        ping(kind=0), ping(sum=1), ping(protocol=17), ping(version=0x46), ping(version=0x65), ping(fragment=0x2000),
        ping(fragment=5),
        ping(to=ME), ping(mac=b"\xff" * 6), ping()[:40], ping()[:14], who_has(IT)[:30], ping()[:16] + b"\xff\xff" + ping()[18:],
        ITS + MINE + b"\x86\xdd" + bytes(60), ITS + MINE + b"\x08\x00" + bytes(60),
    ],
)  # fmt: skip
def test_anything_else_has_no_answer(ask, frame):
    assert ask(frame) is None
