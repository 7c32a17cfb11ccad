"""A GICv3's distributor and redistributors, by the offsets of IHI 0069, chapter 12, written out here a second time."""

import random

import pytest

from minivisor.hypervisor.vgic import Vgic
from minivisor.platform.distributor_v3 import DistributorV3, Redistributors

CTLR, TYPER, IIDR, IGROUPR, ISENABLER, ICENABLER, ISPENDR, ICPENDR, ISACTIVER, ICACTIVER = (
    0x000, 0x004, 0x008, 0x080, 0x100, 0x180, 0x200, 0x280, 0x300, 0x380
)  # fmt: skip
IPRIORITYR, ITARGETSR, ICFGR, SGIR, SPENDSGIR, IROUTER, PIDR2 = 0x400, 0x800, 0xC00, 0xF00, 0xF20, 0x6000, 0xFFE8
RD, SGI, WAKER = 0x2_0000, 0x1_0000, 0x14
ARE_DS = 0x50


@pytest.fixture
def vgic():
    return Vgic(4, affinity=True)


@pytest.fixture
def gicd(vgic):
    return DistributorV3(vgic)


@pytest.fixture
def gicr(vgic):
    return Redistributors(vgic)


def test_identification(gicd, gicr):
    kind = gicd.read(TYPER, 4, 0)
    assert (kind & 0x1F, kind >> 19 & 0x1F, kind >> 24 & 1) == (3, 9, 1)  # 128 interrupts, 10 bits, Aff3
    assert not kind & (1 << 17 | 1 << 16 | 1 << 10 | 7 << 5)  # no LPIs, no MBIs, one Security state
    for cpu in range(4):
        assert gicr.read(cpu * RD + 8, 8, 0) == cpu << 32 | cpu << 8 | (cpu == 3) << 4
        assert gicr.read(cpu * RD + 12, 4, 3) == cpu
        for frame in (0, SGI):
            assert gicr.read(cpu * RD + frame + PIDR2, 4, 0) == 0x3B
    assert gicd.read(PIDR2, 4, 0) == 0x3B
    before = [gicd.read(offset, 4, 0) for offset in (TYPER, IIDR, PIDR2)]
    for offset in (TYPER, IIDR, PIDR2):
        gicd.write(offset, 4, 0xFFFF_FFFF, 0)
    assert [gicd.read(offset, 4, 0) for offset in (TYPER, IIDR, PIDR2)] == before


def test_affinity_routing_cannot_be_switched_off_and_no_write_is_ever_pending(gicd):
    assert gicd.read(CTLR, 4, 0) == ARE_DS
    for value in (0xFFFF_FFFF, 2, 1, 0):
        gicd.write(CTLR, 4, value, 0)
        assert gicd.read(CTLR, 4, 0) == ARE_DS | value & 3
        assert gicd.vgic.enabled == value & 3


def test_a_sleeping_redistributor_says_so_and_forwards(gicr):
    assert gicr.read(WAKER, 4, 0) == 0
    gicr.write(RD + WAKER, 4, 2, 0)
    assert [gicr.read(cpu * RD + WAKER, 4, 0) for cpu in range(4)] == [0, 6, 0, 0]
    gicr.vgic.enabled = gicr.vgic.interrupt(27, 1).enabled = True
    gicr.vgic.set_line(27, True, cpu=1)
    assert gicr.vgic.signals(1)
    gicr.write(RD + WAKER, 4, 0, 0)
    assert gicr.read(RD + WAKER, 4, 0) == 0


def test_the_distributor_shows_nothing_private(gicd):
    """IHI 0069: with affinity routing these are in the redistributors; what only GICv2 has reads as zero."""
    for offset in (IGROUPR, ISENABLER, ISPENDR, ISACTIVER, IPRIORITYR, IPRIORITYR + 28, ICFGR, ICFGR + 4):
        gicd.write(offset, 4, 0xFFFF_FFFF, 0)
        assert gicd.read(offset, 4, 0) == 0
    for offset in (ITARGETSR, ITARGETSR + 32, SGIR, SPENDSGIR):
        gicd.write(offset, 4, 0x0101_0101, 0)
        assert gicd.read(offset, 4, 0) == 0
    assert not any(gicd.vgic.interrupt(intid, 0).pending for intid in range(32))


