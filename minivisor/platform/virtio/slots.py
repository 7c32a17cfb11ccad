"""The 32 virtio-mmio slots of the virtual platform, in one window of the bus.

    0x0A00_0000 + 0x200 n    slot n, SPI 16 + n (interrupt id 48 + n)

A slot without a device answers with DeviceID 0, which tells a driver that there is none (virtio 1.2, 4.2.3.1.1); the device
tree names the slots in use only, so that a kernel does not probe the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minivisor.arch.gic import SPIS
from minivisor.arch.virtio import MAGIC, SLOT_SIZE, SLOTS, VERSION, Mmio
from minivisor.errors import OptionError
from minivisor.platform.virtio.device import Device
from minivisor.platform.virtio.memory import GuestMemory
from minivisor.platform.virtio.mmio import VENDOR, Transport

__all__ = ["BASE", "FIRST_SPI", "WINDOW", "Slots"]

BASE = 0x0A00_0000
WINDOW = SLOTS * SLOT_SIZE
FIRST_SPI = 16
EMPTY = {Mmio.MAGIC_VALUE: MAGIC, Mmio.VERSION: VERSION, Mmio.VENDOR_ID: VENDOR}


class Slots:
    """The devices of one guest, the first in slot 0. on_fault: told in words when a driver breaks the rules of a queue."""

    def __init__(
        self,
        devices: Sequence[Device],
        memory: GuestMemory,
        now: Callable[[], int] = lambda: 0,
        on_fault: Callable[[str], None] = lambda _words: None,
    ) -> None:
        if len(devices) > SLOTS:
            raise OptionError(f"virtio: got {len(devices)} devices, expected at most {SLOTS}, one a slot")
        for slot, device in enumerate(devices, 1):
            device.slot = slot
        self.transports = [Transport(device, memory, now, on_fault) for device in devices]

    def read(self, offset: int, width: int) -> int:
        """Read a register of a slot. offset: bytes from the first slot."""
        slot, register = divmod(offset, SLOT_SIZE)
        if slot < len(self.transports):
            return self.transports[slot].read(register, width)
        return EMPTY.get(register, 0) if width == 4 else 0  # type: ignore[call-overload]

    def write(self, offset: int, width: int, value: int) -> None:
        """Write a register of a slot."""
        slot, register = divmod(offset, SLOT_SIZE)
        if slot < len(self.transports):
            self.transports[slot].write(register, width, value)

    def lines(self) -> dict[int, Transport]:
        """Who drives which line: a slot by its interrupt id."""
        return dict(enumerate(self.transports, SPIS.start + FIRST_SPI))

    @property
    def deadline(self) -> int | None:
        """The virtual time in ns at which a device will do something by itself."""
        if not self.transports:
            return None
        return min((due for transport in self.transports if (due := transport.deadline) is not None), default=None)

    @property
    def listening(self) -> list[int]:
        """Interrupt ids of the devices for which something may come from outside."""
        first = SPIS.start + FIRST_SPI
        return [first + slot for slot, transport in enumerate(self.transports) if transport.listening]

    @property
    def reports(self) -> list[str]:
        """What is wrong with devices that wait for a reset."""
        return [
            f"slot {slot}: {transport.report}" for slot, transport in enumerate(self.transports) if transport.report
        ]

    def reset(self) -> None:
        """Power-on: every device forgets its driver."""
        for transport in self.transports:
            transport.reset()

    def close(self) -> None:
        """The guest is gone: every device lets go of what the host lent it."""
        for transport in self.transports:
            transport.device.close()

    def state(self) -> list[dict[str, Any]]:
        """Everything a snapshot needs beside guest memory, as plain data."""
        return [transport.state() for transport in self.transports]

    def load(self, state: list[dict[str, Any]]) -> None:
        """Go back to what `state` returned."""
        for transport, saved in zip(self.transports, state, strict=True):
            transport.load(saved)
