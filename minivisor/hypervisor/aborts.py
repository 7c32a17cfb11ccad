"""What happens on a stage-2 fault: either a virtual device answers, or nothing does.

RAM is always mapped, so an access that faults at stage 2 went somewhere else. The persona's `Bus` knows which device
lives at that intermediate physical address. A load or store whose syndrome describes it completely (ISS.ISV) is carried
out on the device; everything else gets what a bus without a responder gives, a synchronous external abort:

    instruction fetch · the guest's own table walk (S1PTW) · a hole · no valid ISS · anything but a translation fault

Cache maintenance by address on a device is the one access that simply succeeds: there is nothing to maintain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from minivisor.arch.esr import FSC
from minivisor.hypervisor.emulate import access as decode_access
from minivisor.hypervisor.emulate import finish
from minivisor.hypervisor.handlers import INSTRUCTION
from minivisor.stages import Abort, Access, DataAbort, Outcome, Vcpu

__all__ = ["AbortHandler", "BankedDevice", "Bus", "Device"]


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


class AbortHandler:
    """on_abort(exit, vcpu) -> Outcome for both kinds of stage-2 abort. `access` is the replaceable decoder."""

    def __init__(self, bus: Bus, access: Callable[[DataAbort, Sequence[int]], Access] = decode_access) -> None:
        self._bus = bus
        self._access = access

    def __call__(self, exit: Abort, vcpu: Vcpu) -> Outcome:
        if not isinstance(exit, DataAbort) or exit.s1ptw or not _translation_fault(exit.status):
            return _nobody(exit)
        if exit.cache_maintenance:
            return Outcome(writes={"PC": vcpu.pc + INSTRUCTION})
        if not exit.valid:
            return _nobody(exit)
        access = self._access(exit, vcpu.x)
        value = self._bus.perform(access, vcpu.index)
        if value is None:
            return _nobody(exit)
        return Outcome(writes={**finish(access, value), "PC": vcpu.pc + INSTRUCTION})


def _translation_fault(status: int) -> bool:
    return status & ~3 == FSC.TRANSLATION


def _nobody(exit: Abort) -> Outcome:
    return Outcome("abort", reason=f"nothing answers at IPA 0x{exit.ipa:x}")
