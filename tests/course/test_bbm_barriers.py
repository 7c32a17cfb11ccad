"""A guest's own tables, further: the DSBs around a TLBI, and the CPUs that it reaches."""

from __future__ import annotations

import pytest

from minivisor.course.bbm import RULES
from minivisor.machine.table_log import BarrierEvent
from tests.course.test_bbm_guest import BREAK, DSB_ISH, DSB_ISHST, MAKE, NEW, OLD, TOUCH, VA, VAE1, Kernel, ttbr0
from tests.machine import a64
from tests.machine.rig import CODE

DSB_ISHLD, DSB_NSH = 0xD503_399F, 0xD503_379F
SSBB, PSSBB = 0xD503_309F, 0xD503_349F
BEFORE, AFTER = "no DSB before", "no DSB after"
OVER_A_BRANCH = (a64.B(8), a64.NOP)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ((BREAK, DSB_ISHST, VAE1, DSB_ISH, MAKE), []),
        ((BREAK, a64.DSB, VAE1, a64.DSB, MAKE), []),
        ((BREAK, VAE1, DSB_ISH, MAKE), [BEFORE]),
        ((BREAK, VAE1, DSB_ISH), [BEFORE]),
        ((BREAK, DSB_ISHLD, VAE1, DSB_ISH, MAKE), [BEFORE]),  # loads alone are no order for a store
        ((BREAK, SSBB, PSSBB, VAE1, DSB_ISH, MAKE), [BEFORE]),  # of a DSB they have the encoding only
        ((DSB_ISH, BREAK, VAE1, DSB_ISH, MAKE), [BEFORE]),
        ((BREAK, a64.ISB, VAE1, DSB_ISH, MAKE), [BEFORE]),
        ((BREAK, DSB_ISHST, VAE1, MAKE, DSB_ISH), [AFTER]),
        ((BREAK, DSB_ISHST, VAE1, a64.ISB, MAKE), [AFTER]),
        ((BREAK, DSB_ISHST, VAE1, DSB_ISHST, MAKE), [AFTER]),  # a TLBI is complete after a DSB for all accesses
        ((BREAK, DSB_ISHST, VAE1), [AFTER]),
        ((BREAK, VAE1, DSB_ISH, VAE1, DSB_ISH, MAKE), []),  # the second one comes in order
        ((BREAK, DSB_NSH, VAE1, DSB_NSH, MAKE), []),  # there is one CPU
        ((BREAK, *OVER_A_BRANCH, DSB_ISH, *OVER_A_BRANCH, VAE1, *OVER_A_BRANCH, DSB_ISH, a64.SVC(0)), []),
        ((BREAK, a64.B(8), DSB_ISH, VAE1, DSB_ISH, MAKE), [BEFORE]),  # it stands there, and is jumped over
        ((BREAK, *OVER_A_BRANCH, VAE1, a64.B(8), DSB_ISH, MAKE, DSB_ISH), [BEFORE]),
    ],
)
def test_a_dsb_stands_on_either_side_of_the_tlbi(words: tuple[int, ...], found: list[str]) -> None:
    """DDI 0487, D8.16.1, and B2.3 "Data Synchronization Barrier": which of them complete what. It is found wherever it is."""
    kernel = Kernel()
    exits = [a64.HVC(1)] if words[-1] == a64.SVC(0) else []
    kernel.rig.core.write("VBAR_EL1", CODE + 0x1000)
    kernel.rig.load([a64.HVC(1)], CODE + 0x1200)
    told = kernel.run_as_it_is(TOUCH, *words, *exits)
    assert [each.rule for each in told] == found
    for each in told:
        assert each.pc == CODE + 4 * (1 + words.index(BREAK)) and each.tlbi == CODE + 4 * (1 + words.index(VAE1))
        assert each.missing == f"DSB {'ISHST, before' if each.rule == BEFORE else 'ISH, after'} the TLBI at PC {each.tlbi:#x}"


