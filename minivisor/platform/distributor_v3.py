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
from minivisor.platform.gic_banks import IMPLEMENTER_ARM, Frame, banks, constants, ignore
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


class DistributorV3(Frame):
    """GICD of one persona: `read` and `write` as a banked device, over the state in `vgic`."""

    def __init__(self, vgic: Interrupts) -> None:
        self.vgic = vgic
        kind = GICD_TYPER_V3.of(A3V=1, IDbits=9, ITLinesNumber=INTERRUPTS // 32 - 1)
        routes = range(GICD_V3.IROUTER + 8 * PRIVATE, GICD_V3.IROUTER + 8 * SPIS.stop)
        super().__init__(
            [
                *banks(vgic, range(PRIVATE, INTERRUPTS)),
                (routes, self._read_route, self._write_route),
                (range(GICD.CTLR, GICD.CTLR + 1), self._read_control, self._write_control),
                *constants({GICD.TYPER: int(kind), GICD.IIDR: IIDR, GICD_V3.PIDR2: PIDR2}),
            ]
        )

    def _read_control(self, _index: int, _cpu: int) -> int:
        return ALWAYS | self.vgic.enabled

    def _write_control(self, _index: int, value: int, _cpu: int) -> None:
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


class Redistributors(Frame):
    """GICR of all vCPUs, one behind the other: `read` and `write` as a banked device, over the state in `vgic`.

    One frame stands for all of them: whose it is follows from the address, and who asks does not matter.
    """

    def __init__(self, vgic: Interrupts) -> None:
        self.vgic = vgic
        self.size = REDISTRIBUTOR * vgic.cpus
        self._last = vgic.cpus - 1
        self._waker = [0] * vgic.cpus  # awake, since no firmware comes before the guest
        private = [
            (range(GICR.SGI_BASE + offsets.start, GICR.SGI_BASE + offsets.stop), read, write)
            for offsets, read, write in banks(vgic, range(PRIVATE))
        ]
        super().__init__(
            [
                *private,
                (range(GICR.TYPER, GICR.TYPER + 8), self._read_type, ignore),
                (range(GICR.WAKER, GICR.WAKER + 1), self._read_waker, self._write_waker),
                *constants({GICR.IIDR: IIDR, GICD_V3.PIDR2: PIDR2, GICR.SGI_BASE + GICD_V3.PIDR2: PIDR2}),
            ]
        )

    def _read_byte(self, offset: int, cpu: int) -> int:
        owner, within = divmod(offset, REDISTRIBUTOR)
        return super()._read_byte(within, owner)

    def _write_byte(self, offset: int, value: int, cpu: int) -> None:
        owner, within = divmod(offset, REDISTRIBUTOR)
        super()._write_byte(within, value, owner)

    def _read_type(self, index: int, owner: int) -> int:
        kind = GICR_TYPER.of(Affinity_Value=owner, Processor_Number=owner, Last=owner == self._last)
        return int(kind) >> 8 * index & 0xFF

    def _read_waker(self, _index: int, owner: int) -> int:
        return self._waker[owner]

    # Whether asleep or not, interrupts are forwarded: each of them would wake the PE.
    def _write_waker(self, _index: int, value: int, owner: int) -> None:
        self._waker[owner] = ASLEEP if GICR_WAKER.ProcessorSleep.decode(value) else 0
