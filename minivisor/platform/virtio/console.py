"""A virtio console with one port: bytes in, bytes out, without a register to poll.

    queue 0  receiveq   buffers for what is typed          queue 1  transmitq  what the guest prints

Source: virtio 1.2, 5.3 "Console Device". No MULTIPORT, so there is no control queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from struct import Struct
from typing import Any

from minivisor.arch.virtio import DeviceId
from minivisor.platform.virtio.device import Arrival, Device
from minivisor.platform.virtio.queue import Chain
from minivisor.trace.records import InputEvent

__all__ = ["Console"]

RECEIVE, TRANSMIT = 0, 1
SIZE = 0  # feature bit: columns and rows are valid (5.3.3)
CONFIG = Struct("<HHII")  # cols, rows, max_nr_ports, emerg_wr (5.3.4)
LONGEST = 64 << 10  # bytes of one buffer that are printed
BACKLOG = 64 << 10  # bytes typed and not yet taken


class Console(Device):
    """transmit: called with each byte the guest prints; they also collect in `sent` when it is None. size: (columns, rows)."""

    id = DeviceId.CONSOLE
    name = "console"
    queues = (64, 64)
    features = 1 << SIZE
    outside = True

    def __init__(self, transmit: Callable[[int], None] | None = None, size: tuple[int, int] = (80, 25)) -> None:
        super().__init__()
        self.sent, self._size = bytearray(), size
        self.transmit = transmit or self.sent.append
        self._typed: deque[int] = deque()

    def config(self) -> bytes:
        """5.3.4."""
        return CONFIG.pack(*self._size, 1, 0)

    def wants(self, queue: int) -> bool:
        """A receive buffer is of use when something was typed."""
        return queue == TRANSMIT or bool(self._typed)

    def handle(self, queue: int, chain: Chain) -> int | str:
        """Print a buffer, or fill one with what was typed."""
        if queue == RECEIVE:
            return chain.put(bytes(self._typed.popleft() for _ in range(min(len(self._typed), chain.writable))))
        if chain.readable > LONGEST:
            return f"chain {chain.head} prints {chain.readable} bytes at once, {LONGEST} are the most"
        for byte in chain.take(chain.readable):
            self.transmit(byte)
        return 0

    def type(self, text: bytes, at: int | None = None) -> None:
        """Somebody types. at: virtual time in ns, now unless given."""
        for byte in text:
            self.post(self.arrival(byte, at=at))

    def arrival(self, code: int, position: int = 0, data: bytes = b"", at: int | None = None) -> Arrival:
        """A byte that somebody types."""
        return Arrival(partial(self.receive, code & 0xFF), InputEvent.KEY, code, position, at, slot=self.slot)

    def receive(self, byte: int) -> bool:
        """A byte arrives. False when nobody has taken so many before it that it is lost."""
        if len(self._typed) >= BACKLOG:
            return False
        self._typed.append(byte)
        self.serve(RECEIVE)
        return True

    def reset(self) -> None:
        """A driver that starts anew gets nothing that was typed for the last one."""
        self._typed.clear()

    def state(self) -> dict[str, Any]:
        """What was typed and not yet taken."""
        return {"typed": list(self._typed)}

    def load(self, state: dict[str, Any]) -> None:
        """Go back to what `state` returned."""
        self._typed = deque(state["typed"])
