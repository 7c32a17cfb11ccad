"""A guest's own tables: kernels that keep the rules, kernels that break each of them, and what the report says.

Each program runs on a real core, MMU on, under its own stage 2; the log comes from its stores, its TLBIs and its walks.
"""

from __future__ import annotations

import pytest

from minivisor.arch.descriptors import describe
from minivisor.course.bbm import RULES, Violation
from minivisor.course.bbm_guest import check, guest_violations, report
from minivisor.errors import EngineError
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import PersonaSettings
from minivisor.machine.board import Machine
from minivisor.machine.table_log import TableEvent, TableLog, TlbiEvent, WriteEvent
from tests.machine import a64
from tests.machine.rig import AF, CODE, DATA, NG, RAM, S1_EL0, S1_RO, S1_RW, Rig
from tests.machine.test_code_coherence import program

VA, PAGE = 0x1_0000_0000, 0x1000
OLD, NEW = DATA | S1_RW | 3, DATA + PAGE | S1_RW | 3
# In every program: X1 the VA, X2 the page behind it, X3 the PA of its descriptor, X4 a TLBI's operand, X5 a new descriptor.
TOUCH, BREAK, MAKE = a64.LDR(0, 1), a64.STR(31, 3), a64.STR(5, 3)
VAE1, VALE1, ALL = (a64.sys(f"TLBI {form}IS", 4) for form in ("VAE1", "VALE1", "VAAE1"))
EVERYTHING = a64.sys("TLBI VMALLE1IS")
DSB_ISHST, DSB_ISH = (0xD503_309F | crm << 8 for crm in (10, 11))


def is_tlbi(word: int) -> bool:
    """SYS with CRn 8."""
    return word & 0xFFF8_F000 == 0xD508_8000


def with_barriers(*words: int) -> tuple[int, ...]:
    """As it should be: a DSB on either side of each TLBI."""
    return tuple(each for word in words for each in ((DSB_ISHST, word, DSB_ISH) if is_tlbi(word) else (word,)))


class Kernel:
    """A rig with a log, whose `VA` is mapped, and the address of its descriptor."""

    def __init__(self, old: int = OLD, level: int = 3, asid: int = 1) -> None:
        self.rig = Rig()
        self.log = TableLog(self.rig.core)
        self.lower, _ = self.rig.mmu_on(asid)
        self.entry = self.rig.map(self.lower, VA, old & ~3, level)
        self.rig.memory.write(self.entry, old)
        if level == 3:
            self.rig.map(self.lower, VA + PAGE, DATA | S1_RW, 3)

    def run(self, *words: int, **registers: int) -> list[Violation]:
        return self.run_as_it_is(*with_barriers(*words), **registers)

    def run_as_it_is(
        self, *words: int, new: int = NEW, slot: int = 0, operand: int = 1 << 48 | VA >> 12
    ) -> list[Violation]:
        self.rig.start(list(words), a64.HVC(1), X1=VA, X2=VA + PAGE, X3=slot or self.entry, X4=operand, X5=new)
        assert self.rig.hvc() == 1
        return guest_violations(self.log, self.rig.memory.read)


KEPT = {
    "break, TLBI, make": (TOUCH, BREAK, a64.DSB, VAE1, a64.DSB, MAKE, TOUCH),
    "last level is enough for a leaf": (TOUCH, BREAK, VALE1, MAKE, TOUCH),
    "any ASID": (TOUCH, BREAK, ALL, MAKE, TOUCH),
    "everything": (TOUCH, BREAK, EVERYTHING, MAKE, TOUCH),
    "nothing was there": (TOUCH, BREAK, VAE1, MAKE, TOUCH, BREAK, VAE1, MAKE),
    "unmapped": (TOUCH, BREAK, VAE1),
    "never a table before": (MAKE, TOUCH),
}


@pytest.mark.parametrize("words", KEPT.values(), ids=KEPT)
def test_a_kernel_that_keeps_the_rules(words: tuple[int, ...]) -> None:
    kernel = Kernel()
    assert kernel.run(*words) == []
    assert any(isinstance(event, TableEvent) for event in kernel.log.events())


