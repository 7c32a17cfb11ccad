"""The registers of the virtual GICv2 distributor: how a guest configures its interrupts.

Most of the 4 KiB are the banks of `gic_banks`, those of the private interrupts (0-31) different for each vCPU. Here is what
GICv3 does otherwise: which CPUs an interrupt is for, and SGIs that remember who sent them.

    register    an interrupt   read                       write
    ITARGETSR   8 bits         own CPU for 0-31           SPIs only
    xPENDSGIR   8 bits an SGI  its senders                1 sets or clears a sender
    SGIR        -              zero                       sends; as a whole, by a write of at least a word
    CTLR        -              both groups' enables       both groups' enables

There are no Security Extensions: every access sees both groups. Source: IHI 0048B, 4.3.
"""

from __future__ import annotations

from minivisor.arch.gic import GICD, GICD_CTLR, GICD_ICPIDR2, GICD_IIDR, GICD_SGIR, GICD_TYPER, SPIS
from minivisor.platform.gic_banks import IMPLEMENTER_ARM, Frame, banks, constants
from minivisor.platform.interrupts import INTERRUPTS, Interrupts

__all__ = ["Distributor"]

GROUPS = int(GICD_CTLR.of(EnableGrp0=1, EnableGrp1=1))


class Distributor(Frame):
    """GICD of one persona: `read` and `write` as a banked device, over the state in `vgic`."""

    def __init__(self, vgic: Interrupts) -> None:
        self.vgic = vgic
        identity: dict[int, int] = {
            GICD.TYPER: int(GICD_TYPER.of(CPUNumber=vgic.cpus - 1, ITLinesNumber=INTERRUPTS // 32 - 1)),
            GICD.IIDR: int(GICD_IIDR.of(ProductID=ord("m"), Implementer=IMPLEMENTER_ARM)),
            GICD.ICPIDR2: int(GICD_ICPIDR2.of(ArchRev=2)),
        }
        super().__init__(
            [
                *banks(vgic, range(INTERRUPTS)),
                (range(GICD.ITARGETSR, GICD.ITARGETSR + 0x400), self._read_targets, self._write_targets),
                (range(GICD.CPENDSGIR, GICD.CPENDSGIR + 16), self._read_senders, self._clear_senders),
                (range(GICD.SPENDSGIR, GICD.SPENDSGIR + 16), self._read_senders, self._set_senders),
                (range(GICD.CTLR, GICD.CTLR + 1), self._read_control, self._write_control),
                *constants(identity),
            ]
        )

    def write(self, offset: int, width: int, value: int, cpu: int) -> None:
        """Write `width` bytes at `offset` as vCPU `cpu`; SGIR takes a word or more at once."""
        if offset == GICD.SGIR and width >= 4:
            self._send(GICD_SGIR(value & 0xFFFF_FFFF), cpu)
        else:
            super().write(offset, width, value, cpu)

    def _read_control(self, _index: int, _cpu: int) -> int:
        return self.vgic.enabled

    def _write_control(self, _index: int, value: int, _cpu: int) -> None:
        self.vgic.enabled = value & GROUPS

    # TargetListFilter: 0 the list, 1 all but the sender, 2 the sender; 3 is reserved and sends nothing.
    def _send(self, request: GICD_SGIR, cpu: int) -> None:
        everyone = (1 << self.vgic.cpus) - 1
        targets = (request.CPUTargetList & everyone, everyone & ~(1 << cpu), 1 << cpu, 0)
        self.vgic.send(request.SGIINTID, cpu, targets[request.TargetListFilter])

    # ── targets ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _read_targets(self, index: int, cpu: int) -> int:
        irq = self.vgic.interrupt(index, cpu)
        if irq is None:
            return 0
        return irq.targets if index in SPIS else 1 << cpu

    def _write_targets(self, index: int, value: int, cpu: int) -> None:
        irq = self.vgic.interrupt(index, cpu)
        if irq is not None and index in SPIS:
            irq.targets = value & (1 << self.vgic.cpus) - 1

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
