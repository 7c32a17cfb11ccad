"""The distributor's registers, by the offsets of IHI 0048B, 4.1.2 written out here a second time."""

import random

import pytest

from minivisor.hypervisor.vgic import Vgic
from minivisor.platform.distributor import Distributor

CTLR, TYPER, IIDR, IGROUPR, ISENABLER, ICENABLER, ISPENDR, ICPENDR, ISACTIVER, ICACTIVER = (
    0x000, 0x004, 0x008, 0x080, 0x100, 0x180, 0x200, 0x280, 0x300, 0x380
)  # fmt: skip
IPRIORITYR, ITARGETSR, ICFGR, SGIR, CPENDSGIR, SPENDSGIR, ICPIDR2 = 0x400, 0x800, 0xC00, 0xF00, 0xF10, 0xF20, 0xFE8


@pytest.fixture
def gicd():
    return Distributor(Vgic(4))


def test_identification(gicd):
    assert gicd.read(TYPER, 4, 0) == 3 << 5 | 3
    assert gicd.read(IIDR, 4, 0) & 0xFFF == 0x43B
    assert gicd.read(ICPIDR2, 4, 0) >> 4 & 0xF == 2
    before = [gicd.read(offset, 4, 0) for offset in (TYPER, IIDR, ICPIDR2)]
    for offset in (TYPER, IIDR, ICPIDR2):
        gicd.write(offset, 4, 0xFFFF_FFFF, 0)
    assert [gicd.read(offset, 4, 0) for offset in (TYPER, IIDR, ICPIDR2)] == before


def test_an_enable_bit_for_each_group(gicd):
    for value in (0xFFFF_FFFF, 2, 1, 0):
        gicd.write(CTLR, 4, value, 0)
        assert gicd.read(CTLR, 4, 0) == gicd.vgic.enabled == value & 3


