"""The devices of one persona, by the intermediate physical address at which it finds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from minivisor.stages import Access

__all__ = ["BankedDevice", "Bus", "Device"]


class Device(Protocol):
    """A register bank. Offsets are bytes from its base, widths 1, 2, 4 or 8 bytes; no access raises."""

    def read(self, offset: int, width: int) -> int: ...

    def write(self, offset: int, width: int, value: int) -> None: ...


class BankedDevice(Protocol):
    """A register bank that shows each vCPU its own copy of some registers, as a GIC distributor does."""

    def read(self, offset: int, width: int, cpu: int) -> int: ...

    def write(self, offset: int, width: int, value: int, cpu: int) -> None: ...


Watch = Callable[[int, str, bool, int, int, int], None]
"""Told of every access that a device answered: whose (a vCPU), device, is it a write, IPA, width in bytes, value."""


@dataclass(frozen=True, slots=True)
class _Region:
    name: str
    base: int
    size: int
    read: Callable[[int, int, int], int]
    write: Callable[[int, int, int, int], None]


class Bus:
    """The devices of one persona by intermediate physical address, in bytes."""

    def __init__(self, watch: Watch = lambda *_access: None) -> None:
        self._regions: list[_Region] = []
        self.watch = watch

    def add(self, base: int, size: int, device: Device, name: str = "") -> None:
        """Place a device whose registers are the same for every vCPU. name: what a trace calls it, its class if not given."""
        self._regions.append(
            _Region(
                name or type(device).__name__,
                base,
                size,
                lambda offset, width, _cpu: device.read(offset, width),
                lambda offset, width, value, _cpu: device.write(offset, width, value),
            )
        )

    def add_banked(self, base: int, size: int, device: BankedDevice, name: str = "") -> None:
        """Place a device that needs to know which vCPU asks."""
        self._regions.append(_Region(name or type(device).__name__, base, size, device.read, device.write))

    def perform(self, access: Access, cpu: int) -> int | None:
        """Carry out an access. Returns what a load reads, 0 for a store, None when no device answers."""
        for region in self._regions:
            offset = access.ipa - region.base
            if offset >= 0 and offset + access.width <= region.size:
                value = 0
                if access.write:
                    region.write(offset, access.width, access.value, cpu)
                else:
                    value = region.read(offset, access.width, cpu)
                seen = access.value if access.write else value
                self.watch(cpu, region.name, access.write, access.ipa, access.width, seen)
                return value
        return None
