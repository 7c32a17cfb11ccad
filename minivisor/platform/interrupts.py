"""What the registers of an interrupt controller show and change: one interrupt, and the few things one can do to many.

The vGIC (`minivisor.hypervisor.vgic`) keeps the interrupts of a persona and moves them in and out of list registers. To the
register banks of GICv2 and GICv3 it is an `Interrupts`: nothing here knows of EL2.

Interrupts 0-15 are SGIs, 16-31 PPIs, one of each per vCPU; 32-127 are SPIs, shared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minivisor.arch.gic import SPIS

__all__ = ["INTERRUPTS", "PRIVATE", "Interrupt", "Interrupts"]

INTERRUPTS = 128
PRIVATE = SPIS.start


@dataclass(slots=True)
class Interrupt:
    """One interrupt. senders: one bit for each CPU that sent this SGI. sender, holder: of the activation, if active.

    targets: one bit for each CPU that may take this SPI; route: what GICD_IROUTER said, on a GICv3.
    turn: among its equals, while it is ready; 0 when it is not.
    """

    intid: int
    enabled: bool = False
    edge: bool = False
    priority: int = 0
    group: int = 0
    targets: int = 0
    route: int = 0
    physical: int | None = None

    line: bool = False
    latch: bool = False
    senders: int = 0

    active: bool = False
    sender: int = 0
    holder: int = 0
    turn: int = 0

    @property
    def pending(self) -> bool:
        return self.latch or self.senders != 0 or (self.line and not self.edge)


class Interrupts(Protocol):
    """All interrupts of a persona.

    cpus: 1 to 8. enabled: the groups that are forwarded, one bit each (GICD_CTLR.EnableGrp0 and 1). affinity: a GICv3 with
    affinity routing: an SGI is pending or not, whoever sent it.
    """

    cpus: int
    enabled: int
    affinity: bool

    def interrupt(self, intid: int, cpu: int) -> Interrupt | None:
        """One interrupt as `cpu` sees it, None beyond the last. After changing it, call `settle`."""
        ...

    def settle(self, interrupt: Interrupt, cpu: int) -> None:
        """It may be pending or active now, or no more."""
        ...

    def send(self, sgi: int, sender: int, targets: int) -> None:
        """SGI `sgi` from vCPU `sender` to each vCPU with a bit in `targets`."""
        ...

    def deactivate(self, intid: int, sender: int, cpu: int) -> None:
        """An active interrupt of this vCPU is no longer. sender: of an SGI."""
        ...
