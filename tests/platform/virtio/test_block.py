"""The block device, request by request, against a model: a bytearray."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivisor.platform.virtio.block import Block
from minivisor.platform.virtio.disk import MemoryDisk
from tests.platform.virtio.naive_driver import VERSION_1
from tests.platform.virtio.rig import Rig

IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES = 0, 1, 4, 8, 11, 13
OK, IOERR, UNSUPP = 0, 1, 2
SECTORS = 64
CONTENT = bytes(n * 7 & 0xFF for n in range(512 * SECTORS))


class Watched(MemoryDisk):
    """Counts flushes, and fails when told to."""

    flushes, failing, closed = 0, False, False

    def flush(self):
        self.flushes += 1
        self._maybe_fail()

    def read(self, offset, into):
        self._maybe_fail()
        super().read(offset, into)

    def write(self, offset, data):
        self._maybe_fail()
        super().write(offset, data)

    def zero(self, offset, size):
        self._maybe_fail()
        super().zero(offset, size)

    def close(self):
        self.closed = True

    def _maybe_fail(self):
        if self.failing:
            raise OSError("the medium is gone")


def rig(read_only=False, features=None):
    made = Rig(Block(Watched(CONTENT, read_only, "scratch")))
    made.disk = made.device.disk
    made.driver.start(features)
    return made


def header(kind, sector=0):
    return struct.pack("<IIQ", kind, 0, sector)


def ask(rig, kind, sector=0, data=b"", room=0):
    """(status, used length, data) of one request, in the usual descriptors: header, data, status."""
    done = rig.driver.request([header(kind, sector)] + ([data] if data else []), ([room] if room else []) + [1])
    return done.data[-1], done.length, done.data[:-1]


def test_its_configuration_says_what_there_is():
    disk = rig()
    assert disk.driver.config(0, 8) == SECTORS
    assert [disk.driver.config(offset, 4) for offset in (8, 12, 20)] == [65536, 62, 512]
    assert [disk.driver.config(offset, 4) for offset in (36, 40, 44, 48, 52)] == [8192, 1, 1, 8192, 1]
    assert disk.driver.config(56, 1) == 0
    bits = {1, 2, 6, 9, 13, 14, 28, 29, 32}
    assert disk.driver.offered() == sum(1 << bit for bit in bits)
    assert rig(read_only=True).driver.offered() == sum(1 << bit for bit in bits - {13, 14} | {5})


def test_reading_and_writing():
    disk = rig()
    assert ask(disk, IN, 3, room=1024) == (OK, 1025, CONTENT[3 * 512 : 5 * 512])
    assert ask(disk, OUT, 4, b"\xee" * 512) == (OK, 1, b"")
    assert ask(disk, IN, 4, room=512)[2] == b"\xee" * 512
    assert disk.disk.data[4 * 512 : 5 * 512] == b"\xee" * 512 and disk.disk.data[: 4 * 512] == CONTENT[: 4 * 512]


@pytest.mark.parametrize("indirect", [False, True])
def test_the_driver_divides_a_request_as_it_likes(indirect):
    disk = rig()
    head = header(OUT, 1)
    parts = [head[:3], head[3:15], head[15:] + b"A" * 511, b"B", b"C" * 100, b"D" * 412]
    assert disk.driver.request(parts, [1], indirect=indirect).data == b"\0"
    written = b"A" * 511 + b"B" + b"C" * 100 + b"D" * 412
    done = disk.driver.request([header(IN, 1)], [1, 300, 723 + 1], indirect=indirect)
    assert done.data == written + b"\0" and done.length == 1025


@pytest.mark.parametrize(
    ("kind", "sector", "data", "room", "status"),
    [
        (IN, SECTORS, b"", 512, IOERR),
        (IN, SECTORS - 1, b"", 1024, IOERR),
        (IN, (1 << 64) - 1, b"", 512, IOERR),
        (IN, 1 << 55, b"", 512, IOERR),
        (IN, 0, b"", 511, IOERR),
        (OUT, SECTORS, bytes(512), 0, IOERR),
        (OUT, (1 << 64) - 1, bytes(512), 0, IOERR),
        (OUT, 0, bytes(513), 0, IOERR),
        (WRITE_ZEROES, 0, struct.pack("<QII", SECTORS, 1, 0), 0, IOERR),
        (WRITE_ZEROES, 0, struct.pack("<QII", 0, 0xFFFF_FFFF, 0), 0, IOERR),
        (WRITE_ZEROES, 0, struct.pack("<QII", 0, 1, 2), 0, UNSUPP),
        (WRITE_ZEROES, 0, bytes(15), 0, IOERR),
        (WRITE_ZEROES, 0, bytes(32), 0, IOERR),
        (DISCARD, 0, struct.pack("<QII", 0, 1, 1), 0, UNSUPP),
        (2, 0, b"", 512, UNSUPP),
        (10, 0, b"", 512, UNSUPP),
        (0xFFFF_FFFF, 0, b"x", 0, UNSUPP),
    ],
)
def test_what_cannot_be_done_says_so_and_changes_nothing(kind, sector, data, room, status):
    disk = rig()
    answer, length, _ = ask(disk, kind, sector, data, room)
    assert answer == status and length == (0 if room else 1)
    assert disk.disk.data == CONTENT and not disk.reports
    assert ask(disk, IN, 0, room=512)[0] == OK


def test_zeroes_and_discards():
    disk = rig()
    assert ask(disk, WRITE_ZEROES, 0, struct.pack("<QII", 2, 3, 1))[0] == OK  # may unmap, need not
    assert ask(disk, DISCARD, 0, struct.pack("<QII", 10, 1, 0))[0] == OK
    expected = bytearray(CONTENT)
    expected[2 * 512 : 5 * 512] = bytes(3 * 512)
    expected[10 * 512 : 11 * 512] = bytes(512)
    assert disk.disk.data == expected


def test_a_read_only_disk_is_only_read():
    disk = rig(read_only=True)
    assert ask(disk, OUT, 0, bytes(512))[0] == IOERR
    assert ask(disk, WRITE_ZEROES, 0, struct.pack("<QII", 0, 1, 0))[0] == UNSUPP
    assert ask(disk, FLUSH)[0] == OK and ask(disk, IN, 0, room=512)[0] == OK and disk.disk.data == CONTENT


def test_flushes_are_the_drivers_or_else_after_every_write():
    disk = rig()
    ask(disk, OUT, 0, bytes(512))
    assert disk.disk.flushes == 0 and ask(disk, FLUSH) == (OK, 1, b"") and disk.disk.flushes == 1
    disk = rig(features=VERSION_1)
    ask(disk, OUT, 0, bytes(512))
    assert disk.disk.flushes == 1
    ask(disk, WRITE_ZEROES, 0, struct.pack("<QII", 0, 1, 0))
    assert disk.disk.flushes == 2


@pytest.mark.parametrize(
    ("kind", "data", "room"),
    [(IN, b"", 512), (OUT, bytes(512), 0), (FLUSH, b"", 0), (WRITE_ZEROES, struct.pack("<QII", 0, 1, 0), 0)],
)
def test_what_the_host_refuses_is_ioerr(kind, data, room):
    disk = rig()
    disk.disk.failing = True
    assert ask(disk, kind, 0, data, room)[:2] == (IOERR, 0 if room else 1)
    disk.disk.failing = False
    assert ask(disk, kind, 0, data, room)[0] == OK


def test_it_has_a_name():
    assert ask(rig(), GET_ID, room=20) == (OK, 21, b"scratch".ljust(20, b"\0"))
    assert ask(rig(), GET_ID, room=4) == (OK, 5, b"scra")
    assert ask(rig(), GET_ID, room=30)[:2] == (OK, 20)


@pytest.mark.parametrize(
    ("readable", "writable"), [([header(IN)[:15]], [1]), ([], [1]), ([header(OUT), bytes(512)], [])]
)
def test_what_is_no_request_breaks_the_device(readable, writable):
    disk = rig()
    disk.driver.queues[0].add(readable, writable)
    disk.driver.kick()
    assert (
        disk.driver.status & 64
        and "no room for the header and the status" in disk.reports[0]
        and "scratch" in disk.reports[0]
    )
    disk.driver.start()
    assert ask(disk, IN, 0, room=512)[0] == OK


def test_a_request_that_is_too_large_is_refused_without_being_moved():
    disk = rig()
    queue, at = disk.driver.queues[0], disk.ram.alloc(0)
    queue.descriptor(0, disk.ram.store(header(IN)), 16, 1, 1)
    for n in range(1, 7):
        queue.descriptor(n, 0x4000_0000, 1 << 20, 3, n + 1)  # six times all of memory
    status = disk.ram.alloc(1)
    queue.descriptor(7, status, 1, 2)
    queue.offer(0)
    before = bytes(disk.ram.bytes[: at - 0x4000_0000])
    disk.driver.kick()
    assert disk.ram.read(status, 1) == b"\x01" and len(disk.ram.writes) <= 4
    assert disk.ram.read(0x4000_0000, 16) == before[:16]


def test_closing_closes_the_disk():
    disk = rig()
    disk.device.close()
    assert disk.disk.closed


operations = st.lists(
    st.tuples(
        st.sampled_from([IN, OUT, WRITE_ZEROES, FLUSH]),
        st.integers(0, SECTORS + 1),
        st.integers(0, 4),
        st.integers(0, 255),
    ),
    max_size=30,
)


@given(operations, st.booleans())
def test_any_run_of_requests_leaves_what_a_bytearray_would_hold(operations, indirect):
    disk, model = rig(), bytearray(CONTENT)
    for kind, sector, count, byte in operations:
        disk.now = disk.transport._busy_until
        size, inside = count * 512, sector + count <= SECTORS
        span = slice(sector * 512, sector * 512 + size)
        if kind == WRITE_ZEROES:
            status = ask(disk, kind, 0, struct.pack("<QII", sector, count, 0))[0]
            model[span] = bytes(size) if inside else model[span]
        elif kind == OUT:
            status = disk.driver.request([header(OUT, sector), bytes((byte,)) * size], [1], indirect=indirect).data[-1]
            model[span] = bytes((byte,)) * size if inside else model[span]
        elif kind == IN:
            done = disk.driver.request([header(IN, sector)], [size, 1], indirect=indirect)
            status = done.data[-1]
            assert not inside or done.data[:-1] == model[span]
        else:
            status, inside = ask(disk, FLUSH)[0], True
        assert status == (OK if inside else IOERR)
        disk.ram.top = max(queue.device for queue in disk.driver.queues) + 256
    assert disk.disk.data == model
