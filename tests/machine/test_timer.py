"""Virtual time and the generic timer, as guests read them and as EL2 is interrupted by them (DDI 0487, D11).

One retired instruction is one nanosecond and a counter tick is 16 of them, so what a guest must read follows from counting
its instructions by hand. Everything runs on both engines and must give the same numbers.
"""

from __future__ import annotations

import random

import numpy as np
import pytest

from minivisor.arch.encoding import iss
from minivisor.machine.core import HORIZON, IRQ, SYNC
from minivisor.machine.gic import HYP_TIMER, PHYSICAL_TIMER, VIRTUAL_TIMER, PhysicalGic
from tests.machine import a64
from tests.machine.rig import CODE, DATA, EL0T, EL1H, HCR, VECTORS, Rig
from tests.machine.test_exceptions import IL, UNMAPPED, user_rig

MASK = (1 << 64) - 1
ENABLE, IMASK, ISTATUS = 1, 2, 4
LOG, VALUE, SCRATCH = 28, 29, 27
NEXT = 0xF8008400 | LOG << 5 | VALUE  # str x29, [x28], #8
LSR_EC = 0xD35AFF7B  # lsr x27, x27, #26
TIMERS = {"V": VIRTUAL_TIMER, "P": PHYSICAL_TIMER}


@pytest.fixture(params=["minivisor", "unicorn"])
def rig(request: pytest.FixtureRequest) -> Rig:
    return Rig(request.param)


# ── the counter ──────────────────────────────────────────────────────────────────────────────────────────────────────

READ = [a64.mrs(VALUE, "CNTVCT_EL0"), NEXT]
HANDLER = [
    *READ,
    *(a64.mrs(SCRATCH, "ESR_EL1"), LSR_EC, a64.SUBS(SCRATCH, SCRATCH, 0x15), a64.CBNZ(SCRATCH, 8), a64.ERET),
    *(a64.mrs(SCRATCH, "ELR_EL1"), a64.ADD(SCRATCH, SCRATCH, 4), a64.msr("ELR_EL1", SCRATCH), a64.ERET),
]
FROM_SVC, FROM_ABORT = 7, 10  # instructions in the handler


def program(rng: random.Random) -> tuple[list[int], list[int]]:
    """Random code, and after how many retired instructions each of its counter reads comes."""
    words, when, count = list[int](), list[int](), 0
    for _ in range(250):
        what = rng.choice(("nop", "nop", "nop", "read", "svc", "abort", "undefined", "branch"))
        if what == "nop":
            words, count = [*words, a64.NOP], count + 1
        elif what == "branch":
            words, count = [*words, a64.B(4)], count + 1
        elif what == "read":
            words, when, count = words + READ, [*when, count], count + 2
        elif what == "svc":
            words, when, count = [*words, a64.SVC(0)], [*when, count + 1], count + 1 + FROM_SVC
        else:  # the instruction that faults does not retire
            words.append(a64.LDR(0, 1) if what == "abort" else a64.UDF)
            when, count = [*when, count], count + FROM_ABORT
    return [*words, a64.HVC(1)], when


