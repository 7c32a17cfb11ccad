"""Time that is the host's: a guest is stopped in time and cleanly, reads that clock, and the watcher goes when it should."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from minivisor.errors import EngineError
from minivisor.machine.core import AARCH32, HORIZON, IRQ, SYNC
from minivisor.machine.exit_checks import keep_exit_checks
from minivisor.machine.gic import HYP_TIMER, PhysicalGic
from minivisor.machine.state import WORD
from minivisor.machine.watch import Watch, follow_host_clock, host_time
from tests.machine import a64
from tests.machine.rig import CODE, DATA, EL1H, GICV, HCR, Rig
from tests.machine.test_debug import D
from tests.machine.test_gicv import lr
from tests.machine.test_serror import VSE
from tests.machine.watching import ALL, WATCHED_WORD, neighbours, two_pages, watch

SECOND = 1_000_000_000
PATIENCE = 120 * SECOND  # ns a stop may be late on a host that is busy, or compiles first
LOOP = a64.B(0)


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "minivisor-watch"]


class Patient(Rig):
    """Time goes on while the host does something else."""

    def run(self, horizon: int = 0) -> int:
        return self.core.run(self.core.now + PATIENCE)


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A bare core on the host's clock, watched."""
    rig = Patient()
    assert follow_host_clock(rig.core)
    with Watch(rig.core):
        yield rig


def test_a_guest_that_never_exits_is_stopped_at_the_horizon(rig: Rig) -> None:
    rig.start(LOOP)
    for _ in range(5):
        horizon = rig.core.now + 3_000_000
        assert rig.core.run(horizon) == HORIZON
        assert horizon <= rig.core.now < horizon + PATIENCE
    assert rig.read("PC") == (CODE,)
    assert (rig.core.retired, rig.core.counts) == (0, False)


