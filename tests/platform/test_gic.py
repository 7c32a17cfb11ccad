"""Which frames a guest finds, and what its writes of trapping system registers do."""

import pytest

from minivisor.arch.encoding import REGISTERS
from minivisor.hypervisor.vgic import Vgic
from minivisor.platform.bus import Bus
from minivisor.platform.gic import attach, trapped_registers
from minivisor.stages import Access

GICD, GICC, GICR = 0x0800_0000, 0x0801_0000, 0x080A_0000


def answers(bus, ipa):
    return bus.perform(Access(ipa, 4, False, 0), 0) is not None


@pytest.mark.parametrize("affinity", [False, True])
def test_frames_end_where_the_tree_says(affinity):
    bus = Bus()
    attach(bus, Vgic(3, affinity=affinity), lambda: False)
    there = {address for address in (GICD + 0xFFC, GICD + 0x1000, GICC, GICC + 0x1000, GICR - 4) if answers(bus, address)}
    assert there == ({GICD + 0xFFC, GICD + 0x1000} if affinity else {GICD + 0xFFC, GICC + 0x1000})
    assert [answers(bus, GICR + 0x2_0000 * n) for n in range(4)] == [affinity] * 3 + [False]
    assert answers(bus, GICR + 0x5_FFFC) == affinity


class Sender:
    def __init__(self, cpus=4):
        self.vgic = Vgic(cpus, affinity=True)
        self.eoi_mode = True
        self.writes = trapped_registers(lambda: self.vgic, lambda: self.eoi_mode)

    def write(self, name, value, cpu=0):
        self.writes[REGISTERS[name]](value, cpu)

    def reached(self, sgi):
        found = {cpu for cpu in range(self.vgic.cpus) if self.vgic.interrupt(sgi, cpu).pending}
        for cpu in found:
            self.vgic.interrupt(sgi, cpu).latch = False
        return found


@pytest.mark.parametrize(
    ("value", "sgi", "reached"),
    [
        (0b0110, 0, {1, 2}),
        (5 << 24 | 0xFFFF, 5, {0, 1, 2, 3}),
        (9 << 24 | 1 << 40, 9, {0, 1, 3}),  # IRM: all but the sender, which is 2
        (9 << 24 | 1 << 40 | 0b0110, 9, {0, 1, 3}),
        (0xF << 24 | 1 << 16 | 1, 15, set()),  # Aff1
        (1 << 32 | 1, 0, set()),  # Aff2
        (1 << 48 | 1, 0, set()),  # Aff3
        (1 << 44 | 1, 0, set()),  # RS: Aff0 from 16
        (0xFF00, 0, set()),
    ],
)
def test_sgis_go_by_affinity(value, sgi, reached):
    sender = Sender()
    sender.write("ICC_SGI1R_EL1", value, cpu=2)
    assert sender.reached(sgi) == reached
    assert not any(sender.vgic.interrupt(intid, cpu).pending for intid in range(32) for cpu in range(4))


@pytest.mark.parametrize(
    ("name", "groups"), [("ICC_SGI1R_EL1", {0, 1}), ("ICC_SGI0R_EL1", {0}), ("ICC_ASGI1R_EL1", {0})]
)
def test_each_register_reaches_its_groups(name, groups):
    sender = Sender()
    for cpu in (1, 3):
        sender.vgic.interrupt(4, cpu).group = 1
    sender.write(name, 4 << 24 | 0b1111)
    assert sender.reached(4) == {cpu for cpu in range(4) if cpu % 2 in groups}


def test_dir_deactivates_what_is_in_no_list_register():
    sender = Sender()
    for intid in (3, 40):
        irq = sender.vgic.interrupt(intid, 1)
        irq.active, irq.holder = True, 1
    sender.eoi_mode = False
    sender.write("ICC_DIR_EL1", 40, cpu=1)
    sender.eoi_mode = True
    sender.write("ICC_DIR_EL1", 40, cpu=0)  # another CPU's
    sender.write("ICC_DIR_EL1", 3 | 1 << 10, cpu=1)  # not an SGI's sender, but another id
    assert sender.vgic.interrupt(40, 1).active and sender.vgic.interrupt(3, 1).active
    for intid in (40, 3, 1023, 0xFF_FFFF):
        sender.write("ICC_DIR_EL1", intid, cpu=1)
    assert not sender.vgic.interrupt(40, 1).active and not sender.vgic.interrupt(3, 1).active


def test_a_guest_of_gicv2_has_no_such_registers():
    from minivisor.hypervisor.handlers import SysregHandler
    from minivisor.stages import SysregTrap, Vcpu

    sgi1r, identity = REGISTERS["ICC_SGI1R_EL1"], REGISTERS["ID_AA64PFR0_EL1"]
    for writes, kind, version in (({}, "undefined", 0), (Sender().writes, "resume", 1)):
        handler = SysregHandler({identity: 0x2222}, writes)
        assert handler(SysregTrap(0, 0x18, 0, sgi1r, 31, False), Vcpu(0, "")).kind == kind
        assert handler(SysregTrap(0, 0x18, 0, sgi1r, 0, True), Vcpu(0, "")).kind == "undefined"
        assert handler.read(identity) >> 24 & 15 == version
