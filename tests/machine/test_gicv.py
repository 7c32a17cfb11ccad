"""The virtual CPU interface: what a guest sees in its GICC page, and what its accesses do to the list registers.

All through a guest's loads and stores; EL2 only fills list registers and looks at them afterwards. IHI 0048B, chapter 5.
"""

from __future__ import annotations

import random

import pytest

from minivisor.machine.gic import VIRTUAL_TIMER
from minivisor.machine.gicv import misr
from tests.machine import a64
from tests.machine.naive_gicv import Listed, NaiveGicv
from tests.machine.rig import GICV, Rig

CTLR, PMR, BPR, IAR, EOIR, RPR, HPPIR, ABPR, AIAR, AEOIR, AHPPIR = range(0x00, 0x2C, 4)
APR, IIDR, DIR = 0xD0, 0xFC, 0x1000
PENDING, ACTIVE, BOTH = 1, 2, 3
SPURIOUS, OTHER_GROUP = 1023, 1022
EOI_MODE, ENABLE_0, ENABLE_1, ACK_CTL = 1 << 9, 1, 2, 4


def lr(intid: int, priority: int = 0x80, state: int = PENDING, **more: int) -> int:
    """GICH_LR<n>. more: source, physical (sets HW), eoi, group."""
    value = state << 28 | priority >> 3 << 23 | intid | more.get("group", 0) << 30
    if "physical" in more:
        return value | 1 << 31 | more["physical"] << 10
    return value | more.get("eoi", 0) << 19 | more.get("source", 0) << 10


class Interface:
    """A guest's view of the page, one access at a time."""

    def __init__(
        self, mmu: str = "minivisor", *lrs: int, control: int = ENABLE_0, mask: int = 0xF8, count: int = 4
    ) -> None:
        self.rig = Rig(mmu, count)
        self.record = self.rig.core.record
        self.record.gich_hcr = 1
        self.record.lr[: len(lrs)] = lrs
        self.write(CTLR, control)
        self.write(PMR, mask)

    def read(self, offset: int) -> int:
        self.rig.start(a64.LDRW(1, 2), a64.HVC(1), X2=GICV + offset)
        assert self.rig.hvc() == 1
        return self.rig.core.read("X1")

    def write(self, offset: int, value: int) -> None:
        self.rig.start(a64.STRW(1, 2), a64.HVC(1), X1=value, X2=GICV + offset)
        assert self.rig.hvc() == 1

    def states(self) -> list[int]:
        return [int(word) >> 28 & 3 for word in self.record.lr[: int(self.record.lr_count)]]

    @property
    def eoi_count(self) -> int:
        assert int(self.record.gich_hcr) < 1 << 32
        return int(self.record.gich_hcr) >> 27


@pytest.fixture(params=["minivisor", "unicorn"])
def mmu(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# ── acknowledge and complete ─────────────────────────────────────────────────────────────────────────────────────────


def test_acknowledge_then_end(mmu: str) -> None:
    gicv = Interface(mmu, lr(40, 0x80))
    assert (gicv.read(RPR), gicv.read(HPPIR)) == (0xFF, 40)
    assert gicv.read(IAR) == 40
    assert gicv.states() == [ACTIVE, 0, 0, 0]
    assert (gicv.read(RPR), gicv.read(HPPIR), gicv.read(IAR)) == (0x80, SPURIOUS, SPURIOUS)
    assert gicv.read(APR) == 1 << 16
    gicv.write(EOIR, 40)
    assert gicv.states() == [0, 0, 0, 0]
    assert (gicv.read(RPR), gicv.read(APR), gicv.eoi_count) == (0xFF, 0, 0)


def test_the_most_urgent_first_and_the_lowest_register_among_equals() -> None:
    gicv = Interface("minivisor", lr(40, 0xA0), lr(41, 0x80), lr(42, 0x80), lr(43, 0xF0))
    order = []
    for _ in range(4):
        order.append(gicv.read(IAR))
        gicv.write(EOIR, order[-1])
    assert order == [41, 42, 40, 43]
    assert gicv.read(IAR) == SPURIOUS


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 15, 16])
def test_every_list_register_of_a_core_counts_and_none_that_it_has_not(count: int) -> None:
    """The most urgent is in the last one, so that each preempts the one before; all are active at once, and end in turn."""
    gicv = Interface("minivisor", *(lr(40 + n, 0xF0 - 8 * n) for n in range(count)), count=count)
    gicv.record.lr[count:] = lr(99, 0)
    order = [gicv.read(IAR)]
    assert order == [40 + count - 1]
    gicv.write(EOIR, order.pop())
    gicv.record.lr[:count] = 0
    for n in range(count):
        gicv.record.lr[n] = lr(40 + n, 0xF0 - 8 * n)
        order.append(gicv.read(IAR))
    assert order == [40 + n for n in range(count)] and gicv.read(IAR) == SPURIOUS
    gicv.record.gich_hcr = 1 | 2  # UIE: two are in use until there is one
    for left in reversed(range(count)):
        assert bool(misr(gicv.rig.core.address) & 2) == (left == 0)
        gicv.write(EOIR, 40 + left)
        assert gicv.states() == [ACTIVE] * left + [0] * (count - left)
    assert gicv.eoi_count == 0
    gicv.record.lr[max(count - 2, 0) : count] = lr(40)
    gicv.record.gich_hcr = 1 | 2 | 8  # UIE and NPIE: the last two are in use, and pending
    assert misr(gicv.rig.core.address) == (2 if count == 1 else 0)