BROKEN = {
    "no break": ((TOUCH, MAKE, VAE1), "live change"),
    "no TLBI": ((TOUCH, BREAK, MAKE, VAE1), "stale make"),
    "TLBI before the break": ((TOUCH, VAE1, TOUCH, BREAK, MAKE, VAE1), "stale make"),
    "never forgotten": ((TOUCH, BREAK), "stale end"),
}


@pytest.mark.parametrize(("words", "rule"), BROKEN.values(), ids=BROKEN)
def test_a_kernel_that_breaks_one(words: tuple[int, ...], rule: str) -> None:
    kernel = Kernel()
    words = with_barriers(*words)
    (found,) = kernel.run_as_it_is(*words)
    new = {"live change": NEW, "stale make": NEW, "stale end": None}[rule]
    assert (found.rule, found.old, found.new, found.level, found.stage) == (rule, OLD, new, 3, 1)
    assert (found.table, found.index) == (kernel.entry & -PAGE, VA >> 12 & 511)
    assert (found.start, found.end, found.vmid, found.asid) == (VA, VA + PAGE, 1, None)
    store = next(n for n, word in enumerate(words) if word == MAKE) if new else None
    assert found.pc == (None if store is None else CODE + 4 * store)
    text = str(found)
    assert RULES[rule] in text and f"{OLD:#018x}" in text and describe(OLD, 3, 1) in text
    assert text.endswith(f"TLBI VAALE1IS, {VA:#x}; DSB ISH; ISB")
    assert guest_violations(kernel.log, kernel.rig.memory.read) == [found]


def rules(*words: int, old: int = OLD, new: int = NEW, level: int = 3, operand: int = 1 << 48 | VA >> 12) -> list[str]:
    return [found.rule for found in Kernel(old, level).run(*words, new=new, operand=operand)]


def test_another_asid_is_not_reached() -> None:
    own = OLD | NG
    sequence = (TOUCH, BREAK, VAE1, MAKE)
    assert rules(*sequence, old=own, new=NEW | NG) == []
    assert rules(*sequence, old=own, new=NEW | NG, operand=2 << 48 | VA >> 12) == ["stale make"]
    assert rules(TOUCH, BREAK, ALL, MAKE, old=own, new=NEW | NG, operand=2 << 48 | VA >> 12) == []
    assert rules(*sequence, operand=2 << 48 | VA >> 12) == []  # a global one belongs to nobody
    asid = a64.sys("TLBI ASIDE1IS", 4)
    assert rules(TOUCH, BREAK, asid, MAKE, old=own, new=NEW | NG) == []
    assert rules(TOUCH, BREAK, asid, MAKE) == ["stale make"]  # ASIDE1 leaves global entries


def test_another_page_is_not_reached() -> None:
    assert rules(TOUCH, BREAK, VAE1, MAKE, operand=VA + PAGE >> 12) == ["stale make"]


@pytest.mark.parametrize(
    ("old", "new", "needed"),
    [
        (OLD, DATA | S1_RO | 3, ["stale end"]),  # a right is taken away: no break, but a TLBI
        (DATA | S1_RO | 3, OLD, []),  # a right is given
        (OLD, OLD | S1_EL0, []),
        (OLD | S1_EL0, OLD, ["stale end"]),
        (OLD, OLD | 1 << 54, ["stale end"]),
        (OLD & ~AF, OLD, []),  # the page is young: what faults is in no TLB
        (OLD & ~AF, NEW, []),
        (OLD, OLD | 1 << 55, []),  # software's own bit
        (OLD, OLD | 1 << 52, ["live change", "stale end"]),  # the contiguous hint
        (OLD, OLD | NG, ["live change", "stale end"]),
        (OLD, OLD ^ 3 << 8, ["live change", "stale end"]),  # shareability
        (OLD, OLD | 1 << 2, ["live change", "stale end"]),  # memory type
    ],
    ids=lambda value: hex(value) if isinstance(value, int) else "",
)
def test_which_changes_need_what(old: int, new: int, needed: list[str]) -> None:
    """D8.16.1 lists what needs a break; D8.16 says what may be cached at all."""
    assert rules(a64.LDR(0, 2), MAKE, old=old, new=new) == needed


