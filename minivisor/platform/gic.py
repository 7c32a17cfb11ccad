"""The interrupt controller that a guest finds: which frames of which generation, on the bus and among the system registers.

    --gic 2   GICD 0x0800_0000    the GICC page 0x0801_0000 is the board's own (GICV), its second page is `Deactivation`
    --gic 3   GICD 0x0800_0000    GICR 0x080A_0000    ICC_* are the board's own, but for those that trap

Of ICC_*, software generated interrupts always trap when the CPU interface is virtual, and ICC_DIR_EL1 because we ask for it.
Source: IHI 0069, ICC_SGI1R_EL1, ICC_ASGI1R_EL1, ICC_SGI0R_EL1, ICV_DIR_EL1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from minivisor.arch.encoding import REGISTERS, Encoding
from minivisor.arch.gicv3 import ICC_SGI1R_EL1
from minivisor.platform.bus import Bus
from minivisor.platform.deactivation import Deactivation
from minivisor.platform.distributor import Distributor
from minivisor.platform.distributor_v3 import DistributorV3, Redistributors
from minivisor.platform.interrupts import Interrupts

__all__ = ["GICC", "GICD", "GICR", "V2_FRAME", "V3_FRAME", "attach", "trapped_registers"]

GICD, GICC, GICR = 0x0800_0000, 0x0801_0000, 0x080A_0000
V2_FRAME, V3_FRAME = 0x1000, 0x1_0000

Write = Callable[[int, int], None]
"""(value, the vCPU that writes it)."""


def attach(bus: Bus, vgic: Interrupts, eoi_mode: Callable[[], bool]) -> None:
    """Put the frames of a GICv2, or of a GICv3 when `vgic` routes by affinity, on a persona's bus."""
    if vgic.affinity:
        redistributors = Redistributors(vgic)
        bus.add_banked(GICD, V3_FRAME, DistributorV3(vgic))
        bus.add_banked(GICR, redistributors.size, redistributors)
    else:
        bus.add_banked(GICD, V2_FRAME, Distributor(vgic))
        bus.add_banked(GICC + V2_FRAME, V2_FRAME, Deactivation(vgic, eoi_mode))


def trapped_registers(vgic: Callable[[], Interrupts], eoi_mode: Callable[[], bool]) -> Mapping[Encoding, Write]:
    """GICv3: what EL2 does when a guest writes a register that traps. vgic: asked for at each write."""

    def deactivate(value: int, cpu: int) -> None:
        Deactivation(vgic(), eoi_mode).deactivate(value & 0xFF_FFFF, 0, cpu)

    return {
        REGISTERS["ICC_SGI1R_EL1"]: lambda value, cpu: _send(vgic(), value, cpu, groups=(0, 1)),
        REGISTERS["ICC_ASGI1R_EL1"]: lambda value, cpu: _send(vgic(), value, cpu, groups=(0,)),
        REGISTERS["ICC_SGI0R_EL1"]: lambda value, cpu: _send(vgic(), value, cpu, groups=(0,)),
        REGISTERS["ICC_DIR_EL1"]: deactivate,
    }


# With one Security state ICC_SGI1R reaches SGIs of either group, the two others those of Group 0 (IHI 0069, "Forwarding an
# SGI to a target PE"). Our vCPUs differ in Aff0 alone: another cluster, or a range beyond the first sixteen, is nobody.
def _send(vgic: Interrupts, value: int, cpu: int, groups: tuple[int, ...]) -> None:
    request, everyone = ICC_SGI1R_EL1(value), (1 << vgic.cpus) - 1
    targets = 0 if request.Aff3 | request.Aff2 | request.Aff1 | request.RS else request.TargetList & everyone
    if request.IRM:
        targets = everyone & ~(1 << cpu)
    for target in range(vgic.cpus):
        irq = vgic.interrupt(request.INTID, target)
        if targets >> target & 1 and irq is not None and irq.group in groups:
            vgic.send(request.INTID, cpu, 1 << target)