def test_nothing_is_given_when_disabled_masked_or_not_pending() -> None:
    assert Interface("minivisor", lr(40), control=0).read(IAR) == SPURIOUS
    assert Interface("minivisor", lr(40, 0x80), mask=0x80).read(IAR) == SPURIOUS  # masked at its own priority
    assert Interface("minivisor", lr(40, 0x80), mask=0x88).read(IAR) == 40
    assert Interface("minivisor", lr(40, 0xF8)).read(IAR) == SPURIOUS  # the idle priority is never signalled
    assert Interface("minivisor", lr(40, state=0)).read(IAR) == SPURIOUS
    assert Interface("minivisor", lr(40, state=ACTIVE)).read(IAR) == SPURIOUS
    assert Interface("minivisor", lr(40, state=BOTH)).read(IAR) == SPURIOUS  # pending again once deactivated
    off = Interface("minivisor", lr(40))
    off.record.gich_hcr = 0
    assert off.read(IAR) == SPURIOUS


def test_a_masked_interrupt_is_still_the_highest_pending() -> None:
    assert Interface("minivisor", lr(40, 0x80), mask=0x10).read(HPPIR) == 40


def test_preemption_needs_a_higher_group_priority() -> None:
    gicv = Interface("minivisor", lr(40, 0x80))
    assert gicv.read(IAR) == 40
    gicv.record.lr[1] = lr(41, 0x80)
    assert gicv.read(IAR) == SPURIOUS
    gicv.record.lr[2] = lr(42, 0x78)
    assert gicv.read(IAR) == 42
    assert (gicv.read(RPR), gicv.read(APR)) == (0x78, 1 << 16 | 1 << 15)
    gicv.write(EOIR, 42)
    assert gicv.read(RPR) == 0x80
    gicv.write(EOIR, 40)
    assert gicv.read(IAR) == 41


@pytest.mark.parametrize(("point", "preempts"), [(2, True), (3, True), (4, False), (6, False)])
def test_the_binary_point_says_which_bits_preempt(point: int, preempts: bool) -> None:
    """0x70 over 0x60: bits 7:4 differ, bits 7:5 do not."""
    gicv = Interface("minivisor", lr(40, 0x70))
    gicv.write(BPR, point)
    assert gicv.read(IAR) == 40
    gicv.record.lr[1] = lr(41, 0x60)
    assert gicv.read(IAR) == (41 if preempts else SPURIOUS)
    assert gicv.read(APR) & 1 << (0x70 >> point + 1 << point + 1 >> 3)


def test_binary_points_have_a_minimum() -> None:
    gicv = Interface()
    for register, least in ((BPR, 2), (ABPR, 3)):
        gicv.write(register, 0)
        assert gicv.read(register) == least
        gicv.write(register, 5)
        assert gicv.read(register) == 5


def test_control_and_mask_keep_what_they_have_bits_for() -> None:
    gicv = Interface()
    gicv.write(CTLR, 0xFFFF_FFFF)
    gicv.write(PMR, 0xFFFF_FFFF)
    assert (gicv.read(CTLR), gicv.read(PMR)) == (0x21F, 0xF8)
    gicv.write(IAR, 5)
    gicv.write(RPR, 5)
    assert gicv.read(IIDR) & 0xFFF == 0x43B
    assert gicv.read(IIDR) >> 16 & 0xF == 2