def test_permissions_may_change_by_way_of_an_invalid_descriptor_and_one_tlbi_at_the_end() -> None:
    """As Linux's mprotect does: the clear in between only keeps the hardware from writing. Another page would be a conflict."""
    read_only = DATA | S1_RO | 3
    assert rules(TOUCH, BREAK, MAKE, VAE1, new=read_only) == []
    assert rules(TOUCH, BREAK, MAKE, new=read_only) == ["stale end"]
    assert rules(TOUCH, BREAK, MAKE, new=OLD) == []
    assert rules(TOUCH, BREAK, MAKE, VAE1) == ["stale make"]


def test_a_block_that_becomes_a_table_and_the_other_way() -> None:
    kernel = Kernel(RAM + 0x20_0000 | S1_RW | 1, level=2)
    table = kernel.rig.table()
    found = kernel.run(TOUCH, MAKE, VAE1, new=table | 3)
    assert [(each.rule, each.level, each.end - each.start) for each in found] == [("live change", 2, 2 << 20)]


def test_a_table_that_is_taken_away_needs_more_than_a_last_level_tlbi() -> None:
    """Its own entry is cached too (VALE1 leaves it), and each page that it mapped."""
    kernel = Kernel()
    upper = next(event for event in _tables(kernel) if event.level == 2 and event.va <= VA < event.va + (1 << 30))
    slot = upper.table + 8 * (VA >> 21 & 511)
    found = kernel.run(BREAK, VALE1, slot=slot)
    assert [(each.rule, each.level, each.start) for each in found] == [("stale end", 2, VA), ("stale end", 3, VA + PAGE)]
    assert found[0].missing == f"TLBI VAE1IS, {VA:#x}, ASID 1; DSB ISH; ISB"
    assert [each.level for each in kernel.run(VAE1)] == [3]
    assert kernel.run(EVERYTHING) == []


def _tables(kernel: Kernel) -> list[TableEvent]:
    kernel.run(TOUCH)
    return [event for event in kernel.log.events() if isinstance(event, TableEvent)]


def test_the_log_says_which_pages_are_tables_and_of_what() -> None:
    kernel = Kernel()
    levels = {event.level: event for event in _tables(kernel) if event.va <= VA < event.va + (512 << 39 - 9 * event.level)}
    assert {level: event.table for level, event in levels.items()} == {
        1: kernel.lower,
        2: kernel.rig.memory.read(kernel.lower + 8 * (VA >> 30)) & -PAGE,
        3: kernel.entry & -PAGE,
    }
    assert {(event.vmid, event.asid, event.root) for event in levels.values()} == {(1, 1, kernel.lower)}
    kernel.run_as_it_is(BREAK, VAE1)
    kinds = [type(event) for event in kernel.log.events()[-2:]]
    assert kinds == [WriteEvent, TlbiEvent]


def test_partial_stores_are_merged() -> None:
    """A kernel that clears the valid bit by a byte store has broken the entry all the same."""
    kernel = Kernel()
    strb = 0x3900_0000 | 3 << 5 | 31  # strb wzr, [x3]
    assert kernel.run(TOUCH, strb, VAE1, MAKE) == []
    write = next(event for event in kernel.log.events() if isinstance(event, WriteEvent))
    assert (write.old, write.new) == (OLD, OLD & ~0xFF)


def test_a_table_of_an_address_space_that_is_not_loaded_may_become_anything() -> None:
    kernel = Kernel()
    other = kernel.rig.table()
    kernel.rig.memory.span(other, PAGE)[:] = kernel.rig.memory.span(kernel.lower, PAGE)
    kernel.rig.memory.write(other + 8 * (VA >> 30), 0)
    switch = [*a64.MOV(9, 2 << 48 | other), a64.msr("TTBR0_EL1", 9), a64.ISB]
    assert kernel.run(TOUCH, *switch, MAKE, BREAK, MAKE) == []


def ttbr0(root: int, asid: int) -> list[int]:
    return [*a64.MOV(9, asid << 48 | root), a64.msr("TTBR0_EL1", 9), a64.ISB]


