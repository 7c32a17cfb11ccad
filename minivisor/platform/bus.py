"""The devices of one persona, by the intermediate physical address at which it finds them.

A guest makes thousands of accesses to the same few registers, so the bus looks a region up by its page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from minivisor.stages import Access

__all__ = ["BankedDevice", "Bus", "Device"]

PAGE = 4096


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
    read: Callable[..., int]
    write: Callable[..., None]
    whose: bool  # read and write want to know which vCPU asks
    timed: bool  # its device may do something by itself, and says when: `deadline`


class Bus:
    """The devices of one persona by intermediate physical address, in bytes."""

    def __init__(self, watch: Watch = lambda *_access: None) -> None:
        self._pages: dict[int, list[_Region]] = {}
        self.watch, self._rescheduled = watch, False

    def add(self, base: int, size: int, device: Device, name: str = "") -> None:
        """Place a device whose registers are the same for every vCPU. name: what a trace calls it, its class if not given."""
        self._place(base, size, device, name, whose=False)

    def add_banked(self, base: int, size: int, device: BankedDevice, name: str = "") -> None:
        """Place a device that needs to know which vCPU asks."""
        self._place(base, size, device, name, whose=True)

    def _place(self, base: int, size: int, device: Device | BankedDevice, name: str, whose: bool) -> None:
        name, timed = name or type(device).__name__, hasattr(device, "deadline")
        region = _Region(name, base, size, device.read, device.write, whose, timed)
        for page in range(base // PAGE, (base + size - 1) // PAGE + 1):
            self._pages.setdefault(page, []).append(region)

    def perform(self, access: Access, cpu: int) -> int | None:
        """Carry out an access. Returns what a load reads, 0 for a store, None when no device answers."""
        ipa, width = access.ipa, access.width
        for region in self._pages.get(ipa // PAGE, ()):
            offset, asks = ipa - region.base, (cpu,) if region.whose else ()
            if 0 <= offset <= region.size - width:
                self._rescheduled |= region.timed
                if access.write:
                    value, seen = 0, access.value
                    region.write(offset, width, seen, *asks)
                else:
                    value = seen = region.read(offset, width, *asks)
                self.watch(cpu, region.name, access.write, ipa, width, seen)
                return value
        return None

    def rescheduled(self) -> bool:
        """Has an access, since the last time, reached a device that does things by itself? When may be another now."""
        rescheduled, self._rescheduled = self._rescheduled, False
        return rescheduled
