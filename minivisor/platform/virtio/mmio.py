"""The MMIO transport, version 2: the registers of one device, and the rounds in which its queues are served.

    driver                                      transport                                   device
    ACKNOWLEDGE, DRIVER            ─►
    features, FEATURES_OK          ─►   a subset of what is offered, with VERSION_1? then FEATURES_OK stays set
    QueueDesc… QueueReady          ─►   Queue.enable: three areas inside the guest's RAM?
    DRIVER_OK                      ─►   live
    QueueNotify                    ─►   a round: every chain that is there          ─►  handle(queue, chain)
                                   ◄─   InterruptStatus, line high
    InterruptACK                   ─►   line low

One kick serves all that is offered, so that a busy queue costs one exit. A round moves up to BURST bytes ahead of virtual
time; beyond that the device is as slow as RATE says, and goes on at `deadline` by itself. Otherwise a guest could keep the
host copying for minutes in a few instructions, and the other persona with it.

A driver that breaks the rules of a queue finds DEVICE_NEEDS_RESET in Status (2.1.2) and gets a configuration interrupt;
`report` has the words. Nothing but a reset brings the device back. A reset is a write of 0 to Status.

Source: virtio 1.2, 4.2 "Virtio Over MMIO", 2.1 "Device Status Field", 3.1 "Device Initialization".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minivisor.arch.virtio import CONFIG, MAGIC, VERSION, Feature, Interrupt, Mmio, Status
from minivisor.platform.virtio.device import Device
from minivisor.platform.virtio.memory import GuestMemory
from minivisor.platform.virtio.queue import Queue

__all__ = ["BURST", "VENDOR", "Transport"]

VENDOR = 0x494E_494D  # "MINI"
COMMON = 1 << Feature.INDIRECT_DESC | 1 << Feature.EVENT_IDX | 1 << Feature.VERSION_1
MASK32 = 0xFFFF_FFFF
BURST = 4 << 20  # ns of work that may be done ahead of virtual time
RATE = 1  # ns a byte: 1 GB/s
REQUEST = 2000  # ns a chain beside its bytes

# Low and high half of an address, and which of a queue's areas it is.
AREAS = {
    Mmio.QUEUE_DESC_LOW: ("descriptors", 0),
    Mmio.QUEUE_DESC_HIGH: ("descriptors", 32),
    Mmio.QUEUE_DRIVER_LOW: ("driver", 0),
    Mmio.QUEUE_DRIVER_HIGH: ("driver", 32),
    Mmio.QUEUE_DEVICE_LOW: ("device", 0),
    Mmio.QUEUE_DEVICE_HIGH: ("device", 32),
}
NO_SHARED_MEMORY = (Mmio.SHM_LEN_LOW, Mmio.SHM_LEN_HIGH, Mmio.SHM_BASE_LOW, Mmio.SHM_BASE_HIGH)  # all ones: no region
NEEDS_RESET = int(Status.DEVICE_NEEDS_RESET)


class Transport:
    """One device at its registers. now: virtual time in ns. on_fault: told in words when a driver breaks the rules.

    report: those words, "" while all is well. deadline: when it will go on by itself, None for never.
    """

    def __init__(
        self,
        device: Device,
        memory: GuestMemory,
        now: Callable[[], int] = lambda: 0,
        on_fault: Callable[[str], None] = lambda _words: None,
    ) -> None:
        self.device, self._now, self._on_fault = device, now, on_fault
        self.queues = [Queue(memory, limit) for limit in device.queues]
        self.offered = COMMON | device.features
        device.serve = self._round
        self.reset()

    def reset(self) -> None:
        """As after power-on: a driver wrote 0 to Status, or the guest was powered on."""
        self.status = self._interrupts = self._driver_features = 0
        self._device_sel = self._driver_sel = self._queue_sel = 0
        self._owing: set[int] = set()  # queues whose round was cut short
        self._busy_until = 0  # virtual time at which all work done so far would be done at RATE
        self.report = ""
        for queue in self.queues:
            queue.reset()
        self.device.reset()

    # ── the line, and time ───────────────────────────────────────────────────────────────────────────────────────────

    @property
    def interrupt(self) -> bool:
        """The level of its line now."""
        if self._owing:
            self._go_on()
        return self._interrupts != 0

    @property
    def deadline(self) -> int | None:
        """The virtual time in ns at which it goes on with a round that was cut short."""
        return self._busy_until - BURST if self._owing else None

    @property
    def listening(self) -> bool:
        """Could something from outside raise its line?"""
        return self.device.outside and self._live

    @property
    def _live(self) -> bool:
        return bool(self.status & Status.DRIVER_OK) and not self.status & NEEDS_RESET

    def _go_on(self) -> None:
        if self._now() >= self._busy_until - BURST:
            owing, self._owing = sorted(self._owing), set()
            for index in owing:
                self._round(index)

    # ── rounds ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _round(self, index: int) -> None:
        """Serve what a queue has, as far as the device wants and time allows."""
        if not self._live or index >= len(self.queues):
            return
        queue, device = self.queues[index], self.device
        if queue.look():
            while queue.waiting and device.wants(index):
                if self._busy_until - self._now() > BURST:
                    self._owing.add(index)
                    break
                chain = queue.take()
                if chain is None:
                    break
                offered = chain.readable
                written = device.handle(index, chain)
                moved = offered - chain.readable + chain.written
                self._busy_until = max(self._busy_until, self._now()) + REQUEST + RATE * moved
                if isinstance(written, str):
                    queue.fault = written
                    break
                queue.give(chain, written)
        queue.ask()
        if queue.tell():
            self._interrupts |= Interrupt.USED_BUFFER
        if queue.fault:
            self._needs_reset(f"queue {index}: {queue.fault}")

    def _needs_reset(self, words: str) -> None:
        """2.1.2: the device cannot go on, says so in Status, and notifies of it when the driver is up."""
        if self.status & NEEDS_RESET:
            return
        self.status |= NEEDS_RESET
        self._owing.clear()
        if self.status & Status.DRIVER_OK:
            self._interrupts |= Interrupt.CONFIGURATION
        self.report = f"virtio {self.device.name}: {words}; the device waits for a reset by its driver"
        self._on_fault(self.report)

    # ── registers ────────────────────────────────────────────────────────────────────────────────────────────────────

    def read(self, offset: int, width: int) -> int:
        """Read a register. offset, width: bytes. Registers before CONFIG are 32 bits wide only; others read as zero."""
        if offset >= CONFIG:
            return int.from_bytes(self.device.config()[offset - CONFIG : offset - CONFIG + width], "little")
        return self._register(offset) if width == 4 else 0

    def _register(self, offset: int) -> int:
        match offset:
            case Mmio.INTERRUPT_STATUS:
                return self._interrupts
            case Mmio.STATUS:
                return self.status
            case Mmio.MAGIC_VALUE:
                return MAGIC
            case Mmio.VERSION:
                return VERSION
            case Mmio.DEVICE_ID:
                return self.device.id
            case Mmio.VENDOR_ID:
                return VENDOR
            case Mmio.DEVICE_FEATURES:
                return self.offered >> 32 * self._device_sel & MASK32 if self._device_sel < 2 else 0
            case Mmio.QUEUE_NUM_MAX:
                return self._queue.limit if self._queue else 0
            case Mmio.QUEUE_READY:
                return int(self._queue.ready) if self._queue else 0
        return MASK32 if offset in NO_SHARED_MEMORY else 0

    @property
    def _queue(self) -> Queue | None:
        return self.queues[self._queue_sel] if self._queue_sel < len(self.queues) else None

    def write(self, offset: int, width: int, value: int) -> None:
        """Write a register. offset, width: bytes. Before CONFIG anything but an aligned 32-bit write is ignored."""
        if offset >= CONFIG:
            self.device.configure(offset - CONFIG, value.to_bytes(width, "little"))
        elif width == 4:
            self._set(offset, value)

    def _set(self, offset: int, value: int) -> None:
        match offset:
            case Mmio.QUEUE_NOTIFY:
                self._round(value)
            case Mmio.INTERRUPT_ACK:
                self._interrupts &= ~value
            case Mmio.STATUS:
                self._set_status(value)
            case Mmio.DEVICE_FEATURES_SEL:
                self._device_sel = value
            case Mmio.DRIVER_FEATURES_SEL:
                self._driver_sel = value
            case Mmio.DRIVER_FEATURES if self._driver_sel < 2 and not self.status & Status.FEATURES_OK:
                shift = 32 * self._driver_sel
                self._driver_features = self._driver_features & ~(MASK32 << shift) | value << shift
            case Mmio.QUEUE_SEL:
                self._queue_sel = value
            case _:
                self._set_queue(offset, value)

    def _set_status(self, value: int) -> None:
        if value == 0:
            self.reset()
            return
        news = value & ~self.status & ~NEEDS_RESET
        if news & Status.FEATURES_OK and not self._acceptable:
            news &= ~Status.FEATURES_OK
        if news & Status.DRIVER_OK and not (self.status | news) & Status.FEATURES_OK:
            news &= ~Status.DRIVER_OK
        self.status |= news
        if news & Status.DRIVER_OK:
            self.device.negotiated(self._driver_features)

    @property
    def _acceptable(self) -> bool:
        """2.2.2: a subset of what is offered; and there is no legacy interface here, so VERSION_1 must be in it (6.1)."""
        return not self._driver_features & ~self.offered and bool(self._driver_features >> Feature.VERSION_1 & 1)

    def _set_queue(self, offset: int, value: int) -> None:
        """Registers of the selected queue. Its size and areas cannot be changed while it is in use (4.2.2)."""
        queue = self._queue
        if queue is None:
            return
        if offset == Mmio.QUEUE_READY:
            self._set_ready(queue, value)
        elif queue.ready:
            return
        elif offset == Mmio.QUEUE_NUM:
            queue.size = value
        elif offset in AREAS:
            name, shift = AREAS[Mmio(offset)]
            setattr(queue, name, getattr(queue, name) & ~(MASK32 << shift) | value << shift)

    def _set_ready(self, queue: Queue, value: int) -> None:
        if not value & 1:
            queue.disable()
        elif not queue.ready:
            agreed = self._driver_features
            queue.enable(bool(agreed >> Feature.INDIRECT_DESC & 1), bool(agreed >> Feature.EVENT_IDX & 1))
            if queue.fault:
                self._needs_reset(f"queue {self._queue_sel}: {queue.fault}")

    # ── snapshots ────────────────────────────────────────────────────────────────────────────────────────────────────

    FIELDS = (
        "status",
        "_interrupts",
        "_driver_features",
        "_device_sel",
        "_driver_sel",
        "_queue_sel",
        "_busy_until",
        "report",
    )

    def state(self) -> dict[str, Any]:
        """Everything a snapshot needs beside guest memory, as plain data."""
        return {
            **{name: getattr(self, name) for name in self.FIELDS},
            "owing": sorted(self._owing),
            "queues": [queue.state() for queue in self.queues],
            "device": self.device.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go back to what `state` returned."""
        for name in self.FIELDS:
            setattr(self, name, state[name])
        self._owing = set(state["owing"])
        for queue, saved in zip(self.queues, state["queues"], strict=True):
            queue.load(saved)
        self.device.load(state["device"])
        if self._live:
            self.device.negotiated(self._driver_features)
