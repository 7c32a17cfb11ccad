"""What all virtio devices have in common, seen from the transport.

A device says what it is (`id`, `features`, `queues`, the bytes of its configuration) and serves chains. Some queues carry
requests, and any chain is work; others carry buffers for what comes from outside, and a chain is work only when something
came. `wants` tells the two apart, so that the transport has one loop for both.

What comes from outside (a frame, a key, a touch, typed text) is an `Arrival`, and goes through `post`. On its own a device
takes it at once; in a persona `post` is the hypervisor's input log, so that it is stamped in virtual time and a run can be
repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minivisor.arch.virtio import DeviceId
from minivisor.errors import OptionError, fault
from minivisor.platform.virtio.queue import Chain
from minivisor.trace.records import InputEvent

__all__ = ["Arrival", "Device"]


@dataclass(frozen=True, slots=True)
class Arrival:
    """Something from outside. deliver: gives it to the device. at: virtual time in ns, or None: `after` ns from now.

    event, code, position, slot: what the trace shows of it (records.InputRecord). data: its bytes, when they are more than
    that and come from outside this run; a replay needs them.
    """

    deliver: Callable[[], object]
    event: InputEvent
    code: int = 0
    position: int = 0
    at: int | None = None
    after: int = 0
    slot: int = 0
    data: bytes = b""

    @property
    def logged(self) -> tuple[int, int, int, int, bytes]:
        """What a trace keeps of it: the arguments of `Trace.input` behind its time and whose it is."""
        return self.event, self.code, self.position, self.slot, self.data


def _at_once(arrival: Arrival) -> None:
    arrival.deliver()


class Device:
    """A device behind a transport. The attributes without a value are each device's own.

    name: for people. queues: the largest size of each. features: bit mask of what it offers beside what all offer.
    outside: may something come for it without the guest having asked?
    """

    id: DeviceId
    name: str
    queues: tuple[int, ...]
    features = 0
    outside = False

    def __init__(self) -> None:
        self.post: Callable[[Arrival], None] = _at_once
        self.slot = 0
        """Which slot of a guest it is in, and 1; 0 while it is in none."""
        self.serve: Callable[[int], None] = lambda _queue: None
        """Set by the transport: there is something for a queue's chains."""

    def config(self) -> bytes:
        """Its configuration space (the section of the device type, "Device configuration layout")."""
        return b""

    def configure(self, offset: int, data: bytes) -> None:
        """The driver writes to the configuration space."""

    def negotiated(self, features: int) -> None:
        """What was agreed on: the driver has set DRIVER_OK."""

    def describe(self) -> str:
        """What it is, for somebody who compares two runs."""
        return self.name

    def arrival(self, code: int, position: int = 0, data: bytes = b"", at: int | None = None) -> Arrival:
        """What comes for it, from the numbers that an input log has of it. OptionError for a device that hears nothing."""
        raise OptionError(fault(f"input for {self.name}", code, "a device that something comes for from outside"))

    def wants(self, queue: int) -> bool:
        """Is there work for the next chain of a queue?"""
        return True

    def handle(self, queue: int, chain: Chain) -> int | str:
        """Serve one chain: the number of bytes written, or in words why nothing can be done with it."""
        raise NotImplementedError

    def reset(self) -> None:
        """As after power-on, from the guest's point of view."""

    def close(self) -> None:
        """Let go of what the host lent it."""

    def state(self) -> dict[str, Any]:
        """Everything a snapshot needs, as plain data."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Go back to what `state` returned."""
