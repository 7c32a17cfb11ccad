"""The registers of a virtual GICv3: a distributor for what is shared, a redistributor for what each vCPU has of its own.

    0x0800_0000  GICD, 64 KiB             SPIs: the banks of `gic_banks`, and GICD_IROUTER in place of ITARGETSR
    0x080A_0000  GICR of vCPU 0, 128 KiB  RD_base 64 KiB, then SGI_base 64 KiB: the banks for SGIs and PPIs
    0x080C_0000  GICR of vCPU 1, …        any vCPU may access any of them

Affinity routing is always on and there is one Security state: GICD_CTLR.ARE and DS read as one. So the distributor shows
nothing of interrupts 0-31, and what GICv2 has for targets and SGIs (ITARGETSR, SGIR, xPENDSGIR) reads as zero. A write has
its effect before the next instruction: RWP is never seen as one. There are no LPIs, hence no ITS.

Source: IHI 0069, "The GIC Distributor register map" and "The GIC Redistributor register map".
"""

from __future__ import annotations

from minivisor.arch.gic import GICD, GICD_IIDR, SPIS
from minivisor.arch.gicv3 import (
    GICD_CTLR_DS,
    GICD_IROUTER,
    GICD_PIDR2,
    GICD_TYPER_V3,
    GICD_V3,
    GICR,
    GICR_TYPER,
    GICR_WAKER,
)
from minivisor.platform.gic_banks import IMPLEMENTER_ARM, Bank, banks, byte_of
from minivisor.platform.interrupts import INTERRUPTS, PRIVATE, Interrupts

__all__ = ["REDISTRIBUTOR", "DistributorV3", "Redistributors"]

REDISTRIBUTOR = 0x2_0000  # bytes of one
GROUPS = int(GICD_CTLR_DS.of(EnableGrp0=1, EnableGrp1=1))
ALWAYS = int(GICD_CTLR_DS.of(ARE=1, DS=1))
ROUTE = sum(field.mask for field in GICD_IROUTER.layout.values())
AFFINITY = ROUTE & ~GICD_IROUTER.Interrupt_Routing_Mode.mask
IIDR = int(GICD_IIDR.of(ProductID=ord("m"), Implementer=IMPLEMENTER_ARM))
PIDR2 = int(GICD_PIDR2.of(ArchRev=3, JEDEC=1, DES_1=3))
ASLEEP = int(GICR_WAKER.of(ProcessorSleep=1, ChildrenAsleep=1))