def test_an_interrupt_is_forwarded_if_its_group_is(gicd):
    """Groups are in IGROUPR, one bit an interrupt, private ones a CPU's own."""
    for intid in (27, 40, 41):
        gicd.write(ISENABLER + intid // 32 * 4, 4, 1 << intid % 32, 2)
        gicd.write(ISPENDR + intid // 32 * 4, 4, 1 << intid % 32, 2)
    gicd.write(ITARGETSR + 40, 2, 0x0404, 0)
    gicd.write(IGROUPR, 4, 1 << 27, 2)
    gicd.write(IGROUPR + 5, 1, 1 << 41 % 8, 2)
    assert [gicd.read(IGROUPR, 4, cpu) for cpu in range(4)] == [0, 0, 1 << 27, 0]
    assert gicd.read(IGROUPR + 4, 4, 0) == 1 << 9
    for groups, forwarded in ((0, set()), (1, {40}), (2, {27, 41}), (3, {27, 40, 41})):
        gicd.write(CTLR, 4, groups, 0)
        assert {irq.intid for irq in gicd.vgic.pending(2)} == forwarded
    gicd.write(IGROUPR + 4, 4, 0, 2)
    assert gicd.read(IGROUPR + 4, 4, 0) == 0
    registers, _ = gicd.vgic.enter(2, 4)
    assert {register.intid: register.group for register in registers if register.state} == {27: 1, 40: 0, 41: 0}


@pytest.mark.parametrize("cpu", [0, 3])
@pytest.mark.parametrize("intid", [16, 27, 31, 32, 63, 64, 127])
@pytest.mark.parametrize(("setter", "clearer"), [(ISENABLER, ICENABLER), (ISPENDR, ICPENDR), (ISACTIVER, ICACTIVER)])
def test_set_and_clear_pairs(gicd, setter, clearer, intid, cpu):
    word, bit = intid // 32 * 4, 1 << intid % 32
    quiet = gicd.read(setter + word, 4, cpu)
    gicd.write(setter + word, 4, bit, cpu)
    assert gicd.read(setter + word, 4, cpu) == gicd.read(clearer + word, 4, cpu) == quiet | bit
    assert gicd.read(setter + word, 4, 1) == (quiet if intid < 32 else quiet | bit)
    gicd.write(setter + word, 4, 0, cpu)
    assert gicd.read(setter + word, 4, cpu) == quiet | bit
    gicd.write(clearer + word, 4, bit, cpu)
    assert gicd.read(setter + word, 4, cpu) == quiet


def test_sgis_are_always_enabled_and_only_pend_when_sent(gicd):
    gicd.write(ICENABLER, 4, 0xFFFF_FFFF, 0)
    assert gicd.read(ISENABLER, 4, 0) == 0xFFFF
    gicd.write(ISPENDR, 4, 0xFFFF, 0)
    assert gicd.read(ISPENDR, 4, 0) == 0


def test_a_high_line_cannot_be_cleared_away(gicd):
    gicd.vgic.set_line(33, True)
    gicd.write(ICPENDR + 4, 4, 2, 0)
    assert gicd.read(ISPENDR + 4, 4, 0) == 2
    gicd.vgic.set_line(33, False)
    assert gicd.read(ISPENDR + 4, 4, 0) == 0


def test_priorities_keep_five_bits_at_any_width(gicd):
    gicd.write(IPRIORITYR + 40, 4, 0xFFA5_107F, 0)
    assert gicd.read(IPRIORITYR + 40, 4, 0) == 0xF8A0_1078
    assert gicd.read(IPRIORITYR + 42, 1, 0) == 0xA0
    gicd.write(IPRIORITYR + 42, 1, 0x55, 0)
    assert gicd.read(IPRIORITYR + 40, 4, 0) == 0xF850_1078
    gicd.write(IPRIORITYR + 27, 1, 0x40, 2)
    assert [gicd.read(IPRIORITYR + 27, 1, cpu) for cpu in range(4)] == [0, 0, 0x40, 0]


def test_targets_exist_for_spis_and_for_cpus_that_do(gicd):
    assert [gicd.read(ITARGETSR, 4, cpu) for cpu in range(4)] == [0x0101_0101 << cpu for cpu in range(4)]
    gicd.write(ITARGETSR, 4, 0xFFFF_FFFF, 1)
    assert gicd.read(ITARGETSR, 4, 1) == 0x0202_0202
    gicd.write(ITARGETSR + 32, 4, 0xFF03_0210, 1)
    assert gicd.read(ITARGETSR + 32, 4, 0) == 0x0F03_0200


def test_configuration_is_fixed_below_32(gicd):
    assert (gicd.read(ICFGR, 4, 0), gicd.read(ICFGR + 4, 4, 0)) == (0xAAAA_AAAA, 0)
    gicd.write(ICFGR, 8, 0, 0)
    gicd.write(ICFGR + 4, 4, 0xFFFF_FFFF, 0)
    assert (gicd.read(ICFGR, 4, 0), gicd.read(ICFGR + 4, 4, 0)) == (0xAAAA_AAAA, 0)
    gicd.write(ICFGR + 8, 4, 0xF1, 0)
    assert gicd.read(ICFGR + 8, 4, 0) == 0xA0
    assert [gicd.vgic.interrupt(intid, 0).edge for intid in (32, 33, 34, 35)] == [False, False, True, True]


def test_a_line_that_becomes_level_sensitive_counts_at_once(gicd):
    gicd.write(CTLR, 4, 1, 0)
    gicd.write(ISENABLER + 4, 4, 1 << 2, 0)
    gicd.write(ICFGR + 8, 4, 2 << 4, 0)
    gicd.vgic.set_line(34, True)
    gicd.write(ICPENDR + 4, 4, 1 << 2, 0)
    assert gicd.vgic.pending(0) == []
    gicd.write(ICFGR + 8, 4, 0, 0)
    assert [irq.intid for irq in gicd.vgic.pending(0)] == [34]


@pytest.mark.parametrize(("request_bits", "reached"), [(0, {1, 3}), (1, {0, 1, 3}), (2, {2}), (3, set())])
def test_sgis_reach_whom_the_filter_names(gicd, request_bits, reached):
    gicd.write(SGIR, 4, request_bits << 24 | 0b11001010 << 16 | 7, 2)
    assert {cpu for cpu in range(4) if gicd.read(ISPENDR, 4, cpu) == 1 << 7} == reached
    for cpu in reached:
        assert gicd.read(SPENDSGIR + 7, 1, cpu) == 1 << 2


def test_senders_can_be_set_and_cleared(gicd):
    gicd.write(SPENDSGIR + 4, 4, 0xFF_05_00_02, 1)
    assert gicd.read(CPENDSGIR + 4, 4, 1) == 0x0F_05_00_02
    gicd.write(CPENDSGIR + 4, 4, 0x0F_01_00_00, 1)
    assert gicd.read(SPENDSGIR + 4, 4, 1) == 0x00_04_00_02
    assert gicd.read(ISPENDR, 4, 1) == 1 << 4 | 1 << 6
    assert gicd.read(ISPENDR, 4, 0) == 0


def test_a_write_to_sgir_narrower_than_a_word_sends_nothing(gicd):
    gicd.write(SGIR, 1, 1, 0)
    gicd.write(SGIR + 3, 1, 2, 0)
    assert all(gicd.read(ISPENDR, 4, cpu) == 0 for cpu in range(4))


def test_interrupts_that_do_not_exist_read_as_zero(gicd):
    for offset in (
        IGROUPR + 16,
        ISENABLER + 16,
        ISPENDR + 0x7C,
        IPRIORITYR + 128,
        ITARGETSR + 1020,
        ICFGR + 32,
        0xE00,
        0xFFC,
    ):
        gicd.write(offset, 4, 0xFFFF_FFFF, 0)
        assert gicd.read(offset, 4, 0) == 0


def test_words_are_their_bytes_and_no_access_raises(gicd):
    rng = random.Random(7)
    for _ in range(3000):
        offset, width, cpu = rng.randrange(0x1000), rng.choice((1, 2, 4, 8)), rng.randrange(4)
        gicd.write(offset, width, rng.getrandbits(8 * width), cpu)
        word = gicd.read(offset, width, cpu)
        assert word == sum(gicd.read(offset + n, 1, cpu) << 8 * n for n in range(width))