def test_a_barrier_behind_an_exception_in_the_middle_of_a_block_has_not_been_executed() -> None:
    """The block is left at the load that faults; what was read ahead of it does not count until it is really reached."""
    kernel = Kernel()
    fault = a64.LDR(7, 8)
    kernel.rig.core.write("VBAR_EL1", CODE + 0x1000)
    kernel.rig.load([VAE1, DSB_ISH, a64.HVC(1)], CODE + 0x1200)
    kernel.rig.core.write("X8", 0x7000_0000_0000)
    assert [each.rule for each in kernel.run_as_it_is(TOUCH, BREAK, fault, DSB_ISHST)] == [BEFORE]


def test_barriers_are_noted_while_one_is_owed_and_no_longer() -> None:
    kernel = Kernel()
    kernel.run_as_it_is(*[a64.DSB] * 5, TOUCH, BREAK, *[DSB_ISHST] * 2, DSB_ISH, *[a64.DSB] * 5)
    assert [event.kind for event in kernel.log.events() if isinstance(event, BarrierEvent)] == [10, 10, 11]


# ── several CPUs ─────────────────────────────────────────────────────────────────────────────────────────────────────

LOCAL = a64.sys("TLBI VAE1", 4)


def with_two_cpus() -> Kernel:
    """CPU 1 has used the tables too; CPU 0 goes on."""
    kernel = Kernel()
    kernel.run(TOUCH)
    on_cpu(kernel, 1)
    kernel.run(*ttbr0(kernel.lower, 2), TOUCH)
    on_cpu(kernel, 0)
    kernel.run(*ttbr0(kernel.lower, 1), TOUCH)
    return kernel


def on_cpu(kernel: Kernel, number: int) -> None:
    kernel.rig.core.write("VMPIDR_EL2", 1 << 31 | number)


def test_a_tlbi_for_one_cpu_leaves_what_another_may_hold() -> None:
    assert Kernel().run(TOUCH, BREAK, LOCAL, MAKE) == []
    assert with_two_cpus().run(BREAK, VAE1, MAKE) == []
    (found,) = with_two_cpus().run(BREAK, LOCAL, MAKE)
    assert (found.rule, found.start, found.old, found.new) == ("not broadcast", VA, OLD, NEW)
    assert found.missing == f"TLBI VAALE1IS, {VA:#x}; DSB ISH; ISB" and RULES["not broadcast"] in str(found)
    assert found.tlbi == CODE + 8 and f"the TLBI at PC {found.tlbi:#x}" in str(found)


def test_each_cpu_may_forget_for_itself() -> None:
    kernel = with_two_cpus()
    assert [each.rule for each in kernel.run(BREAK, LOCAL)] == ["not broadcast"]  # so far
    on_cpu(kernel, 1)
    assert kernel.run(LOCAL, MAKE) == []


def test_a_cpu_with_tables_of_its_own_holds_nothing_of_these() -> None:
    kernel = Kernel()
    kernel.run(TOUCH)
    on_cpu(kernel, 1)
    kernel.rig.mmu_on(2)
    kernel.run(a64.LDR(0, 3))
    on_cpu(kernel, 0)
    kernel.run(*ttbr0(kernel.lower, 1), TOUCH)
    assert kernel.run(BREAK, LOCAL, MAKE) == []


def test_with_several_cpus_a_barrier_reaches_them_all() -> None:
    assert [each.rule for each in with_two_cpus().run_as_it_is(BREAK, DSB_NSH, VAE1, DSB_ISH, MAKE)] == [BEFORE]
    assert [each.rule for each in with_two_cpus().run_as_it_is(BREAK, DSB_ISHST, VAE1, DSB_NSH, MAKE)] == [AFTER]


def test_what_one_cpu_stored_and_another_invalidates_is_not_judged_by_its_barriers() -> None:
    kernel = with_two_cpus()
    kernel.run_as_it_is(BREAK)
    on_cpu(kernel, 1)
    assert kernel.run_as_it_is(VAE1, DSB_ISH, MAKE) == []