def test_the_hypervisors_timer_stops_it(rig: Rig) -> None:
    gic = PhysicalGic(rig.core)
    gic.enable(HYP_TIMER)
    rig.start(LOOP)
    rig.core.write("CNTHP_CVAL_EL2", (rig.core.now + 2_000_000) // 16)
    rig.core.write("CNTHP_CTL_EL2", 1)
    assert rig.run() == IRQ
    assert gic.acknowledge() == HYP_TIMER


def test_a_timer_that_the_guest_arms_is_seen_though_it_is_nearer_than_the_watchers_next_look(rig: Rig) -> None:
    gic = PhysicalGic(rig.core)
    gic.enable(27)
    rig.start([a64.msr("CNTV_TVAL_EL0", 1), a64.msr("CNTV_CTL_EL0", 2), LOOP], X1=100_000 // 16, X2=1)
    assert rig.run() == IRQ
    assert gic.acknowledge() == 27


def test_the_counter_is_the_hosts_clock(rig: Rig) -> None:
    origin = rig.core.words[WORD["host_origin"]]
    rig.start([a64.mrs(0, "CNTVCT_EL0"), *a64.MOV(2, 2_000_000), a64.SUBS(2, 2, 1), a64.CBNZ(2, -4)])
    rig.load([a64.mrs(1, "CNTVCT_EL0"), a64.HVC(1)], CODE + 4 * (3 + len(a64.MOV(2, 2_000_000))))
    before = host_time() - origin
    assert rig.run() == 1
    after = host_time() - origin
    first, second = (16 * ticks for ticks in rig.read("X0", "X1"))
    assert before - 10_000_000 <= first < second <= after + 10_000_000
    assert second - first > 200_000  # two million turns take some time on any host


def test_a_store_to_the_interrupt_controller_is_done_once(rig: Rig) -> None:
    """What it changes stops the guest, but before its next block and not on the store: a second EOI would end the next one."""
    rig.core.record.gich_hcr, rig.core.record.gich_vmcr = 1, 0xF800_0001
    rig.core.record.lr[0], rig.core.record.lr[1] = lr(40), lr(41)
    acknowledge, complete = a64.LDRW(0, 9, 0xC), a64.STRW(0, 9, 0x10)
    rig.start([acknowledge, complete, acknowledge, a64.B(4), a64.HVC(1)], X9=GICV)
    assert rig.run() == 1
    assert rig.read("X0") == (41,)
    assert [int(entry) >> 28 & 3 for entry in rig.core.record.lr[:2]] == [0, 2]


def test_a_branch_to_no_instruction_is_noticed_each_time(rig: Rig) -> None:
    """Nothing looks before each block; the block that is no block is dropped again after it was translated."""
    for _ in range(3):
        rig.start([a64.NOP, a64.BR(2)], X2=CODE + 0x22)
        assert rig.vector() == 0x200
        assert (rig.core.read("ESR_EL1") >> 26, rig.core.read("ELR_EL1")) == (0x22, CODE + 0x22)
    rig.start(a64.HVC(1))
    rig.core.write("PC", CODE + 0x22)  # by EL2: PSCI CPU_ON takes any address
    assert rig.vector() == 0x200


def test_a_guest_that_leaves_for_aarch32_takes_nothing_along(rig: Rig) -> None:
    """Thumb code resets the engine's flag as it is translated."""
    rig.start([a64.ERET], SPSR_EL1=0x30, ELR_EL1=CODE + 0x100)
    assert rig.core.run(rig.core.now + 100_000_000) == AARCH32
    assert not keep_exit_checks(rig.core.uc)


def test_a_virtual_serror_is_taken_soon_after_it_is_unmasked(rig: Rig) -> None:
    """Nobody looks before each block, but every 0.1 ms while one is pending: unmasked for less, it may go unseen."""
    rig.start([a64.MSR_DAIFCLR(4), LOOP])
    rig.core.write("HCR_EL2", HCR | VSE)
    assert rig.vector() == 0x380
    assert rig.core.read("ELR_EL1") == CODE + 4


def test_where_nobody_counts_progress_is_seen_all_the_same(rig: Rig) -> None:
    rig.start([a64.HVC(1), a64.B(-4)])
    seen = [rig.core.progress for _ in range(3) if rig.hvc() == 1]
    assert len(set(seen)) == 3
    rig.start([a64.WFI, a64.NOP])
    stuck = {rig.core.progress for _ in range(4) if rig.run() == 1}  # EL2 never carries it out
    assert len(stuck) == 1


def test_nobody_is_left_behind() -> None:
    rig = Rig()
    assert follow_host_clock(rig.core)
    for _ in range(20):
        with pytest.raises(KeyboardInterrupt), Watch(rig.core):
            assert len(watchers()) == 1
            rig.start(LOOP)
            rig.core.run(rig.core.now + 50_000)
            raise KeyboardInterrupt
        assert watchers() == []
    with pytest.raises(EngineError, match="nobody watches"):
        rig.core.run(rig.core.now + 1)


def test_breakpoints_are_armed_whatever_comes_late(rig: Rig) -> None:
    """EL2 executes MSRs for that; a stop that was meant for the guest just before must not leave them out."""
    for turn in range(200):
        rig.start(LOOP)
        rig.core.write("DBGBVR0_EL1", CODE + 0x400 + 4 * turn)
        assert rig.core.run(rig.core.now + 1_000) == HORIZON
        assert rig.core.read("DBGBVR0_EL1") == CODE + 0x400 + 4 * turn


def test_a_page_with_one_watched_word_works_as_any_other() -> None:
    """Stops come from another thread then, between any two blocks; one instruction is a block."""
    words, registers = neighbours(5)
    registers["X2"] = 50
    rig, runs = two_pages(), list[tuple[tuple[int, ...], bytes]]()
    assert follow_host_clock(rig.core)
    for watched in (False, True):
        rig.memory.span(DATA, 0x1000).fill(0x5A)
        watch(rig, DATA + WATCHED_WORD, ALL if watched else 0)
        rig.start(words, a64.LDR(0, 1, WATCHED_WORD), a64.SVC(1), pstate=EL1H & ~D, **registers)
        reason, stops = HORIZON, 0
        with Watch(rig.core):
            while reason == HORIZON and stops < 1_000_000:
                reason, stops = rig.core.run(rig.core.now + 100_000, resume=stops > 0), stops + 1
        assert reason == SYNC
        assert rig.core.read("ESR_EL1") >> 26 == (0x35 if watched else 0x15)
        runs.append((rig.core.general()[1:], bytes(rig.memory.span(DATA, 0x1000))))
    assert runs[0] == runs[1]
    assert stops > 1


def test_unicorns_own_mmu_counts_as_before() -> None:
    assert not follow_host_clock(Rig("unicorn").core)
