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


@dataclass(frozen=True, slots=True)
class _Region:
    base: int
    size: int
    read: Callable[[int, int, int], int]
    write: Callable[[int, int, int, int], None]


class Bus:
    """The devices of one persona by intermediate physical address, in bytes."""

    def __init__(self) -> None:
        self._regions: list[_Region] = []

    def add(self, base: int, size: int, device: Device) -> None:
        """Place a device whose registers are the same for every vCPU."""
        self._regions.append(
            _Region(
                base,
                size,
                lambda offset, width, _cpu: device.read(offset, width),
                lambda offset, width, value, _cpu: device.write(offset, width, value),
            )
        )

    def add_banked(self, base: int, size: int, device: BankedDevice) -> None:
        """Place a device that needs to know which vCPU asks."""
        self._regions.append(_Region(base, size, device.read, device.write))

    def perform(self, access: Access, cpu: int) -> int | None:
        """Carry out an access. Returns what a load reads, 0 for a store, None when no device answers."""
        for region in self._regions:
            offset = access.ipa - region.base
            if offset >= 0 and offset + access.width <= region.size:
                if not access.write:
                    return region.read(offset, access.width, cpu)
                region.write(offset, access.width, access.value, cpu)
                return 0
        return None