def test_the_counter_is_exact_in_any_block_and_across_any_exception(rig: Rig) -> None:
    """Whole blocks are counted before they run; what was not run of them must not be seen."""
    rng = random.Random(7)
    rig.mmu_on()
    rig.load(HANDLER, VECTORS + 0x200)
    for _ in range(12):
        words, when = program(rng)
        rig.core.skip(rng.randrange(100))
        rig.start(words, X1=UNMAPPED, **{f"X{LOG}": DATA})
        started, retired = rig.core.now, rig.core.retired
        assert rig.hvc() == 1
        seen = rig.memory.span(DATA, 8 * len(when)).view(np.uint64).tolist()
        assert seen == [(started + count) // 16 for count in when]
        assert rig.core.read(f"X{LOG}") == DATA + 8 * len(when)
        assert rig.core.now - started == rig.core.retired - retired


def test_time_goes_on_from_where_el2_let_the_guest_in(rig: Rig) -> None:
    """A stage-2 abort in the middle of a block, an emulated instruction, time that was charged, and on."""
    rig.start(*[a64.NOP] * 5, a64.LDR(0, 1), *[a64.NOP] * 7, a64.mrs(2, "CNTPCT_EL0"), a64.HVC(1), X1=0x7000_0000)
    started = rig.core.now
    rig.exit()
    assert rig.core.now - started == 5
    rig.core.write("PC", rig.core.read("PC") + 4)
    rig.core.retire_one()
    rig.core.skip(1000)
    assert rig.hvc() == 1
    assert rig.core.read("X2") == (started + 1006 + 7) // 16
    assert rig.core.now - started == 1000 + 15


def test_a_horizon_stops_before_the_block_that_begins_at_or_after_it(rig: Rig) -> None:
    """Blocks are not cut: the stop is at the first block boundary that the horizon has reached."""
    rig.start(a64.NOP, a64.NOP, a64.B(-8))
    started = rig.core.now
    for horizon, reached in ((1, 3), (3, 3), (4, 6), (7, 9), (8, 9), (100, 102), (102, 102)):
        assert rig.run(started + horizon) == HORIZON
        assert rig.core.now - started == reached, horizon
        assert rig.core.read("PC") == CODE


def test_wfi_without_a_trap_retires_once(rig: Rig) -> None:
    rig.core.write("HCR_EL2", HCR & ~(1 << 13))
    rig.start(a64.NOP, a64.WFI, a64.NOP, a64.HVC(1))
    before = rig.core.retired
    assert rig.hvc() == 1
    assert rig.core.retired - before == 4


# ── the registers ────────────────────────────────────────────────────────────────────────────────────────────────────


def access(rig: Rig, *words: int, **registers: int) -> int:
    """Run words at EL1; X2 afterwards."""
    rig.start(*words, a64.HVC(1), **registers)
    assert rig.hvc() == 1
    return rig.core.read("X2")


def test_the_frequency_is_62_5_mhz(rig: Rig) -> None:
    assert access(rig, a64.mrs(2, "CNTFRQ_EL0")) == 62_500_000


def test_the_virtual_counter_is_the_physical_one_less_the_offset(rig: Rig) -> None:
    rig.core.skip(1 << 20)
    for offset in (0, 100, 1 << 40, MASK, -5000 & MASK):
        rig.core.write("CNTVOFF_EL2", offset)
        started = rig.core.now
        virtual = access(rig, a64.mrs(2, "CNTVCT_EL0"), a64.mrs(3, "CNTPCT_EL0"))
        assert rig.core.read("X3") == (started + 1) // 16
        assert virtual == started // 16 - offset & MASK


@pytest.mark.parametrize("timer", TIMERS)
def test_tval_is_a_signed_32_bit_view_of_cval(rig: Rig, timer: str) -> None:
    cval, tval = f"CNT{timer}_CVAL_EL0", f"CNT{timer}_TVAL_EL0"
    rig.core.write("CNTVOFF_EL2", 7)
    rig.core.skip(1 << 44)
    for ticks in (0, 1, 1000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x5_0000_0010):
        counter = rig.core.now // 16 - (7 if timer == "V" else 0)
        access(rig, a64.msr(tval, 1), X1=ticks)
        signed = (ticks & 0xFFFF_FFFF) - (1 << 32 if ticks & 1 << 31 else 0)
        assert rig.core.read(cval) == counter + signed & MASK
    for compare in (0, 5, 1 << 63, MASK):
        counter = rig.core.now // 16 - (7 if timer == "V" else 0)
        assert access(rig, a64.msr(cval, 1), a64.mrs(2, cval), X1=compare) == compare
        counter = rig.core.now // 16 - (7 if timer == "V" else 0)
        assert access(rig, a64.mrs(2, tval)) == compare - counter & 0xFFFF_FFFF


@pytest.mark.parametrize("timer", TIMERS)
def test_ctl_shows_the_condition_only_while_enabled(rig: Rig, timer: str) -> None:
    ctl, cval = f"CNT{timer}_CTL_EL0", f"CNT{timer}_CVAL_EL0"
    rig.core.skip(1 << 20)
    now = rig.core.now // 16
    for control, compare, wanted in (
        (0, 0, 0),
        (IMASK, 0, IMASK),
        (ENABLE, 0, ENABLE | ISTATUS),
        (ENABLE | IMASK, now, ENABLE | IMASK | ISTATUS),
        (ENABLE, now + 1000, ENABLE),
        (MASK, MASK, ENABLE | IMASK),  # unsigned comparison; ISTATUS and above are not writable
    ):
        words = a64.msr(cval, 3), a64.msr(ctl, 1), a64.ISB, a64.mrs(2, ctl)
        assert access(rig, *words, X1=control, X3=compare) == wanted, (control, compare)
        assert rig.core.read(ctl) == control & 3


@pytest.mark.parametrize("timer", TIMERS)
def test_the_condition_is_the_counter_at_or_past_the_comparator(rig: Rig, timer: str) -> None:
    """To the instruction: false at the last nanosecond before the tick, true at the tick."""
    for lead, wanted in ((1, ENABLE), (0, ENABLE | ISTATUS)):
        rig.core.skip(-rig.core.now % 16 + 16 - lead)  # the MRS comes first: `lead` before the tick
        rig.core.write(f"CNT{timer}_CVAL_EL0", (rig.core.now + lead) // 16)
        rig.core.write(f"CNT{timer}_CTL_EL0", ENABLE)
        assert access(rig, a64.mrs(2, f"CNT{timer}_CTL_EL0")) == wanted


# ── EL0 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

PCTEN, VCTEN, VTEN, PTEN = 1 << 0, 1 << 1, 1 << 8, 1 << 9
GATES = {"CNTPCT_EL0": PCTEN, "CNTVCT_EL0": VCTEN, "CNTFRQ_EL0": PCTEN | VCTEN}
GATES |= {f"CNTV_{name}_EL0": VTEN for name in ("TVAL", "CTL", "CVAL")}
GATES |= {f"CNTP_{name}_EL0": PTEN for name in ("TVAL", "CTL", "CVAL")}


@pytest.mark.parametrize("register", GATES)
def test_cntkctl_says_what_el0_may_read_and_write(rig: Rig, register: str) -> None:
    user_rig(rig)
    everything = PCTEN | VCTEN | VTEN | PTEN
    for write in (False, True) if GATES[register] & (VTEN | PTEN) else (False,):
        word = a64.msr(register, 9) if write else a64.mrs(9, register)
        for allowed in (0, PCTEN, VCTEN, VTEN, PTEN, everything & ~GATES[register], everything):
            rig.core.write("CNTKCTL_EL1", allowed)
            rig.start(word, a64.SVC(5), pstate=EL0T, X9=0)
            assert rig.vector() == 0x400
            esr, elr = rig.read("ESR_EL1", "ELR_EL1")
            if allowed & GATES[register]:
                assert (esr, elr) == (0x15 << 26 | IL | 5, CODE + 8)
            else:
                assert (esr, elr) == (0x18 << 26 | IL | iss(register, 9, not write), CODE)


def test_el0_cannot_set_the_frequency_or_the_counter(rig: Rig) -> None:
    rig.core.write("CNTKCTL_EL1", 0x303)
    user_rig(rig)
    for register in ("CNTFRQ_EL0", "CNTVCT_EL0"):
        rig.start(a64.msr(register, 9), pstate=EL0T)
        assert rig.vector() == 0x400
        assert rig.core.read("ESR_EL1") == IL


# ── interrupts ───────────────────────────────────────────────────────────────────────────────────────────────────────


def armed(rig: Rig, timer: str, ns: int, control: int = ENABLE, offset: int = 0) -> int:
    """Arm a timer for the first tick at least `ns` from now; the time of that tick."""
    tick = -(-(rig.core.now + ns) // 16)
    level = 2 if timer == "HP" else 0
    rig.core.write("CNTVOFF_EL2", offset)
    rig.core.write(f"CNT{timer}_CVAL_EL{level}", tick - (offset if timer == "V" else 0) & MASK)
    rig.core.write(f"CNT{timer}_CTL_EL{level}", control)
    PhysicalGic(rig.core).enable(VIRTUAL_TIMER, PHYSICAL_TIMER, HYP_TIMER)
    return tick * 16


LOOP = [a64.NOP, a64.NOP, a64.B(-8)]


@pytest.mark.parametrize(("timer", "intid"), [*TIMERS.items(), ("HP", HYP_TIMER)])
def test_a_timer_stops_the_guest_at_the_first_block_after_its_tick(rig: Rig, timer: str, intid: int) -> None:
    gic = PhysicalGic(rig.core)
    rig.start(LOOP)
    for ns in (1, 100, 5000):
        started = rig.core.now
        tick = armed(rig, timer, ns)
        assert rig.run() == IRQ
        assert rig.core.now == started + -(-(tick - started) // 3) * 3
        assert (gic.acknowledge(), gic.acknowledge()) == (intid, 1023)
        assert rig.run(rig.core.now + 1000) == HORIZON  # active: quiet, although the line is still high
        gic.deactivate(intid)
        assert rig.run() == IRQ  # and again, since nobody moved the comparator


@pytest.mark.parametrize("offset", [0, 1000, -1 & MASK, -(1 << 40) & MASK], ids=hex)
def test_the_virtual_timer_fires_by_the_virtual_counter(rig: Rig, offset: int) -> None:
    """Also when the guest's counter is ahead of the board's: a persona that was saved on a phone with more uptime."""
    rig.core.skip(1 << 20)
    rig.start(LOOP)
    tick = armed(rig, "V", 5000, offset=offset)
    assert rig.run(rig.core.now + 100_000) == IRQ
    assert 0 <= rig.core.now - tick < 3


@pytest.mark.parametrize("control", [0, IMASK, ENABLE | IMASK])
def test_a_timer_that_is_off_or_masked_is_silent(rig: Rig, control: int) -> None:
    rig.start(LOOP)
    for timer in ("V", "P", "HP"):
        armed(rig, timer, 100, control)
    assert rig.run(rig.core.now + 3000) == HORIZON


def test_a_timer_far_away_never_wraps_into_now(rig: Rig) -> None:
    rig.start(LOOP)
    for compare in (MASK, 1 << 63, 1 << 60, (1 << 60) - 1):
        for timer in ("CNTV", "CNTP"):
            rig.core.write(f"{timer}_CVAL_EL0", compare)
            rig.core.write(f"{timer}_CTL_EL0", ENABLE)
        PhysicalGic(rig.core).enable(VIRTUAL_TIMER, PHYSICAL_TIMER)
        assert rig.run(rig.core.now + 300) == HORIZON


def test_a_guest_arms_its_timer_and_the_deadline_is_met(rig: Rig) -> None:
    PhysicalGic(rig.core).enable(VIRTUAL_TIMER)
    started = rig.core.now
    rig.start(a64.msr("CNTV_TVAL_EL0", 1), a64.msr("CNTV_CTL_EL0", 2), a64.ISB, LOOP, X1=100, X2=1)
    assert rig.run(started + 100_000) == IRQ
    assert 0 <= rig.core.now - (started // 16 + 100) * 16 < 3


def test_a_guest_that_disarms_it_in_time_hears_nothing(rig: Rig) -> None:
    PhysicalGic(rig.core).enable(VIRTUAL_TIMER)
    armed(rig, "V", 50)
    rig.start(a64.msr("CNTV_CTL_EL0", 31), a64.ISB, LOOP)
    assert rig.run(rig.core.now + 3000) == HORIZON


def test_the_earliest_of_several_timers_comes_first(rig: Rig) -> None:
    gic = PhysicalGic(rig.core)
    rig.start(LOOP)
    for timer, ns in (("V", 3000), ("P", 1000), ("HP", 2000)):
        armed(rig, timer, ns)
    order = []
    for _ in range(3):
        assert rig.run() == IRQ
        order.append(gic.acknowledge())
    assert order == [PHYSICAL_TIMER, HYP_TIMER, VIRTUAL_TIMER]


def test_an_interrupt_does_not_disturb_the_guest(rig: Rig) -> None:
    """Stopped a thousand times by the hypervisor's timer, a computation comes out the same, in the same instructions."""
    gic, results = PhysicalGic(rig.core), []
    for period in (0, 17):
        if period:
            gic.enable(HYP_TIMER)
        rig.start(a64.ADD(3, 3, 7), a64.SUBS(2, 2, 1), a64.CBNZ(2, -8), a64.HVC(1), X2=5000, X3=0)
        before, stops = rig.core.retired, 0
        while True:
            rig.core.write("CNTHP_CVAL_EL2", rig.core.now // 16 + period)
            rig.core.write("CNTHP_CTL_EL2", bool(period))
            reason = rig.run()
            if reason == SYNC:
                break
            assert gic.acknowledge() == HYP_TIMER
            gic.deactivate(HYP_TIMER)
            stops += 1
        results.append((rig.core.read("X3"), rig.core.read("X2"), rig.core.retired - before))
        assert stops == 0 if not period else stops > 50
    assert results[0] == results[1] == (35000, 0, 15001)


def test_device_lines_interrupt_like_timers(rig: Rig) -> None:
    gic = PhysicalGic(rig.core)
    gic.enable(33)
    rig.start(LOOP)
    gic.set_line(33, True)
    assert rig.run() == IRQ
    assert gic.acknowledge() == 33
    gic.set_line(33, False)
    gic.deactivate(33)
    gic.set_line(34, True)  # not enabled
    assert rig.run(rig.core.now + 30) == HORIZON


def test_a_guest_with_interrupts_masked_is_interrupted_all_the_same(rig: Rig) -> None:
    """Physical interrupts go to EL2 (HCR_EL2.IMO): PSTATE.I at EL1 does not hold them."""
    rig.start(LOOP, pstate=EL1H)
    armed(rig, "HP", 100)
    assert rig.run() == IRQ
