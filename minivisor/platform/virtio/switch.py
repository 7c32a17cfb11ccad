"""An Ethernet switch between guests of this process, and taps on it for Python.

It learns behind which port a MAC address is from the frames that come from there, and sends a frame only to the port of its
destination; to all others when it does not know, or when the frame is for many. Nothing leaves the process.

    switch = Switch()
    hypervisor.add(settings, image, devices=[Net(switch)])
    tap = switch.tap()
    tap.send(frame)                 a frame for whoever has its destination address
    tap.receive()                   the oldest one that came, or None

A frame has the bytes of Ethernet II without preamble and checksum: destination 6, source 6, type 2, payload.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

__all__ = ["LONGEST", "SHORTEST", "Port", "Switch", "Tap"]

SHORTEST, LONGEST = 14, 1518  # bytes: a header alone; 1500 of payload and a VLAN tag
LEARNED = 1024  # addresses remembered; the one learned first is forgotten first
KEPT = 4096  # frames a tap keeps
GROUP = 1  # first bit on the wire: for many


class Port(Protocol):
    """What is plugged in: it takes frames. outside: from somebody who is no part of the run."""

    def receive_frame(self, frame: bytes, outside: bool = False) -> None: ...


class Switch:
    """Ports, and which address was last seen behind which."""

    def __init__(self) -> None:
        self.ports: list[Port] = []
        self.learned: dict[bytes, Port] = {}

    def plug(self, port: Port) -> None:
        """Connect a port."""
        self.ports.append(port)

    def unplug(self, port: Port) -> None:
        """Take a port away, and what was learned of it."""
        self.ports = [other for other in self.ports if other is not port]
        self.learned = {address: other for address, other in self.learned.items() if other is not port}

    def send(self, source: Port, frame: bytes) -> None:
        """A frame comes in from a port. One that is too short or too long is lost, as on a wire."""
        if not SHORTEST <= len(frame) <= LONGEST:
            return
        self._learn(frame[6:12], source)
        known = None if frame[0] & GROUP else self.learned.get(frame[:6])
        for port in self.ports if known is None else [known]:
            if port is not source:
                port.receive_frame(frame, isinstance(source, Tap) and source.outside)

    def _learn(self, address: bytes, port: Port) -> None:
        if address[0] & GROUP:
            return
        if address not in self.learned and len(self.learned) == LEARNED:
            del self.learned[next(iter(self.learned))]
        self.learned[address] = port

    def tap(self, on_frame: Callable[[bytes], None] | None = None, outside: bool = True) -> Tap:
        """A port for Python. on_frame: called with each frame that comes; otherwise they are kept for `Tap.receive`.

        outside: what it sends goes into the input log. Not for one whose answers follow from the frames it hears, and which is
        there in a replay too.
        """
        tap = Tap(self, on_frame, outside)
        self.plug(tap)
        return tap


class Tap:
    """A port whose frames Python reads and writes."""

    def __init__(self, switch: Switch, on_frame: Callable[[bytes], None] | None = None, outside: bool = True) -> None:
        self._switch, self._on_frame, self.outside = switch, on_frame, outside
        self.frames: deque[bytes] = deque(maxlen=KEPT)

    def send(self, frame: bytes) -> None:
        """A frame onto the wire, now."""
        self._switch.send(self, frame)

    def receive(self) -> bytes | None:
        """The oldest frame that came and was not taken yet."""
        return self.frames.popleft() if self.frames else None

    def receive_frame(self, frame: bytes, outside: bool = False) -> None:
        """The switch brings a frame."""
        if self._on_frame is not None:
            self._on_frame(frame)
        else:
            self.frames.append(frame)