@pytest.mark.parametrize("intid", [0, 15, 16, 27, 31])
@pytest.mark.parametrize(("setter", "clearer"), [(ISENABLER, ICENABLER), (ISPENDR, ICPENDR), (ISACTIVER, ICACTIVER)])
def test_private_interrupts_are_each_cpus_own_whoever_asks(gicr, setter, clearer, intid):
    """SGIs too can be disabled, and made pending and not: they do not remember who sent them."""
    bit, where = 1 << intid, 2 * RD + SGI
    gicr.write(where + setter, 4, bit, 0)
    for offset in (setter, clearer):
        assert [gicr.read(cpu * RD + SGI + offset, 4, 1) for cpu in range(4)] == [0, 0, bit, 0]
    gicr.write(where + clearer, 4, bit, 3)
    assert gicr.read(where + setter, 4, 0) == 0


def test_groups_priorities_and_configuration_of_private_ones(gicr):
    where = RD + SGI
    gicr.write(where + IGROUPR, 4, 0xF0F0_1234, 0)
    gicr.write(where + IPRIORITYR + 4, 4, 0xFFA5_107F, 0)
    assert gicr.read(where + IGROUPR, 4, 0) == 0xF0F0_1234
    assert gicr.read(where + IPRIORITYR + 4, 4, 0) == 0xF8A0_1078
    assert gicr.read(SGI + IGROUPR, 4, 1) == gicr.read(SGI + IPRIORITYR + 4, 4, 1) == 0
    gicr.write(where + ICFGR, 8, 0xFFFF_FFFF_0000_0000, 0)
    assert gicr.read(where + ICFGR, 8, 0) == 0xAAAA_AAAA
    for beyond in (IGROUPR + 4, ISENABLER + 4, IPRIORITYR + 32, ICFGR + 8):
        gicr.write(where + beyond, 4, 0xFFFF_FFFF, 0)
        assert gicr.read(where + beyond, 4, 0) == 0


def test_shared_interrupts_are_routed_by_affinity(gicd):
    vgic, where = gicd.vgic, IROUTER + 8 * 40
    gicd.write(CTLR, 4, 1, 0)
    gicd.write(ISENABLER + 4, 4, 1 << 8, 0)
    vgic.set_line(40, True)

    def takes():
        return [cpu for cpu in range(4) if vgic.pending(cpu)]

    assert takes() == [0]
    for value, cpus in ((2, [2]), (3, [3]), (4, []), (1 << 8, []), (1 << 32 | 1, []), (1, [1])):
        gicd.write(where, 8, value, 0)
        assert (gicd.read(where, 8, 3), takes()) == (value, cpus)
    gicd.write(where, 8, 0xFFFF_FFFF_FFFF_FFFF, 0)
    assert gicd.read(where, 8, 0) == 0xFF_80FF_FFFF
    assert len(takes()) == 1  # one of all
    gicd.write(where, 4, 3, 0)
    assert gicd.read(where + 4, 4, 0) == 0xFF
    gicd.write(where + 4, 4, 0, 0)
    assert takes() == [3]


@pytest.mark.parametrize("intid", [0, 31, 128, 1019])
def test_routes_exist_for_shared_interrupts_that_exist(gicd, intid):
    gicd.write(IROUTER + 8 * intid, 8, 1, 0)
    assert gicd.read(IROUTER + 8 * intid, 8, 0) == 0


def test_any_access_is_harmless_and_an_interrupt_keeps_its_shape(gicd, gicr):
    rng = random.Random(69)
    for _ in range(20_000):
        device, size = rng.choice(((gicd, 0x1_0000), (gicr, 4 * RD)))
        offset, width = rng.randrange(size), rng.choice((1, 2, 4, 8))
        if offset + width <= size:
            device.write(offset, width, rng.getrandbits(8 * width), rng.randrange(4))
            assert 0 <= device.read(offset, width, 0) < 1 << 8 * width
    for cpu in range(4):
        for intid in range(128):
            irq = gicd.vgic.interrupt(intid, cpu)
            assert irq.priority & ~0xF8 == 0 and irq.group in (0, 1) and irq.targets < 16 and not irq.senders
    gicd.vgic.enter(0, 4)
