"""The registers of the virtual distributor: how a guest configures its interrupts.

Most of the 4 KiB are banks with one bit, two bits or one byte for each interrupt, the private ones (0-31) different for
each vCPU. Everything is done byte by byte, so that accesses of any width and alignment work; only GICD_SGIR acts as a
whole, on a write of at least a word.

    bank        an interrupt   read                       write
    ISENABLER   1 bit          enabled                    1 enables
    ICENABLER   1 bit          enabled                    1 disables (SGIs stay enabled)
    ISPENDR     1 bit          pending                    1 sets the latch (not of SGIs)
    ICPENDR     1 bit          pending                    1 clears the latch; a high line keeps it pending
    ISACTIVER   1 bit          active                     1 activates
    ICACTIVER   1 bit          active                     1 deactivates
    IPRIORITYR  8 bits         priority, 5 bits kept      as many as a list register holds
    ITARGETSR   8 bits         own CPU for 0-31           SPIs only
    ICFGR       2 bits         bit 1: edge-triggered      SPIs only
    xPENDSGIR   8 bits an SGI  its senders                1 sets or clears a sender

Groups do not exist here: IGROUPR reads as zero, and GICD_CTLR has one enable bit. Source: IHI 0048B, 4.3.
"""

from __future__ import annotations

from collections.abc import Callable

from minivisor.arch.gic import GICD, GICD_CTLR, GICD_ICPIDR2, GICD_IIDR, GICD_SGIR, GICD_TYPER, SGIS, SPIS
from minivisor.hypervisor.vgic import INTERRUPTS, Interrupt, Vgic

__all__ = ["Distributor"]

PRIORITY_BITS = 0xF8  # GICH_LR.Priority holds [7:3]
IMPLEMENTER_ARM = 0x43B
BANK = 0x80  # bytes of a bank with one bit an interrupt

Read = Callable[[int, int], int]
Write = Callable[[int, int, int], None]


