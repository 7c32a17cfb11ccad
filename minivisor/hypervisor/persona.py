"""A persona: one guest operating system with its memory, its devices and its vCPUs.

What a persona sees is the fixed virtual platform (DESIGN, "The virtual platform"), on every board:

    0x0800_0000  GICv2 distributor          emulated: each access is a stage-2 fault
    0x0801_0000  GICv2 CPU interface        the board's virtual CPU interface page, mapped: no exit
    0x0801_1000  its GICC_DIR               emulated
                 or, on a GICv3 board and if wanted, a GICv3: `platform.gic`
    0x0900_0000  PL011 UART, SPI 1          emulated
    0x0901_0000  PL031 RTC, SPI 2           emulated
    0x0A00_0000  virtio, 32 slots           emulated; SPI 16 + n
    0x4000_0000  RAM                        the persona's own pages; device tree first, framebuffer last
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from minivisor.arch.psci import Affinity
from minivisor.errors import GuestImageError, OptionError
from minivisor.hypervisor.ownership import Ownership
from minivisor.hypervisor.placement import TABLE_PAGES, Placement
from minivisor.hypervisor.reference import uart_is_ours
from minivisor.hypervisor.stage2 import Stage2
from minivisor.hypervisor.tables import MemoryTables
from minivisor.hypervisor.vcpu import VirtualCpu
from minivisor.hypervisor.vgic import Vgic
from minivisor.machine.board import Machine
from minivisor.machine.gic import PHYSICAL_TIMER, VIRTUAL_TIMER
from minivisor.machine.pl011 import Pl011
from minivisor.machine.state import WORD
from minivisor.machine.timer import TICK_NS
from minivisor.platform import gic
from minivisor.platform.bus import Bus
from minivisor.platform.guest_tree import Framebuffer, guest_tree
from minivisor.platform.image import Image
from minivisor.platform.rtc import Rtc
from minivisor.platform.virtio.console import Console
from minivisor.platform.virtio.device import Device
from minivisor.platform.virtio.memory import GuestMemory
from minivisor.platform.virtio.slots import BASE as VIRTIO
from minivisor.platform.virtio.slots import WINDOW, Slots
from minivisor.stages import Stages
from minivisor.trace.recorder import Recorder
from minivisor.trace.store import Trace

__all__ = ["FRAMEBUFFER", "RAM", "Persona", "PersonaSettings"]

UART, RTC, RAM = 0x0900_0000, 0x0901_0000, 0x4000_0000
PAGE = 0x1000
EOI_MODE = 1 << 9  # GICV_CTLR.EOImode, GICH_VMCR.VEM
UART_SPI, RTC_SPI = 33, 34  # interrupt ids of SPI 1 and 2
MIB = 1 << 20
FRAMEBUFFER_ROOM = 128 << 10  # at the end of RAM
FRAMEBUFFER = Framebuffer(address=0, width=160, height=240, stride=320, format="r5g6b5")
DECODED = 4096  # exits whose decoding is remembered
VMCR_AT = WORD["gich_vmcr"]
CONSOLE_LIMIT = 1 << 20  # bytes of output kept; a guest may print for ever


@dataclass(frozen=True, slots=True)
class PersonaSettings:
    """What the product decides about a persona. memory: bytes, in 2 MiB. colour: 0xRRGGBB. weight: its share in front.

    gic: the version of its interrupt controller, 2 or 3; 2 is on every board.
    """

    name: str
    colour: int = 0x2266CC
    memory: int = 64 * MIB
    cpus: int = 1
    weight: int = 3
    bootargs: str = ""
    gic: int = 2

    def __post_init__(self) -> None:
        if self.memory % (2 * MIB) or not 4 * MIB <= self.memory <= 1 << 32:
            expected = "whole 2 MiB, from 4 MiB to 4 GiB, were expected"
            raise OptionError(f"persona {self.name!r}: memory of {self.memory} bytes; {expected}")
        if self.gic not in (2, 3):
            raise OptionError(f"persona {self.name!r}: GIC version {self.gic}; 2 or 3 was expected")
        if not 1 <= self.cpus <= 8 or not 0 <= self.colour <= 0xFFFFFF:
            given = f"{self.cpus} vCPUs, colour {self.colour:#x}"
            raise OptionError(f"persona {self.name!r}: {given}; 1 to 8 and 0xRRGGBB were expected")


class Persona:
    """One guest on one machine.

    pa: where its RAM is in physical memory. status: "off" or "running"; `report` says why it ended, when it did not choose to.
    devices: virtio devices, the first in slot 0. With a console among them, that one gets the keys.
    """

    def __init__(
        self,
        settings: PersonaSettings,
        image: Image,
        machine: Machine,
        ledger: Ownership,
        placement: Placement,
        stages: Callable[[Persona], Stages],
        first_vcpu: int,
        seed: int,
        trace: Trace,
        devices: Sequence[Device] = (),
    ) -> None:
        if settings.gic > machine.board.gic:
            board = f"board {machine.board.name!r} has a GICv{machine.board.gic}; see `minivisor boards`"
            raise OptionError(f"persona {settings.name!r}: a GICv{settings.gic} was asked for, but {board}")
        self.settings, self.image, self.machine, self._ledger = settings, image, machine, ledger
        self.vmid, self.pa, pool = placement
        self.owner = ledger.register(settings.name)
        self.console, self.report, self.status = bytearray(), "", "off"
        self.on_output: Callable[[int], None] = lambda _byte: None
        self.on_device_fault: Callable[[str], None] = lambda _words: None
        self.weight, self.seed = settings.weight, seed
        self.counter_offset = 0
        self.keys: deque[int] = deque()  # typed, but not yet on the line
        self.vcpus = [VirtualCpu(first_vcpu + n, n, self) for n in range(settings.cpus)]
        self._record = Recorder(trace, lambda: machine.core.now, lambda: self.vcpus[0].index, self.vmid)
        self.bus = Bus(self._record.device)
        self.trapped_registers = gic.trapped_registers(lambda: self.vgic, self._eoi_mode) if settings.gic == 3 else {}
        self.stages = stages(self)
        self._uart_is_ours = uart_is_ours(self.stages)
        self.decode = lru_cache(DECODED)(self.stages.decode)  # pure, and the same few exits come again and again
        self._make_devices()
        self._make_virtio(devices)
        self._make_stage2(pool)

    @property
    def name(self) -> str:
        """What people call it."""
        return self.settings.name

    def _make_devices(self) -> None:
        core, stages = self.machine.core, self.stages
        self.vgic = self._new_vgic()
        self._quiet = self.vgic.state()
        self.uart, self.rtc = stages.uart(self._transmit), Rtc(lambda: core.now)
        gic.attach(self.bus, self.vgic, self._eoi_mode)
        self.bus.add(UART, PAGE, self.uart)
        self.bus.add(RTC, PAGE, self.rtc)

    def _new_vgic(self) -> Vgic:
        stages, version = self.stages, self.settings.gic
        views = lambda: [vcpu.view_inside() for vcpu in self.vcpus]  # noqa: E731 - short, and used once, right here
        vgic = Vgic(len(self.vcpus), views, stages.flush, stages.fold, stages.target, affinity=version == 3)
        vgic.forward(VIRTUAL_TIMER, VIRTUAL_TIMER)
        vgic.forward(PHYSICAL_TIMER, PHYSICAL_TIMER)
        return vgic

    def _eoi_mode(self) -> bool:
        """EOImode of the vCPU that is loaded."""
        return bool(self.machine.core.words[VMCR_AT] & EOI_MODE)

    def _make_virtio(self, devices: Sequence[Device]) -> None:
        core = self.machine.core
        ram = memoryview(self.machine.memory.span(self.pa, self.settings.memory))  # type: ignore[arg-type]
        memory = GuestMemory(RAM, ram, lambda ipa, size: core.written(self.pa + ipa - RAM, size))
        self.virtio = Slots(devices, memory, lambda: core.now, lambda words: self.on_device_fault(words))
        self.bus.add(VIRTIO, WINDOW, self.virtio)
        self._drivers = {UART_SPI: self.uart, RTC_SPI: self.rtc, **self.virtio.lines()}  # of each line
        self.take_key: Callable[[int], object] = self.keys.append
        for console in (device for device in devices if isinstance(device, Console)):
            self.take_key, console.transmit = console.receive, self._transmit

    def _make_stage2(self, pool: int) -> None:
        memory = self.machine.memory
        self.table_log: list[tuple[object, ...]] | None = None if self.machine.table_log is None else []
        self.tables = MemoryTables(memory.bytes, memory.base, pool, TABLE_PAGES, self._tlbi, self.table_log)
        check = self._record.guarded(self._ledger.checker(self.owner))
        self.stage2 = Stage2(self.tables, check, self.stages.map_page, self.stages.unmap, self._record.stage2)
        self._ledger.claim(self.owner, self.pa, self.settings.memory)
        self._scrubbed = True  # free pages are: to clear them again would make the host back every one
        self.stage2.map(RAM, self.pa, self.settings.memory, "rwx")
        if self.settings.gic == 2:
            self.stage2.map(gic.GICC, self.machine.board.gicv_base, PAGE, "device-rw")
        self.vttbr = self.vmid << 48 | self.tables.root
        self._tlbi_all()

    def _tlbi_all(self) -> None:
        self.machine.core.tlbi_vmid(self.vmid)
        if self.table_log is not None:
            self.table_log.append(("tlbi_vmid",))
        self._record.tlbi()

    def release(self) -> None:
        """Give its RAM back: nothing maps it any more, no TLB remembers it, and the next owner finds zeros."""
        self.stage2.unmap(RAM, self.settings.memory)
        self.stage2.unmap(gic.GICC, PAGE)
        self._tlbi_all()
        self._ledger.release(self.owner, self.pa, self.settings.memory)
        self.virtio.close()

    def _tlbi(self, ipa: int) -> None:
        """Invalidate by IPA under this persona's VMID, whoever is loaded. TLBI by IPA drops whole blocks, as hardware does."""
        core = self.machine.core
        loaded = int(core.record.vmid)
        core.load_vmid(self.vmid)
        core.tlbi_ipa(ipa)
        core.load_vmid(loaded)
        self._record.tlbi(ipa)

    # ── memory ──

    def span(self, ipa: int, size: int) -> np.ndarray:
        """uint8[size] view of its RAM from an intermediate physical address."""
        if not RAM <= ipa <= ipa + size <= RAM + self.settings.memory:
            raise GuestImageError(f"persona {self.name!r}: [{ipa:#x}, {ipa + size:#x}) is outside its RAM")
        return self.machine.memory.span(self.pa + ipa - RAM, size)

    def inside(self, ipa: int) -> bool:
        """Is this intermediate physical address in its RAM?"""
        return RAM <= ipa < RAM + self.settings.memory

    def code_at(self, va: int) -> int:
        """The instruction that its running vCPU has at a virtual address, 0 where there is none."""
        return self.machine.core.code_at(va)

    def register(self, name: str) -> int:
        """A register of its running vCPU, by architectural name."""
        return self.machine.core.read(name)

    @property
    def framebuffer(self) -> int:
        """Intermediate physical address of its framebuffer."""
        return RAM + self.settings.memory - FRAMEBUFFER_ROOM

    def pixels(self) -> np.ndarray:
        """uint16[height, width]: its screen in r5g6b5, a view of its RAM."""
        size = FRAMEBUFFER.stride * FRAMEBUFFER.height
        return self.span(self.framebuffer, size).view(np.uint16).reshape(FRAMEBUFFER.height, FRAMEBUFFER.width)

    # ── power ──

    def power_on(self, now: int) -> None:
        """Load the image into zeroed RAM, write the device tree, start vCPU 0."""
        if not self._scrubbed:
            self.span(RAM, self.settings.memory)[:] = 0
        self._scrubbed = False
        for address, content, _size in self.image.pieces:
            self.span(address, len(content))[:] = np.frombuffer(content, np.uint8)
        tree = self._device_tree()
        self.span(self.image.tree, len(tree))[:] = np.frombuffer(tree, np.uint8)
        self.machine.core.code_changed()
        self.machine.core.tlbi_vmid(self.vmid)
        self.vgic.load(self._quiet)
        self.uart.load(Pl011().state())
        self.virtio.reset()
        self.keys.clear()
        self.counter_offset = now // TICK_NS
        self.status, self.report = "running", ""
        for vcpu in self.vcpus:
            vcpu.status = "off"
        self.vcpus[0].reset(self.image.entry, self.image.tree, now)

    def power_off(self, report: str = "") -> None:
        """No vCPU runs any more; RAM stays, for whoever wants to look. report: why, when it was not its own wish."""
        self.status, self.report = "off", report
        for vcpu in self.vcpus:
            vcpu.status = "off"

    def _device_tree(self) -> bytes:
        settings = self.settings
        return guest_tree(
            memory=(RAM, settings.memory),
            cpus=settings.cpus,
            name=settings.name,
            colour=settings.colour,
            framebuffer=replace(FRAMEBUFFER, address=self.framebuffer),
            bootargs=settings.bootargs,
            initrd=self.image.initrd,
            seed=self.seed,
            gic=settings.gic,
            virtio=len(self.virtio.transports),
        )

    def affinity(self, number: int) -> int | None:
        """PSCI's view of a vCPU: an `Affinity` state, None when there is no such vCPU."""
        if not 0 <= number < len(self.vcpus):
            return None
        return Affinity.OFF if self.vcpus[number].status == "off" else Affinity.ON

    # ── events ──

    def _transmit(self, byte: int) -> None:
        self.console.append(byte)
        if len(self.console) > CONSOLE_LIMIT:
            del self.console[: CONSOLE_LIMIT // 2]
        self.on_output(byte)

    def update_lines(self) -> None:
        """Keys into the UART as far as it has room, and device lines into the vGIC."""
        while self.keys and self.uart.room > 0:
            self.uart.receive(self.keys.popleft())
        for intid, device in self._drivers.items():
            self.vgic.set_line(intid, device.interrupt)

    @property
    def letters(self) -> int | None:
        """What UARTFR reads while `machine.letters` may answer for the UART: where that is ours, and its line stays."""
        return self.uart.idle_flags if self._uart_is_ours else None

    def next_event(self, now: int) -> int | None:
        """When a device or a timer of a vCPU that is not loaded will raise its line by itself, in ns; None for never."""
        deadlines = [self.rtc.deadline, self.virtio.deadline]
        deadlines += [vcpu.timers(now)[2] for vcpu in self.vcpus if vcpu.status == "waiting"]
        return min([deadline for deadline in deadlines if deadline is not None], default=None)

    def wake(self, now: int) -> list[VirtualCpu]:
        """vCPUs that wait and have something pending become ready; returns those."""
        self.update_lines()
        woken = []
        for vcpu in [each for each in self.vcpus if each.status == "waiting"]:
            for intid, level in zip((VIRTUAL_TIMER, PHYSICAL_TIMER), vcpu.timers(now)[:2], strict=True):
                self.vgic.set_line(intid, level, vcpu.number)
            if self.vgic.signals(vcpu.number):
                vcpu.status, vcpu.since = "ready", now
                woken.append(vcpu)
        return woken

    def can_wake(self, now: int) -> bool:
        """Is there any event source left that could end a WFI: a timer, the clock, a key, a device that hears from outside?"""
        if any(vcpu.status == "ready" for vcpu in self.vcpus) or self.next_event(now) is not None:
            return True
        awaited = [UART_SPI] * self.uart.listening + self.virtio.listening
        interrupts = filter(None, (self.vgic.interrupt(intid, 0) for intid in awaited))
        return any(interrupt.enabled and self.vgic.forwards(interrupt) for interrupt in interrupts)