def test_apr_can_be_saved_and_restored_by_software() -> None:
    gicv = Interface("minivisor", lr(40, 0x80))
    gicv.write(APR, 1 << 16)
    assert (gicv.read(RPR), gicv.read(IAR)) == (0x80, SPURIOUS)
    gicv.write(APR, 0)
    assert gicv.read(IAR) == 40


# ── SGIs, hardware interrupts, priority drop ─────────────────────────────────────────────────────────────────────────


def test_an_sgi_names_its_source_and_two_sources_are_two_interrupts() -> None:
    gicv = Interface("minivisor", lr(3, source=1), lr(3, source=6))
    assert gicv.read(HPPIR) == 1 << 10 | 3
    assert gicv.read(IAR) == 1 << 10 | 3
    gicv.write(EOIR, 6 << 10 | 3)  # not that one: it is not active
    assert gicv.states() == [ACTIVE, PENDING, 0, 0]
    assert gicv.eoi_count == 1
    assert gicv.read(IAR) == 6 << 10 | 3
    gicv.write(EOIR, 6 << 10 | 3)
    assert gicv.states() == [ACTIVE, 0, 0, 0]


def test_hardware_interrupts_deactivate_the_physical_one(mmu: str) -> None:
    gicv = Interface(mmu, lr(50, physical=VIRTUAL_TIMER), lr(51, physical=30))
    gicv.record.active = 1 << 27 | 1 << 30 | 1 << 26
    assert gicv.read(IAR) == 50  # bits 12:10 are the physical number's, not a source
    assert int(gicv.record.active) == 1 << 27 | 1 << 30 | 1 << 26
    gicv.write(EOIR, 50)
    assert int(gicv.record.active) == 1 << 30 | 1 << 26
    assert gicv.states()[:2] == [0, PENDING]


def test_what_became_pending_again_while_active_is_given_again_once_completed() -> None:
    """State 3, pending and active: IHI 0048B, 5.2.2. EOI takes the active half, and leaves the other."""
    gicv = Interface("minivisor", lr(40))
    assert gicv.read(IAR) == 40
    gicv.record.lr[0] = lr(40, state=BOTH)
    assert gicv.read(IAR) == SPURIOUS
    gicv.write(EOIR, 40)
    assert gicv.states()[0] == PENDING
    assert gicv.read(IAR) == 40
    gicv.write(EOIR, 40)
    assert (gicv.states()[0], gicv.read(IAR), gicv.eoi_count) == (0, SPURIOUS, 0)


def test_eoi_mode_separates_priority_drop_from_deactivation() -> None:
    gicv = Interface("minivisor", lr(50, physical=27), lr(60), control=ENABLE_0 | EOI_MODE)
    gicv.record.active = 1 << 27
    assert gicv.read(IAR) == 50
    gicv.write(EOIR, 50)
    assert (gicv.states()[0], int(gicv.record.active), gicv.read(RPR)) == (ACTIVE, 1 << 27, 0xFF)
    assert gicv.read(IAR) == 60
    gicv.write(DIR, 50)
    assert (gicv.states()[:2], int(gicv.record.active)) == ([0, ACTIVE], 0)
    assert gicv.eoi_count == 0


def test_without_eoi_mode_dir_does_nothing() -> None:
    """UNPREDICTABLE in IHI 0048B; ignored here, as it was for this guest's other copy of the interrupt."""
    gicv = Interface("minivisor", lr(50))
    assert gicv.read(IAR) == 50
    gicv.write(DIR, 50)
    assert (gicv.states()[0], gicv.eoi_count) == (ACTIVE, 0)


@pytest.mark.parametrize("spurious", [1020, 1021, 1022, 1023])
def test_ending_a_spurious_interrupt_is_ignored(spurious: int) -> None:
    gicv = Interface("minivisor", lr(40))
    assert gicv.read(IAR) == 40
    gicv.write(EOIR, spurious)
    assert (gicv.states()[0], gicv.read(RPR), gicv.eoi_count) == (ACTIVE, 0x80, 0)


def test_eoi_count_counts_what_is_not_listed_and_wraps() -> None:
    """The guest completes an interrupt whose list register EL2 has taken away: EL2 learns how many."""
    gicv = Interface()
    for number in range(33):
        gicv.record.lr[0] = lr(40)
        assert gicv.read(IAR) == 40
        gicv.record.lr[0] = 0
        gicv.write(EOIR, 40)
        assert gicv.eoi_count == (number + 1) % 32
    gicv.write(EOIR, 40)  # drops no priority: does not count
    assert gicv.eoi_count == 1
    assert int(gicv.record.gich_hcr) & 1


