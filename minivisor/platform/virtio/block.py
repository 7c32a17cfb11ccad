"""A virtio block device: read, write, flush, discard, write zeroes, and its name.

    readable  ┌ type u32 │ reserved u32 │ sector u64 ┐ data of OUT, DISCARD, WRITE_ZEROES
    writable  data of IN, GET_ID ┌ status u8 ┐

How the driver divides that into descriptors is its own affair. A request that cannot be carried out ends with IOERR or
UNSUPP in its status, and the data of a failed IN do not count; one that has no room for a header or a status is no request,
and breaks the device.

A write is on the medium when its FLUSH is done; a driver that did not agree on VIRTIO_BLK_F_FLUSH gets every write flushed.
DISCARD stores zeroes, as WRITE_ZEROES does, so that what is read afterwards is the same in every run.

Source: virtio 1.2, 5.2 "Block Device".
"""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct
from typing import Any

from minivisor.arch.virtio import Block as Feature
from minivisor.arch.virtio import BlockStatus, BlockType, DeviceId
from minivisor.platform.virtio.device import Device
from minivisor.platform.virtio.disk import SECTOR, Disk
from minivisor.platform.virtio.queue import Chain

__all__ = ["Block"]

HEADER = Struct("<IIQ")
RANGE = Struct("<QII")  # sector, number of sectors, flags (bit 0: unmap)
UNMAP = 1
ID_BYTES = 20
SIZE_MAX, SEG_MAX = 64 << 10, 62  # bytes a segment, data segments a request
LONGEST = SIZE_MAX * SEG_MAX
RANGE_SECTORS = 8192
PORTION = 1 << 20  # bytes that are looked at together
OK, IOERR, UNSUPP = int(BlockStatus.OK), int(BlockStatus.IOERR), int(BlockStatus.UNSUPP)
# 5.2.4: capacity, size_max, seg_max, geometry, blk_size, topology, writeback and queues, max_discard_sectors,
# max_discard_seg, discard_sector_alignment, max_write_zeroes_sectors, max_write_zeroes_seg, write_zeroes_may_unmap, unused
CONFIG = Struct("<QIIIIQIIIIIIB3x")


class Block(Device):
    """One disk. disk: what it stores to; the device closes it."""

    id = DeviceId.BLOCK
    queues = (128,)

    def __init__(self, disk: Disk) -> None:
        super().__init__()
        self.disk, self.name = disk, f"disk {disk.name}"
        self._write_through = True
        bits = [Feature.SIZE_MAX, Feature.SEG_MAX, Feature.BLK_SIZE, Feature.FLUSH]
        bits += [Feature.RO] if disk.read_only else [Feature.DISCARD, Feature.WRITE_ZEROES]
        self.features = sum(1 << bit for bit in bits)

    def config(self) -> bytes:
        """5.2.4."""
        ranges = (0, 0, 0, 0, 0) if self.disk.read_only else (RANGE_SECTORS, 1, 1, RANGE_SECTORS, 1)
        return CONFIG.pack(self.disk.size // SECTOR, SIZE_MAX, SEG_MAX, 0, SECTOR, 0, 0, *ranges, 0)

    def describe(self) -> str:
        """Its size and a digest of what is on it now, too."""
        digest, disk = blake2b(digest_size=8), self.disk
        for at in range(0, disk.size, PORTION):
            portion = bytearray(min(PORTION, disk.size - at))
            disk.read(at, memoryview(portion))
            digest.update(portion)
        return f"{self.name}{':ro' * disk.read_only}, {disk.size} bytes {digest.hexdigest()}"

    def negotiated(self, features: int) -> None:
        """Without FLUSH every write is stable before it is done (5.2.6.2)."""
        self._write_through = not features >> Feature.FLUSH & 1

    def handle(self, queue: int, chain: Chain) -> int | str:
        """Serve one request."""
        header = chain.take(HEADER.size)
        if len(header) < HEADER.size or not chain.writable:
            return f"chain {chain.head} has no room for the header and the status of a request"
        kind, _reserved, sector = HEADER.unpack(header)
        data = chain.writable - 1
        if max(data, chain.readable) > LONGEST:
            status = IOERR
        else:
            try:
                status = self._perform(kind, sector, chain, data)
            except OSError:
                status = IOERR
        return self._finish(chain, status, data)

    def _finish(self, chain: Chain, status: int, data: int) -> int:
        """The status goes into the last byte, wherever the data ended."""
        written = chain.written
        chain.skip(chain.writable - 1)
        chain.put(bytes((status,)))
        if status != OK and data:
            return 0
        return written + (written == data)

    def _perform(self, kind: int, sector: int, chain: Chain, data: int) -> int:
        match kind:
            case BlockType.IN:
                return self._read(sector, chain, data)
            case BlockType.OUT:
                return self._write(sector, chain)
            case BlockType.FLUSH:
                self.disk.flush()
                return OK
            case BlockType.GET_ID:
                chain.put(self.disk.name.encode()[:ID_BYTES].ljust(min(ID_BYTES, data), b"\0")[:data])
                return OK
            case BlockType.DISCARD | BlockType.WRITE_ZEROES if not self.disk.read_only:
                return self._zero(kind, chain)
        return UNSUPP

    def _inside(self, sector: int, size: int) -> bool:
        return size % SECTOR == 0 and sector * SECTOR + size <= self.disk.size

    def _read(self, sector: int, chain: Chain, size: int) -> int:
        if not self._inside(sector, size):
            return IOERR
        at = sector * SECTOR
        for view in chain.room(size):
            self.disk.read(at, view)
            at += len(view)
        return OK

    def _write(self, sector: int, chain: Chain) -> int:
        if self.disk.read_only or not self._inside(sector, chain.readable):
            return IOERR
        at = sector * SECTOR
        for view in _in_sectors(chain):
            self.disk.write(at, view)
            at += len(view)
        if self._write_through:
            self.disk.flush()
        return OK

    def _zero(self, kind: int, chain: Chain) -> int:
        """One range (5.2.6.2): unmap belongs to WRITE_ZEROES only, and the other flags to nobody."""
        if chain.readable != RANGE.size:
            return IOERR
        sector, count, flags = RANGE.unpack(chain.take(RANGE.size))
        if flags & ~UNMAP or (flags and kind == BlockType.DISCARD):
            return UNSUPP
        if count > RANGE_SECTORS or not self._inside(sector, count * SECTOR):
            return IOERR
        self.disk.zero(sector * SECTOR, count * SECTOR)
        if self._write_through:
            self.disk.flush()
        return OK

    def close(self) -> None:
        """Give the disk back."""
        self.disk.close()

    def state(self) -> dict[str, Any]:
        """What was agreed on comes with the transport; the bytes are the disk's own."""
        return {}


def _in_sectors(chain: Chain) -> list[memoryview]:
    """The data of a write: pieces of whole sectors as they lie in memory, otherwise one copy of all."""
    pieces = list(chain.sources(chain.readable))
    if all(len(piece) % SECTOR == 0 for piece in pieces):
        return pieces
    return [memoryview(b"".join(pieces))]
