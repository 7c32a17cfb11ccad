"""A virtio network device on a switch.

    queue 0  receiveq   buffers for frames that come       ┌ header 12 bytes │ frame ┐
    queue 1  transmitq  frames to send                     ┌ header 12 bytes │ frame ┐

No offload is offered, so the header says nothing but num_buffers = 1. A frame that comes while the driver has no buffer
waits, up to BACKLOG of them, then the newest is lost; one that is longer than its buffer is lost too.

On the wire a frame takes LATENCY of virtual time, and arrives through `post`, stamped like a key: two guests that talk to
each other do so in the same way in every run.

Source: virtio 1.2, 5.1 "Network Device".
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from struct import Struct
from typing import Any

from minivisor.arch.virtio import DeviceId
from minivisor.arch.virtio import Net as Feature
from minivisor.errors import OptionError, fault
from minivisor.platform.virtio.device import Arrival, Device
from minivisor.platform.virtio.queue import Chain
from minivisor.platform.virtio.switch import LONGEST, Switch
from minivisor.trace.records import InputEvent

__all__ = ["LATENCY", "Net"]

RECEIVE, TRANSMIT = 0, 1
HEADER = Struct("<BBHHHHH")  # flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, num_buffers (5.1.6)
RECEIVED = HEADER.pack(0, 0, 0, 0, 0, 0, 1)
CONFIG = Struct("<6sHHH")  # mac, status, max_virtqueue_pairs, mtu (5.1.4)
LINK_UP = 1
BACKLOG = 256
LATENCY = 10_000  # ns


class Net(Device):
    """One network card. switch: what it is plugged into. mac: 6 bytes, by the number of ports before it unless given.

    lost: frames that came and could not be kept.
    """

    id = DeviceId.NET
    name = "net"
    queues = (256, 256)
    features = 1 << Feature.MAC | 1 << Feature.STATUS
    outside = True

    def __init__(self, switch: Switch, mac: bytes | None = None) -> None:
        super().__init__()
        self.mac = mac or b"\x02\x6d\x76\0\0" + bytes((len(switch.ports) + 1 & 0xFF,))  # bit 1: administered locally
        if len(self.mac) != 6 or self.mac[0] & 1:
            raise OptionError(fault("net", self.mac.hex(":"), "a MAC address of six bytes that is not a group's"))
        self.switch, self.lost = switch, 0
        self._backlog: deque[bytes] = deque()
        switch.plug(self)

    def config(self) -> bytes:
        """5.1.4."""
        return CONFIG.pack(self.mac, LINK_UP, 1, 1500)

    def wants(self, queue: int) -> bool:
        """A receive buffer is of use when a frame waits."""
        return queue == TRANSMIT or bool(self._backlog)

    def handle(self, queue: int, chain: Chain) -> int | str:
        """Send one frame, or fill one buffer."""
        return self._receive(chain) if queue == RECEIVE else self._transmit(chain)

    def _transmit(self, chain: Chain) -> int | str:
        header = chain.take(HEADER.size)
        if len(header) < HEADER.size:
            return f"chain {chain.head} is shorter than the header of a frame"
        if chain.readable <= LONGEST:
            self.switch.send(self, chain.take(chain.readable))
        return 0

    def _receive(self, chain: Chain) -> int:
        frame = self._backlog.popleft()
        if HEADER.size + len(frame) > chain.writable:
            self.lost += 1
            return 0
        return chain.put(RECEIVED + frame)

    def receive_frame(self, frame: bytes, outside: bool = False) -> None:
        """The switch brings a frame: it arrives a little later. outside: nobody in this run would send it again."""
        arrival = self.arrival(len(frame), data=frame)
        self.post(replace(arrival, after=LATENCY, data=frame if outside else b""))

    def arrival(self, code: int, position: int = 0, data: bytes = b"", at: int | None = None) -> Arrival:
        """A frame off the wire."""
        digest = int.from_bytes(blake2b(data, digest_size=8).digest(), "little")
        return Arrival(partial(self._arrive, data), InputEvent.FRAME, len(data), digest, at, slot=self.slot, data=data)

    def describe(self) -> str:
        """Its address too."""
        return f"{self.name} {self.mac.hex(':')}"

    def _arrive(self, frame: bytes) -> None:
        if len(self._backlog) >= BACKLOG:
            self.lost += 1
            return
        self._backlog.append(frame)
        self.serve(RECEIVE)

    def reset(self) -> None:
        """A driver that starts anew gets no old frames."""
        self._backlog.clear()

    def close(self) -> None:
        """Pull the plug."""
        self.switch.unplug(self)

    def state(self) -> dict[str, Any]:
        """The frames that wait, in hexadecimal."""
        return {"backlog": [frame.hex() for frame in self._backlog], "lost": self.lost}

    def load(self, state: dict[str, Any]) -> None:
        """Go back to what `state` returned."""
        self._backlog = deque(map(bytes.fromhex, state["backlog"]))
        self.lost = state["lost"]