def test_groups_have_their_own_registers() -> None:
    """A Group 1 interrupt is 1022 in GICV_IAR unless AckCtl; GICV_AIAR gives it, and gives no Group 0 one."""
    gicv = Interface("minivisor", lr(40, group=1), control=ENABLE_0 | ENABLE_1)
    assert (gicv.read(IAR), gicv.read(HPPIR), gicv.states()[0]) == (OTHER_GROUP, OTHER_GROUP, PENDING)
    assert (gicv.read(AHPPIR), gicv.read(AIAR)) == (40, 40)
    gicv.write(AEOIR, 40)
    assert gicv.states()[0] == 0
    gicv = Interface("minivisor", lr(40), control=ENABLE_0 | ENABLE_1)
    assert (gicv.read(AIAR), gicv.read(AHPPIR), gicv.states()[0]) == (SPURIOUS, SPURIOUS, PENDING)
    gicv = Interface("minivisor", lr(40, group=1), control=ENABLE_0 | ENABLE_1 | ACK_CTL)
    assert gicv.read(IAR) == 40
    assert Interface("minivisor", lr(40, group=1), control=ENABLE_0).read(AIAR) == SPURIOUS


# ── against the oracle ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("enabled", range(4))
def test_maintenance_when_a_group_is_enabled_or_disabled(enabled: int) -> None:
    """GICH_MISR bits 4 to 7 (IHI 0048B, 5.3.4): Group 0 enabled, disabled, Group 1 enabled, disabled; each if asked for."""
    gicv = Interface("minivisor", lr(40), lr(41), control=enabled)
    truth = [bool(enabled & 1), not enabled & 1, bool(enabled & 2), not enabled & 2]
    for asked in range(16):
        gicv.record.gich_hcr = 1 | asked << 4
        expected = sum(1 << 4 + bit for bit in range(4) if asked >> bit & 1 and truth[bit])
        assert misr(gicv.rig.core.address) == expected
        gicv.record.gich_hcr = asked << 4
        assert misr(gicv.rig.core.address) == 0


def test_any_sequence_agrees_with_a_naive_interface() -> None:
    rng = random.Random(48)
    gicv, naive = Interface(), NaiveGicv(lrs=[None] * 4)
    seen = set()
    for _ in range(2500):
        what = rng.choice(("list", "list", "ack", "ack", "ack", "end", "end", "wrong", "dir", "mask", "split"))
        known = [entry for entry in naive.lrs if entry and entry.active]
        name = rng.choice(known).name if known else 99
        if what == "list":
            _list_something(rng, gicv, naive)
        elif what == "ack":
            found = gicv.read(IAR)
            seen.add(found)
            assert found == naive.acknowledge()
        elif what in ("end", "wrong", "dir"):
            name = name if what != "wrong" else rng.choice((99, 1023, 3, name ^ 1 << 10))
            gicv.write(DIR if what == "dir" else EOIR, name)
            naive.deactivate(name) if what == "dir" else naive.end(name)
        elif what == "mask":
            naive.priority_mask = rng.choice((0xF8, 0xF8, 0x80, 0x40))
            gicv.write(PMR, naive.priority_mask)
        elif what == "split":
            naive.split = rng.random() < 0.3
            gicv.write(CTLR, ENABLE_0 | naive.split << 9)
        if not naive.running and rng.random() < 0.3:
            naive.binary_point = rng.randint(0, 7)
            gicv.write(BPR, naive.binary_point)
        wanted = [entry.pending + 2 * entry.active if entry else 0 for entry in naive.lrs]
        assert gicv.states() == wanted
        assert gicv.eoi_count == naive.eoi_count
        assert gicv.read(RPR) == naive.running_priority()
    assert len(seen) > 10


def _list_something(rng: random.Random, gicv: Interface, naive: NaiveGicv) -> None:
    """EL2 fills a free list register with an interrupt that no other holds."""
    free = [n for n, entry in enumerate(naive.lrs) if not entry or not (entry.pending or entry.active)]
    intid = rng.choice((*range(6), *range(30, 36)))
    entry = Listed(intid, rng.randrange(0, 256, 8), source=rng.randrange(8) if intid < 16 else 0)
    if free and all(other is None or other.name != entry.name for n, other in enumerate(naive.lrs) if n not in free):
        naive.lrs[free[0]] = entry
        gicv.record.lr[free[0]] = lr(intid, entry.priority, source=entry.source)
