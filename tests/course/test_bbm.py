"""Break before make: the reference builder never violates it, four wrong builders are caught at the step, the log decides."""

import random

import numpy as np
import pytest

from minivisor.course.bbm import RULES, violations
from minivisor.hypervisor.stage2 import Stage2, descriptor
from minivisor.hypervisor.tables import MemoryTables

BASE, PAGE, MIB = 0x8000_0000, 4096, 1 << 20
POOL, IPA, PA = 128, 0x4020_0000, 0x1_0000_0000


def make():
    log = []
    return MemoryTables(np.zeros(POOL * PAGE, np.uint8), BASE, BASE, POOL, log=log), log


def slot_of(log):
    return next(event[1] for event in reversed(log) if event[0] == "write")


@pytest.mark.parametrize("seed", range(8))
def test_the_reference_builder_never_violates_it(seed):
    (tables, log), rng = make(), random.Random(seed)
    stage2, starts = Stage2(tables), [0x4000_0000 + n * PAGE for n in (0, 1, 511, 512, 513, 1024, 2047)]
    for _ in range(40):
        ipa, size = rng.choice(starts), rng.choice((1, 2, 511, 512, 513, 1024)) * PAGE
        prot = rng.choice(("r", "rw", "rwx", "device-rw"))
        match rng.randrange(4):
            case 0 | 1:
                stage2.map(ipa, PA + rng.choice((0, PAGE, 2 * MIB)) + ipa % (2 * MIB), size, prot)
            case 2:
                stage2.unmap(ipa, size)
            case 3:
                stage2.protect(ipa, size, prot)
    assert sum(event[0] == "tlbi" for event in log) > 100
    assert violations(log) == []


def test_each_missing_invalidation_of_the_reference_is_noticed():
    """The reference's own log with one TLBI taken out: always a violation, and at the descriptor that it was for."""
    tables, log = make()
    stage2 = Stage2(tables)
    stage2.map(IPA, PA, 2 * MIB, "rwx")
    stage2.map(IPA + 5 * PAGE, PA + 8 * MIB, PAGE, "rw")
    stage2.protect(IPA + 6 * PAGE, 2 * PAGE, "r")
    stage2.unmap(IPA + 9 * PAGE, PAGE)
    positions = [position for position, event in enumerate(log) if event[0] == "tlbi"]
    assert len(positions) == 5
    for position in positions:
        found = violations(log[:position] + log[position + 1 :])
        assert found and found[0].start <= log[position][1] < found[0].end


# ── four wrong builders ──────────────────────────────────────────────────────────────────────────────────────────────


def overwrite(tables, log):
    """Writes the new page over the old one."""
    tables.write(slot_of(log), descriptor(PA + PAGE, 3, "rw"))
    tables.tlbi(IPA)


def remake_without_tlbi(tables, log):
    """Breaks and makes, and forgets to invalidate between."""
    slot = slot_of(log)
    tables.write(slot, 0)
    tables.write(slot, descriptor(PA, 3, "device-rw"))
    tables.tlbi(IPA)


def unmap_without_tlbi(tables, log):
    """Removes the mapping, and leaves it in the TLB."""
    tables.write(slot_of(log), 0)


def wrong_address(tables, log):
    """Invalidates another page than the one it broke."""
    slot = slot_of(log)
    tables.write(slot, 0)
    tables.tlbi(IPA + PAGE)
    tables.write(slot, descriptor(PA + PAGE, 3, "rw"))


@pytest.mark.parametrize(
    ("builder", "rule", "new"),
    [
        (overwrite, "live change", descriptor(PA + PAGE, 3, "rw")),
        (remake_without_tlbi, "stale make", descriptor(PA, 3, "device-rw")),
        (unmap_without_tlbi, "stale end", None),
        (wrong_address, "stale make", descriptor(PA + PAGE, 3, "rw")),
    ],
)
def test_a_wrong_builder_is_reported_at_its_descriptor(builder, rule, new):
    tables, log = make()
    Stage2(tables).map(IPA, PA, PAGE, "rw")
    slot = slot_of(log)
    builder(tables, log)
    (found,) = violations(log)
    assert (found.rule, found.old, found.new) == (rule, descriptor(PA, 3, "rw"), new)
    assert (found.table, found.index, found.level) == (slot & -PAGE, 0, 3)
    assert (found.start, found.end) == (IPA, IPA + PAGE)
    assert found.missing.endswith("TLBI IPAS2E1IS, 0x40200000; DSB ISH; TLBI VMALLE1IS; DSB ISH")
    assert found.event == (len(log) if new is None else log.index(("write", slot, new)))
    text = str(found)
    assert RULES[rule] in text and f"{found.old:#018x}" in text and f"missing: {found.missing}" in text
    assert violations(log) == [found]


# ── other rules ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_block_that_becomes_a_table_is_a_change_of_size():
    tables, log = make()
    Stage2(tables).map(IPA, PA, 2 * MIB, "rwx")
    slot, table = slot_of(log), tables.alloc()
    tables.write(slot, table | 3)
    tables.tlbi(IPA)
    (found,) = violations(log)
    assert (found.rule, found.level, found.end - found.start) == ("live change", 2, 2 * MIB)


def test_only_a_permission_changes_without_a_break_but_not_without_tlbi():
    """D8.16.1 asks for a break when size, output address or memory type change."""
    tables, log = make()
    Stage2(tables).map(IPA, PA, PAGE, "rw")
    tables.write(slot_of(log), descriptor(PA, 3, "r"))
    assert [found.rule for found in violations(log)] == ["stale end"]
    tables.tlbi(IPA)
    assert violations(log) == []


def test_a_table_page_that_is_reused_too_early():
    """Its entry is broken, its page handed out again, and the TLB may still walk through it."""
    tables, log = make()
    Stage2(tables).map(IPA, PA, PAGE, "rw")
    upper, table = next(
        (slot, word & -PAGE) for kind, slot, *word in log if kind == "write" for word in word if word & 3 == 3
    )
    lower = tables.read(table + 8 * (IPA >> 21 & 511)) & -PAGE
    tables.write(upper, 0)
    tables.free(table)
    assert tables.alloc() == table
    assert "stale reuse" in [found.rule for found in violations(log)]
    assert {found.table for found in violations(log)} == {tables.root, table, lower}