class DistributorV3:
    """GICD of one persona: `read` and `write` as a banked device, over the state in `vgic`."""

    def __init__(self, vgic: Interrupts) -> None:
        self.vgic = vgic
        kind = GICD_TYPER_V3.of(A3V=1, IDbits=9, ITLinesNumber=INTERRUPTS // 32 - 1)
        self._constants: dict[int, int] = {GICD.TYPER: int(kind), GICD.IIDR: IIDR, GICD_V3.PIDR2: PIDR2}
        routes = range(GICD_V3.IROUTER + 8 * PRIVATE, GICD_V3.IROUTER + 8 * SPIS.stop)
        self._banks: list[Bank] = [
            *banks(vgic, range(PRIVATE, INTERRUPTS)),
            (routes, self._read_route, self._write_route),
        ]

    def read(self, offset: int, width: int, cpu: int) -> int:
        """Read `width` bytes at `offset`. Reserved bytes read as zero."""
        return int.from_bytes((self._read_byte(offset + n, cpu) for n in range(width)), "little")

    def write(self, offset: int, width: int, value: int, cpu: int) -> None:
        """Write `width` bytes at `offset`. Reserved and read-only bytes ignore it."""
        for n in range(width):
            self._write_byte(offset + n, value >> 8 * n & 0xFF, cpu)

    def _read_byte(self, offset: int, cpu: int) -> int:
        for offsets, read, _ in self._banks:
            if offset in offsets:
                return read(offset - offsets.start, cpu)
        return ALWAYS | self.vgic.enabled if offset == GICD.CTLR else byte_of(self._constants, offset)

    def _write_byte(self, offset: int, value: int, cpu: int) -> None:
        for offsets, _, write in self._banks:
            if offset in offsets:
                write(offset - offsets.start, value, cpu)
                return
        if offset == GICD.CTLR:
            self.vgic.enabled = value & GROUPS

    # Eight bytes an interrupt, from interrupt id 32.
    def _read_route(self, index: int, cpu: int) -> int:
        irq = self.vgic.interrupt(PRIVATE + index // 8, cpu)
        return irq.route >> 8 * (index % 8) & 0xFF if irq is not None else 0

    def _write_route(self, index: int, value: int, cpu: int) -> None:
        irq = self.vgic.interrupt(PRIVATE + index // 8, cpu)
        if irq is not None:
            shift = 8 * (index % 8)
            irq.route = (irq.route & ~(0xFF << shift) | value << shift) & ROUTE
            irq.targets = self._targets(irq.route)

    def _targets(self, route: int) -> int:
        """One bit for each vCPU that may take it. An affinity that nobody has is for nobody."""
        if GICD_IROUTER.Interrupt_Routing_Mode.decode(route):
            return (1 << self.vgic.cpus) - 1
        number = route & AFFINITY
        return 1 << number if number < self.vgic.cpus else 0


class Redistributors:
    """GICR of all vCPUs, one behind the other: `read` and `write` as a banked device, over the state in `vgic`."""

    def __init__(self, vgic: Interrupts) -> None:
        self.vgic = vgic
        self.size = REDISTRIBUTOR * vgic.cpus
        self._banks = banks(vgic, range(PRIVATE))
        self._constants = [_constants(number, vgic.cpus) for number in range(vgic.cpus)]

    def read(self, offset: int, width: int, _cpu: int) -> int:
        """Read `width` bytes at `offset`, whoever asks. Reserved bytes read as zero."""
        return int.from_bytes((self._read_byte(*divmod(offset + n, REDISTRIBUTOR)) for n in range(width)), "little")

    def write(self, offset: int, width: int, value: int, _cpu: int) -> None:
        """Write `width` bytes at `offset`, whoever does it. Reserved and read-only bytes ignore it."""
        for n in range(width):
            self._write_byte(*divmod(offset + n, REDISTRIBUTOR), value >> 8 * n & 0xFF)

    def _read_byte(self, owner: int, offset: int) -> int:
        for offsets, read, _ in self._banks:
            if offset - GICR.SGI_BASE in offsets:
                return read(offset - GICR.SGI_BASE - offsets.start, owner)
        return byte_of(self._constants[owner], offset)

    def _write_byte(self, owner: int, offset: int, value: int) -> None:
        for offsets, _, write in self._banks:
            if offset - GICR.SGI_BASE in offsets:
                write(offset - GICR.SGI_BASE - offsets.start, value, owner)
                return
        if offset == GICR.WAKER:  # whether asleep or not, interrupts are forwarded: each of them would wake the PE
            self._constants[owner][GICR.WAKER] = ASLEEP if GICR_WAKER.ProcessorSleep.decode(value) else 0


def _constants(number: int, cpus: int) -> dict[int, int]:
    """Registers that no write changes, and GICR_WAKER: awake, since no firmware comes before the guest."""
    kind = int(GICR_TYPER.of(Affinity_Value=number, Processor_Number=number, Last=number == cpus - 1))
    return {
        GICR.IIDR: IIDR,
        GICR.TYPER: kind & 0xFFFF_FFFF,
        GICR.TYPER + 4: kind >> 32,
        GICR.WAKER: 0,
        GICD_V3.PIDR2: PIDR2,
        GICR.SGI_BASE + GICD_V3.PIDR2: PIDR2,
    }
