"""ICC_* as a guest has them on a GICv3 board: over the same list registers as the GICC page, and without an exit.

All through a guest's MRS and MSR; EL2 fills ICH_LR<n>_EL2 and looks at ICH_*_EL2 afterwards. IHI 0069, ICV_*_EL1.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from minivisor.arch import encoding
from minivisor.arch.gicv3 import ICC_CTLR_EL1, ICH_HCR_EL2, ICH_LR_EL2, ICH_LR_EL2_SOFTWARE, ICH_VMCR_EL2
from minivisor.machine.gich import Ich
from tests.machine import a64
from tests.machine.naive_icv import Listed, NaiveIcv
from tests.machine.rig import CODE, EL0T, EL1H, SYSREG_EC, VECTORS, Rig

PENDING, ACTIVE, BOTH = 1, 2, 3
SPURIOUS = 1023
EOI_MODE, CBPR = 2, 1
NOT_A_REGISTER = "S3_0_C12_C8_5"  # ICC_AP0R1_EL1, of which five priority bits need none


def lr(intid: int, priority: int = 0x80, state: int = PENDING, group: int = 1, **more: int) -> int:
    """ICH_LR<n>_EL2. more: physical (sets HW), eoi."""
    same = {"State": state, "Priority": priority, "vINTID": intid, "Group": group}
    if "physical" in more:
        return int(ICH_LR_EL2.of(HW=1, pINTID=more["physical"], **same))
    return int(ICH_LR_EL2_SOFTWARE.of(EOI=more.get("eoi", 0), **same))


class Interface:
    """A guest with GIC system registers, one access at a time."""

    def __init__(self, mmu: str = "minivisor", *lrs: int, groups: int = 3, mask: int = 0xF8) -> None:
        self.rig = Rig(mmu)
        self.core = self.rig.core
        self.interface = Ich(self.core, 4)
        self.core.write("ICC_SRE_EL1", 1)
        self.core.write("ICH_HCR_EL2", 1)
        self.list(*lrs)
        self.write("PMR", mask)
        self.write("IGRPEN0", groups & 1)
        self.write("IGRPEN1", groups >> 1)

    def list(self, *lrs: int) -> None:
        for number, value in enumerate(lrs):
            self.core.write(f"ICH_LR{number}_EL2", value)

    def read(self, name: str) -> int:
        self.rig.start(encoding.mrs(1, _full(name)), a64.HVC(1))
        assert self.rig.hvc() == 1
        return self.core.read("X1")

    def write(self, name: str, value: int) -> None:
        self.rig.start(encoding.msr(_full(name), 1), a64.HVC(1), X1=value)
        assert self.rig.hvc() == 1

    def refused(self, word: int, **registers: int) -> bool:
        """Is this access UNDEFINED: taken to EL1, at the instruction, with EC 0?"""
        self.rig.start(word, a64.HVC(1), **registers)
        if self.rig.hvc() == 1:
            return False
        return self.rig.read("ELR_EL1", "ESR_EL1") == (CODE, 1 << 25)

    def states(self) -> list[int]:
        return [self.core.read(f"ICH_LR{n}_EL2") >> 62 for n in range(4)]

    @property
    def eoi_count(self) -> int:
        return ICH_HCR_EL2(self.core.read("ICH_HCR_EL2")).EOIcount


def _full(name: str) -> str:
    return name if name[:2] == "S3" else f"ICC_{name}_EL1"


@pytest.fixture(params=["minivisor", "unicorn"])
def mmu(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# ── acknowledge and complete ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("group", [0, 1])
def test_acknowledge_then_end(mmu: str, group: int) -> None:
    icv = Interface(mmu, lr(40, 0x80, group=group))
    iar, eoir, hppir = f"IAR{group}", f"EOIR{group}", f"HPPIR{group}"
    assert (icv.read("RPR"), icv.read(hppir), icv.read(iar)) == (0xFF, 40, 40)
    assert icv.states() == [ACTIVE, 0, 0, 0]
    assert (icv.read("RPR"), icv.read(hppir), icv.read(iar)) == (0x80, SPURIOUS, SPURIOUS)
    active = [icv.core.read(f"ICH_AP{n}R0_EL2") for n in (0, 1)]
    assert active == [icv.read("AP0R0"), icv.read("AP1R0")] == [1 << 16 if n == group else 0 for n in (0, 1)]
    icv.write(eoir, 40)
    assert icv.states() == [0, 0, 0, 0]
    assert (icv.read("RPR"), icv.read(f"AP{group}R0"), icv.eoi_count) == (0xFF, 0, 0)


def test_each_group_has_registers_of_its_own() -> None:
    icv = Interface("minivisor", lr(40, 0x80, group=0), lr(41, 0x90, group=1))
    assert (icv.read("IAR1"), icv.read("HPPIR1"), icv.read("HPPIR0")) == (SPURIOUS, SPURIOUS, 40)
    assert icv.states()[:2] == [PENDING, PENDING]
    icv.write("IGRPEN0", 0)
    assert (icv.read("HPPIR1"), icv.read("IAR0")) == (41, SPURIOUS)
    icv.write("IGRPEN0", 1)
    assert icv.read("IAR0") == 40
    icv.write("EOIR1", 40)  # the other group's: drops the priority, and deactivates nothing
    assert (icv.states()[0], icv.read("RPR"), icv.eoi_count) == (ACTIVE, 0xFF, 0)
    assert icv.read("IAR1") == 41


def test_an_interrupt_is_known_by_its_whole_id() -> None:
    """No sender in bits 12:10, and 16 bits of id: an LPI, which is completed by EOIR even when DIR is separate."""
    icv = Interface("minivisor", lr(8192 + 40), lr(40), lr(3))
    icv.write("CTLR", EOI_MODE)
    assert icv.read("IAR1") == 8232
    icv.write("DIR", 8232)
    assert icv.states()[0] == ACTIVE
    icv.write("EOIR1", 8232)
    assert icv.states() == [0, PENDING, PENDING, 0]
    assert [icv.read("IAR1"), icv.eoi_count] == [40, 0]


def test_hardware_interrupts_deactivate_the_physical_one(mmu: str) -> None:
    icv = Interface(mmu, lr(27, physical=27), lr(51, physical=30))
    icv.core.record.active = 1 << 27 | 1 << 30 | 1 << 26
    assert icv.read("IAR1") == 27
    icv.write("EOIR1", 27)
    assert int(icv.core.record.active) == 1 << 30 | 1 << 26
    assert icv.states()[:2] == [0, PENDING]


def test_eoi_mode_separates_priority_drop_from_deactivation() -> None:
    icv = Interface("minivisor", lr(50, physical=27), lr(60))
    icv.core.record.active = 1 << 27
    icv.write("DIR", 50)
    assert icv.read("IAR1") == 50
    icv.write("DIR", 50)  # not without EOImode
    assert icv.states()[0] == ACTIVE
    icv.write("CTLR", EOI_MODE)
    icv.write("EOIR1", 50)
    assert (icv.states()[0], int(icv.core.record.active), icv.read("RPR")) == (ACTIVE, 1 << 27, 0xFF)
    assert icv.read("IAR1") == 60
    icv.write("DIR", 50)
    assert (icv.states()[:2], int(icv.core.record.active), icv.eoi_count) == ([0, ACTIVE], 0, 0)


def test_completions_that_find_no_list_register_are_counted_and_may_call_el2() -> None:
    icv = Interface()
    for number in range(33):
        icv.list(lr(40))
        assert icv.read("IAR1") == 40
        icv.list(0)
        icv.write("EOIR1", 40)
        assert icv.eoi_count == (number + 1) % 32
    icv.write("EOIR1", 40)  # drops no priority: does not count
    assert icv.eoi_count == 1
    assert icv.core.read("ICH_MISR_EL2") == 0
    icv.core.write("ICH_HCR_EL2", int(ICH_HCR_EL2.of(En=1, LRENPIE=1, EOIcount=1)))
    assert icv.core.read("ICH_MISR_EL2") == 1 << 2


# ── control ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_control_registers_are_views_of_ich_vmcr() -> None:
    icv = Interface(groups=2)
    for name, value, read in (("PMR", 0xFF, 0xF8), ("BPR0", 5, 5), ("BPR1", 6, 6), ("BPR0", 0, 2), ("BPR1", 0, 3)):
        icv.write(name, value)
        assert icv.read(name) == read
    icv.write("CTLR", (1 << 64) - 1)
    control = ICC_CTLR_EL1(icv.read("CTLR"))
    assert (control.EOImode, control.CBPR, control.PRIbits, control.IDbits, control.A3V) == (1, 1, 4, 0, 1)
    kept = ICH_VMCR_EL2(icv.core.read("ICH_VMCR_EL2"))
    assert (kept.VPMR, kept.VEOIM, kept.VCBPR, kept.VENG1, kept.VENG0) == (0xF8, 1, 1, 1, 0)
    assert (icv.read("IGRPEN0"), icv.read("IGRPEN1"), icv.read("SRE")) == (0, 1, 7)
    icv.write("SRE", 0)
    assert icv.read("SRE") == 7
    icv.core.write("ICH_VMCR_EL2", int(ICH_VMCR_EL2.of(VPMR=0x40, VBPR0=4, VBPR1=7, VENG0=1)))
    assert [icv.read(name) for name in ("PMR", "BPR0", "BPR1", "IGRPEN0", "IGRPEN1")] == [0x40, 4, 7, 1, 0]
    assert icv.read("CTLR") & 3 == 0


def test_one_binary_point_for_both_groups() -> None:
    icv = Interface()
    icv.write("BPR1", 5)
    icv.write("BPR0", 6)
    icv.write("CTLR", CBPR)
    icv.write("BPR1", 3)  # ignored
    assert icv.read("BPR1") == 7
    icv.write("BPR0", 7)
    assert icv.read("BPR1") == 7
    icv.write("CTLR", 0)
    assert icv.read("BPR1") == 5


@pytest.mark.parametrize(("daif", "group", "offset"), [(0x3C5 & ~(1 << 7), 1, 0x280), (0x3C5 & ~(1 << 6), 0, 0x300)])
def test_group_1_is_the_irq_and_group_0_the_fiq(mmu: str, daif: int, group: int, offset: int) -> None:
    icv = Interface(mmu, lr(40, group=group))
    icv.rig.start(a64.NOP, a64.NOP, pstate=daif)
    assert icv.rig.vector() == offset
    icv = Interface(mmu, lr(40, group=1 - group))
    icv.rig.start(a64.NOP, a64.HVC(7), pstate=daif)
    assert icv.rig.hvc() == 7


def test_a_guest_takes_and_completes_an_interrupt_without_an_exit(mmu: str) -> None:
    icv = Interface(mmu, lr(40), lr(41, 0x90))
    handler = [encoding.mrs(10, "ICC_IAR1_EL1"), encoding.msr("ICC_EOIR1_EL1", 10), a64.ADD(11, 11, 1), a64.ERET]
    icv.rig.load(handler, VECTORS + 0x280)
    icv.rig.start(a64.NOP, a64.MSR_DAIFCLR(2), a64.NOP, a64.NOP, a64.HVC(1), X11=0)
    before = icv.core.retired
    assert icv.rig.hvc() == 1
    assert icv.rig.read("X10", "X11") == (41, 2)
    assert icv.states() == [0, 0, 0, 0]
    assert icv.core.retired - before == 5 + 2 * 4


def test_unmasking_by_priority_takes_effect_at_the_next_instruction(mmu: str) -> None:
    icv = Interface(mmu, lr(40), mask=0)
    icv.rig.start(encoding.msr("ICC_PMR_EL1", 1), a64.NOP, a64.NOP, pstate=EL1H & ~(1 << 7), X1=0xF0)
    assert icv.rig.vector() == 0x280
    assert icv.rig.read("ELR_EL1") == (CODE + 4,)


# ── what is not there, and what traps ────────────────────────────────────────────────────────────────────────────────


def test_registers_have_a_direction_and_no_others_exist(mmu: str) -> None:
    icv = Interface(mmu, lr(40))
    for name in ("EOIR1", "EOIR0", "DIR", "SGI1R", "ASGI1R", "SGI0R", NOT_A_REGISTER):
        assert icv.refused(encoding.mrs(1, _full(name))), name
    for name in ("IAR1", "IAR0", "HPPIR1", "HPPIR0", "RPR", NOT_A_REGISTER):
        assert icv.refused(encoding.msr(_full(name), 1)), name
    assert icv.refused(encoding.mrs(1, "ICH_LR0_EL2")) and icv.refused(encoding.msr("ICH_HCR_EL2", 1))
    assert icv.states()[0] == PENDING


@pytest.mark.parametrize("name", ["IAR1", "EOIR1", "PMR", "SRE", "SGI1R"])
def test_a_guest_of_gicv2_and_el0_have_none(mmu: str, name: str) -> None:
    icv = Interface(mmu, lr(40))
    word = encoding.msr(_full(name), 1) if name in ("EOIR1", "SGI1R") else encoding.mrs(1, _full(name))
    assert not icv.refused(word) if name != "SGI1R" else True
    icv.rig.start(word, a64.HVC(1), pstate=EL0T)
    assert icv.rig.vector() == 0x400
    icv.core.write("ICC_SRE_EL1", 0)
    assert icv.refused(word)


@pytest.mark.parametrize("name", ["SGI1R", "ASGI1R", "SGI0R"])
def test_software_generated_interrupts_always_go_to_el2(mmu: str, name: str) -> None:
    icv = Interface(mmu)
    icv.rig.start(encoding.msr(_full(name), 9), a64.HVC(1), X9=0x1234)
    assert icv.rig.exit() == (SYSREG_EC, encoding.iss(_full(name), 9, False))
    assert icv.core.read("PC") == CODE


GROUP_0 = {"IAR0", "EOIR0", "HPPIR0", "BPR0", "AP0R0", "IGRPEN0"}
GROUP_1 = {"IAR1", "EOIR1", "HPPIR1", "BPR1", "AP1R0", "IGRPEN1"}
COMMON = {"PMR", "RPR", "CTLR", "DIR"}


@pytest.mark.parametrize(
    ("bit", "trapped"), [("TALL0", GROUP_0), ("TALL1", GROUP_1), ("TC", COMMON), ("TDIR", {"DIR"})]
)
def test_el2_may_trap_them_by_group(bit: str, trapped: set[str]) -> None:
    icv = Interface("minivisor", lr(40))
    for name in sorted(GROUP_0 | GROUP_1 | COMMON | {"SRE"}):
        write = name in ("EOIR0", "EOIR1", "DIR")
        word = encoding.msr(_full(name), 2) if write else encoding.mrs(2, _full(name))
        icv.core.write("ICH_HCR_EL2", int(ICH_HCR_EL2.of(En=1, **{bit: 1})))
        icv.rig.start(word, a64.HVC(1), X2=SPURIOUS)
        if name in trapped:
            assert icv.rig.exit() == (SYSREG_EC, encoding.iss(_full(name), 2, not write)), name
            wrong = encoding.mrs(2, _full(name)) if write else encoding.msr(_full(name), 2)
            if name in ("IAR0", "IAR1", "HPPIR0", "HPPIR1", "RPR") or write:
                assert icv.refused(wrong)  # UNDEFINED comes first
        else:
            assert icv.rig.hvc() == 1, name


def test_xzr_reads_and_writes_like_any_register() -> None:
    icv = Interface("minivisor", lr(40))
    assert not icv.refused(encoding.mrs(31, "ICC_IAR1_EL1"))
    assert icv.states()[0] == ACTIVE
    assert not icv.refused(encoding.msr("ICC_PMR_EL1", 31))
    assert icv.read("PMR") == 0


# ── against the oracle ───────────────────────────────────────────────────────────────────────────────────────────────


def test_any_sequence_agrees_with_a_naive_interface() -> None:
    rng = random.Random(69)
    icv, naive = Interface(), NaiveIcv(lrs=[None] * 4)
    seen = set()
    for _ in range(2500):
        what = rng.choice(("list", "list", "list", "ack", "ack", "ack", "end", "end", "wrong", "dir", "mask", "control"))
        known = [entry for entry in naive.lrs if entry and entry.active]
        entry = min(known, key=lambda entry: entry.priority) if known and rng.random() < 0.7 else None
        intid, group = (entry.intid, entry.group) if entry else (rng.choice((3, 30, 99, 1023, 8200)), rng.randrange(2))
        if what == "list":
            _list_something(rng, icv, naive)
        elif what == "ack":
            group = rng.randrange(2)
            found = icv.read(f"IAR{group}")
            seen.add((group, found))
            assert found == naive.acknowledge(group)
        elif what in ("end", "wrong"):
            group ^= what == "wrong"
            icv.write(f"EOIR{group}", intid)
            naive.end(group, intid)
        elif what == "dir":
            icv.write("DIR", intid)
            naive.deactivate(intid)
        elif what == "mask":
            naive.priority_mask = rng.choice((0xF8, 0xF8, 0xF8, 0x80, 0x40))
            icv.write("PMR", naive.priority_mask)
        else:
            _control(rng, icv, naive)
        _compare(icv, naive)
    assert len(seen) > 20 and {group for group, _ in seen} == {0, 1}


def _compare(icv: Interface, naive: NaiveIcv) -> None:
    assert icv.states() == [entry.pending + 2 * entry.active if entry else 0 for entry in naive.lrs]
    assert icv.eoi_count == naive.eoi_count
    assert (icv.read("RPR"), icv.read("HPPIR0"), icv.read("HPPIR1")) == (
        naive.running_priority(),
        naive.hppir(0),
        naive.hppir(1),
    )


def _control(rng: random.Random, icv: Interface, naive: NaiveIcv) -> None:
    """Group enables and EOImode at any time; how priorities are cut only while nothing is active, as the manual asks."""
    naive.enabled = {group for group in (0, 1) if rng.random() < 0.8}
    naive.split = rng.random() < 0.3
    for group in (0, 1):
        icv.write(f"IGRPEN{group}", group in naive.enabled)
    if not any(entry and entry.active for entry in naive.lrs) and not naive.running:
        naive.common = False
        icv.write("CTLR", naive.split << 1)
        for group in (0, 1):
            naive.binary_point[group] = rng.randint(0, 7)
            icv.write(f"BPR{group}", naive.binary_point[group])
        naive.common = rng.random() < 0.3
    icv.write("CTLR", naive.split << 1 | naive.common)
    assert [icv.read(f"BPR{group}") for group in (0, 1)] == [naive.point_of(group) for group in (0, 1)]


def _list_something(rng: random.Random, icv: Interface, naive: NaiveIcv) -> None:
    """EL2 fills a free list register with an interrupt that no other holds."""
    free = [n for n, entry in enumerate(naive.lrs) if not entry or not (entry.pending or entry.active)]
    intid = rng.choice((*range(6), *range(30, 36), 8200, 8201))
    if free and all(entry is None or entry.intid != intid for n, entry in enumerate(naive.lrs) if n not in free):
        entry = Listed(intid, rng.randrange(0, 256, 8), rng.randrange(2))
        naive.lrs[free[0]] = entry
        icv.core.write(f"ICH_LR{free[0]}_EL2", lr(intid, entry.priority, group=entry.group))


def test_the_same_source_interpreted() -> None:
    """Every other test of this file, with MINIVISOR_JIT=0."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-k", "not any_sequence and not interpreted", __file__]
    environment = os.environ | {"MINIVISOR_JIT": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stdout[-2000:]
    assert " 43 passed" in " " + done.stdout.splitlines()[-1]
