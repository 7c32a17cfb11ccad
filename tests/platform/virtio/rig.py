"""A device behind its transport, with memory and a driver: what every test here starts from."""

from __future__ import annotations

from minivisor.platform.virtio.device import Device
from minivisor.platform.virtio.memory import GuestMemory
from minivisor.platform.virtio.mmio import Transport
from tests.platform.virtio.naive_driver import BASE, SIZE, Driver, Ram


class Rig:
    """now: virtual time, to be set. reports: what the transport said about its driver."""

    def __init__(self, device: Device, size: int = SIZE) -> None:
        self.now, self.reports = 0, list[str]()
        self.ram, self.device = Ram(size), device
        memory = GuestMemory(BASE, memoryview(self.ram.bytes), lambda ipa, count: self.ram.writes.append((ipa, count)))
        self.transport = Transport(device, memory, lambda: self.now, self.reports.append)
        self.driver = Driver(self.transport, self.ram)
