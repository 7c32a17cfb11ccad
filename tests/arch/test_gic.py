"""GICv2 facts that others have written down independently: Linux's and QEMU's constants, the device tree binding."""

from __future__ import annotations

from minivisor.arch import gic
from minivisor.arch.gic import GICC, GICD, GICH, GICV


def test_list_registers_as_a_hypervisor_writes_them() -> None:
    timer = gic.GICH_LR.of(HW=1, State=gic.IrqState.PENDING, Priority=0xA0 >> 3, PhysicalID=27, VirtualID=27)
    assert int(timer) == 0x9A006C1B
    sgi = gic.GICH_LR_SOFTWARE.of(State=gic.IrqState.ACTIVE, CPUID=2, VirtualID=5, EOI=1)
    assert int(sgi) == 1 << 29 | 1 << 19 | 2 << 10 | 5


def test_the_guest_cannot_tell_the_virtual_interface_by_its_offsets() -> None:
    assert {register.name: int(register) for register in GICV}.items() <= {r.name: int(r) for r in GICC}.items()


def test_banks_do_not_overlap() -> None:
    ends = {
        GICD.IGROUPR: 0x100, GICD.ISENABLER: 0x180, GICD.ICENABLER: 0x200, GICD.ISPENDR: 0x280, GICD.ICPENDR: 0x300,
        GICD.ISACTIVER: 0x380, GICD.ICACTIVER: 0x400, GICD.IPRIORITYR: 0x7FC, GICD.ITARGETSR: 0xBFC, GICD.ICFGR: 0xD00,
    }  # fmt: skip
    starts = sorted(int(register) for register in GICD)
    for bank, end in ends.items():
        assert not [start for start in starts if bank < start < end], bank.name


def test_known_offsets() -> None:
    assert (GICD.SGIR, GICD.IPRIORITYR, GICD.ICPIDR2) == (0xF00, 0x400, 0xFE8)
    assert (GICC.IAR, GICC.EOIR, GICC.DIR, GICC.IIDR) == (0x0C, 0x10, 0x1000, 0xFC)
    assert (GICH.VMCR, GICH.MISR, GICH.ELRSR0, GICH.APR, GICH.LR) == (0x08, 0x10, 0x30, 0xF0, 0x100)


def test_control_registers_hold_what_linux_writes() -> None:
    assert gic.GICV_CTLR(0x201).fields().items() >= {"EOImode": 1, "EnableGrp0": 1}.items()
    assert gic.GICD_SGIR(0x02010003).fields().items() >= {"TargetListFilter": 2, "CPUTargetList": 1}.items()
    assert gic.GICC_IAR(0x3FF).meaning("InterruptID") == "spurious"
    assert gic.GICH_VTR(0x90000003).fields().items() >= {"ListRegs": 3, "PRIbits": 4, "PREbits": 4}.items()


def test_the_timers_interrupts_are_the_bindings_ppis() -> None:
    assert [gic.PPI.SECURE_PHYSICAL_TIMER, gic.PPI.PHYSICAL_TIMER, gic.PPI.VIRTUAL_TIMER, gic.PPI.HYPERVISOR_TIMER] == [
        16 + ppi for ppi in (13, 14, 11, 10)
    ]