def test_what_is_left_of_an_asid_matters_when_somebody_uses_that_again() -> None:
    """A process that ends need not be forgotten at once: its ASID comes back after a TLBI of all, or was never free."""
    kernel = Kernel(OLD | NG)
    assert [each.rule for each in kernel.run(TOUCH, BREAK)] == ["stale end"]
    other, _ = kernel.rig.mmu_on(4)
    assert kernel.run(a64.LDR(0, 3)) == []
    assert [each.rule for each in kernel.run(*ttbr0(kernel.lower, 1), a64.LDR(0, 2))] == ["stale end"]
    assert kernel.run(VAE1, *ttbr0(other, 4), a64.LDR(0, 3)) == []


@pytest.mark.parametrize(("first", "then", "found"), [(1, 4, []), (2, 3, ["stale make"]), (3, 2, ["stale make"])])
def test_a_table_that_comes_back_under_another_asid_is_another(first: int, then: int, found: list[str]) -> None:
    """But two ASIDs that differ in bit 0 may be one process, seen by its kernel and by itself."""
    kernel = Kernel(OLD | NG, asid=first)
    kernel.run(TOUCH)
    assert [each.rule for each in kernel.run(*ttbr0(kernel.lower, then), BREAK, MAKE, new=NEW | NG)] == found


def test_the_same_run_gives_the_same_report() -> None:
    first, second = (Kernel().run(TOUCH, MAKE, TOUCH, BREAK, MAKE) for _ in range(2))
    assert first == second and len(first) == 2


def test_the_log_costs_the_guest_nothing_that_it_can_see() -> None:
    def run(logged: bool) -> tuple[int, ...]:
        kernel = Kernel() if logged else None
        rig = kernel.rig if kernel else Rig()
        if not kernel:
            lower, _ = rig.mmu_on(1)
            rig.map(lower, VA, OLD & ~3, 3)
        rig.start([TOUCH, BREAK, VAE1, a64.LDR(0, 6), a64.HVC(1)], X1=VA, X3=DATA + 0x100, X4=1, X6=DATA)
        before = rig.core.now
        assert rig.hvc() == 1
        return rig.core.now - before, *rig.read("PC", "X0", "ESR_EL1"), int(rig.core.record.walks)

    assert run(True) == run(False)


def test_unicorns_own_walk_keeps_no_log() -> None:
    with pytest.raises(EngineError, match="mmu='minivisor' was expected"):
        TableLog(Rig("unicorn").core)


# ── under the hypervisor ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_hypervisors_own_tables_are_judged_too() -> None:
    """Its builder keeps the rules; a write behind its back is reported with the VMID, and so is an unmap without TLBI."""
    hypervisor = Hypervisor(Machine("a", check_tables=True))
    persona = hypervisor.add(PersonaSettings("guest", memory=4 << 20), program("a"))
    hypervisor.run(1_000_000)
    persona.stage2.unmap(0x4010_0000, PAGE)
    assert persona.console == b"a" and check(hypervisor) == []
    log = persona.table_log
    assert log is not None and [kind for kind, *_ in log].count("tlbi_vmid") >= 1
    interface = hypervisor.machine.board.gicv_base  # a page
    slot, word = next(event[1:] for event in log if event[0] == "write" and event[2] & 0xFFFF_FFFF_F000 == interface)
    persona.tables.write(slot, word ^ 1 << 12)
    found = check(hypervisor)
    assert [(each.rule, each.stage, each.vmid) for each in found] == [
        ("live change", 2, persona.vmid),
        ("stale end", 2, persona.vmid),
    ]
    assert f"VMID {persona.vmid}" in report(found) and "stage 2, the hypervisor: live change" in report(found)


def test_without_the_option_nothing_is_kept() -> None:
    hypervisor = Hypervisor(Machine("a"))
    persona = hypervisor.add(PersonaSettings("guest", memory=4 << 20), program("a"))
    assert persona.table_log is None and hypervisor.machine.table_log is None
    assert check(hypervisor) == []


def test_a_long_report_is_cut_and_a_full_log_is_said() -> None:
    kernel = Kernel()
    kernel.rig.core.write("X6", OLD)
    found = kernel.run(*[TOUCH, MAKE, TOUCH] * 2, *[BREAK, a64.STR(6, 3), BREAK, MAKE] * 15)
    text = report(found, lost=5, most=3)
    assert text.count("missing:") == 3 and f"… and {len(found) - 3} more" in text and "5 later events" in text
    assert report([]) == "tables: break-before-make kept"