class Distributor:
    """GICD of one persona: `read` and `write` as a banked device, over the state in `vgic`."""

    def __init__(self, vgic: Vgic) -> None:
        self.vgic = vgic
        self._constants = {
            GICD.TYPER: int(GICD_TYPER.of(CPUNumber=vgic.cpus - 1, ITLinesNumber=INTERRUPTS // 32 - 1)),
            GICD.IIDR: int(GICD_IIDR.of(ProductID=ord("m"), Implementer=IMPLEMENTER_ARM)),
            GICD.ICPIDR2: int(GICD_ICPIDR2.of(ArchRev=2)),
        }
        self._banks: list[tuple[range, Read, Write]] = [
            (_bank(GICD.ISENABLER), self._bits(lambda irq: irq.enabled), self._each(_enable)),
            (_bank(GICD.ICENABLER), self._bits(lambda irq: irq.enabled), self._each(_disable)),
            (_bank(GICD.ISPENDR), self._bits(lambda irq: irq.pending), self._each(_set_pending)),
            (_bank(GICD.ICPENDR), self._bits(lambda irq: irq.pending), self._each(_clear_pending)),
            (_bank(GICD.ISACTIVER), self._bits(lambda irq: irq.active), self._each(_activate)),
            (_bank(GICD.ICACTIVER), self._bits(lambda irq: irq.active), self._each(_deactivate)),
            (_bank(GICD.IPRIORITYR, 8), self._read_priority, self._write_priority),
            (_bank(GICD.ITARGETSR, 8), self._read_targets, self._write_targets),
            (_bank(GICD.ICFGR, 2), self._read_config, self._write_config),
            (range(GICD.CPENDSGIR, GICD.CPENDSGIR + 16), self._read_senders, self._clear_senders),
            (range(GICD.SPENDSGIR, GICD.SPENDSGIR + 16), self._read_senders, self._set_senders),
        ]

    def read(self, offset: int, width: int, cpu: int) -> int:
        """Read `width` bytes at `offset` as vCPU `cpu`. Reserved bytes read as zero."""
        return int.from_bytes((self._read_byte(offset + n, cpu) for n in range(width)), "little")

    def write(self, offset: int, width: int, value: int, cpu: int) -> None:
        """Write `width` bytes at `offset` as vCPU `cpu`. Reserved and read-only bytes ignore it."""
        if offset == GICD.SGIR and width >= 4:
            self._send(GICD_SGIR(value & 0xFFFF_FFFF), cpu)
            return
        for n in range(width):
            self._write_byte(offset + n, value >> 8 * n & 0xFF, cpu)

    def _read_byte(self, offset: int, cpu: int) -> int:
        for offsets, read, _ in self._banks:
            if offset in offsets:
                return read(offset - offsets.start, cpu)
        if offset == GICD.CTLR:
            return int(self.vgic.enabled)
        return self._constants.get(GICD(offset & ~3), 0) >> 8 * (offset & 3) & 0xFF if offset & ~3 in _WORDS else 0

    def _write_byte(self, offset: int, value: int, cpu: int) -> None:
        for offsets, _, write in self._banks:
            if offset in offsets:
                write(offset - offsets.start, value, cpu)
                return
        if offset == GICD.CTLR:
            self.vgic.enabled = bool(GICD_CTLR(value).EnableGrp0)

    # TargetListFilter: 0 the list, 1 all but the sender, 2 the sender; 3 is reserved and sends nothing.
    def _send(self, request: GICD_SGIR, cpu: int) -> None:
        everyone = (1 << self.vgic.cpus) - 1
        targets = (request.CPUTargetList & everyone, everyone & ~(1 << cpu), 1 << cpu, 0)
        self.vgic.send(request.SGIINTID, cpu, targets[request.TargetListFilter])

    # ── one bit an interrupt ─────────────────────────────────────────────────────────────────────────────────────────

    def _bits(self, get: Callable[[Interrupt], bool]) -> Read:
        def read(index: int, cpu: int) -> int:
            found = (self.vgic.interrupt(index * 8 + bit, cpu) for bit in range(8))
            return sum(1 << bit for bit, irq in enumerate(found) if irq is not None and get(irq))

        return read

    def _each(self, change: Callable[[Interrupt, int], None]) -> Write:
        def write(index: int, value: int, cpu: int) -> None:
            for bit in range(8):
                irq = self.vgic.interrupt(index * 8 + bit, cpu) if value >> bit & 1 else None
                if irq is not None:
                    change(irq, cpu)
                    self.vgic.settle(irq, cpu)

        return write

    # ── one byte or two bits an interrupt ────────────────────────────────────────────────────────────────────────────

    def _read_priority(self, index: int, cpu: int) -> int:
        irq = self.vgic.interrupt(index, cpu)
        return irq.priority if irq is not None else 0

    def _write_priority(self, index: int, value: int, cpu: int) -> None:
        irq = self.vgic.interrupt(index, cpu)
        if irq is not None:
            irq.priority = value & PRIORITY_BITS

    def _read_targets(self, index: int, cpu: int) -> int:
        irq = self.vgic.interrupt(index, cpu)
        if irq is None:
            return 0
        return irq.targets if index in SPIS else 1 << cpu

    def _write_targets(self, index: int, value: int, cpu: int) -> None:
        irq = self.vgic.interrupt(index, cpu)
        if irq is not None and index in SPIS:
            irq.targets = value & (1 << self.vgic.cpus) - 1

    def _read_config(self, index: int, cpu: int) -> int:
        found = (self.vgic.interrupt(index * 4 + n, cpu) for n in range(4))
        return sum(2 << 2 * n for n, irq in enumerate(found) if irq is not None and irq.edge)

    def _write_config(self, index: int, value: int, cpu: int) -> None:
        for n in range(4):
            irq = self.vgic.interrupt(index * 4 + n, cpu)
            if irq is not None and irq.intid in SPIS:
                irq.edge = bool(value >> 2 * n & 2)
                self.vgic.settle(irq, cpu)

    # ── senders of SGIs ──────────────────────────────────────────────────────────────────────────────────────────────

    def _read_senders(self, sgi: int, cpu: int) -> int:
        irq = self.vgic.interrupt(sgi, cpu)
        return irq.senders if irq is not None else 0

    def _set_senders(self, sgi: int, value: int, cpu: int) -> None:
        for sender in range(self.vgic.cpus):
            if value >> sender & 1:
                self.vgic.send(sgi, sender, 1 << cpu)

    def _clear_senders(self, sgi: int, value: int, cpu: int) -> None:
        irq = self.vgic.interrupt(sgi, cpu)
        if irq is not None:
            irq.senders &= ~value
            self.vgic.settle(irq, cpu)


_WORDS = {GICD.TYPER, GICD.IIDR, GICD.ICPIDR2}


# A bank has room for 1024 interrupts, however many there are.
def _bank(start: int, bits: int = 1) -> range:
    return range(start, start + BANK * bits)


def _enable(irq: Interrupt, _cpu: int) -> None:
    irq.enabled = True


def _disable(irq: Interrupt, _cpu: int) -> None:
    irq.enabled = irq.intid in SGIS


def _set_pending(irq: Interrupt, _cpu: int) -> None:
    irq.latch = irq.latch or irq.intid not in SGIS


def _clear_pending(irq: Interrupt, _cpu: int) -> None:
    irq.latch = False


def _activate(irq: Interrupt, cpu: int) -> None:
    if not irq.active:
        irq.active, irq.holder = True, cpu


def _deactivate(irq: Interrupt, _cpu: int) -> None:
    irq.active = False
