"""What this silicon does not do, shown: each line of docs/not-modelled.md names one of these tests, or one elsewhere.

A test here that fails is good news: the engine has learned something, and a line of the document can go.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from minivisor.machine.core import SYNC
from tests.machine import a64
from tests.machine.rig import AF, CODE, DATA, EL0T, EL1H, HCR, PXN, S1_RW, SCTLR, SYSREG_EC, TCR, XN, Rig
from tests.machine.test_exceptions import UNMAPPED, user_rig

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/not-modelled.md").read_text(encoding="utf-8")
WFE, FADD = 0xD503205F, 0x1E602800  # wfe; fadd d0, d0, d0
DEVICE = 0x1_0000_0000  # a page of device memory: MAIR_EL1's attribute 1 is Device-nGnRnE
OLD, NEW, PAGE = DATA + 0x2000, DATA + 0x3000, 0x1_0000_2000


@pytest.fixture(params=["minivisor", "unicorn"])
def rig(request: pytest.FixtureRequest) -> Rig:
    return user_rig(Rig(request.param))


def test_every_line_names_a_test_that_exists() -> None:
    rows = [line for line in DOCUMENT.splitlines() if line.startswith("| ") and line != "| what | symptom | test |"]
    assert len(rows) > 20
    for row in rows:
        *_, named = row.strip("| ").split(" | ")
        found = re.fullmatch(r"`(tests/[a-z_/]+\.py)` `(test_\w+)`", named)
        assert found, f"no test at the end of: {row}"
        source = (ROOT / found[1]).read_text(encoding="utf-8")
        assert f"def {found[2]}(" in source, f"{found[1]} has no {found[2]}"


# ── alignment ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_misaligned_stack_pointer_is_used(rig: Rig) -> None:
    """SCTLR_EL1.SA: the manual has EC 0x26."""
    rig.start(a64.LDR(0, 31), a64.HVC(1), SP=DATA + 8, SCTLR_EL1=SCTLR | 1 | 1 << 3)
    assert rig.hvc() == 1


def test_a_misaligned_load_is_carried_out(rig: Rig) -> None:
    """SCTLR_EL1.A: the manual has a data abort with DFSC 0x21. Exclusives do fault."""
    rig.start(a64.LDR(0, 1), a64.HVC(1), X1=DATA + 1, SCTLR_EL1=SCTLR | 1 | 1 << 1)
    assert rig.hvc() == 1
    rig.start(a64.LDXR(0, 1), a64.HVC(1), X1=DATA + 4)
    assert rig.vector() == 0x200
    assert rig.core.read("ESR_EL1") & 0x3F == 0x21


def device_page(rig: Rig) -> None:
    rig.map(rig.core.read("TTBR0_EL1"), DEVICE, DATA | AF | XN | PXN | 1 << 2, 3)


def test_a_misaligned_load_from_device_memory_is_carried_out(rig: Rig) -> None:
    """Memory types change nothing here; the manual has an alignment fault."""
    device_page(rig)
    rig.start(a64.LDR(0, 1), a64.HVC(1), X1=DEVICE + 1)
    assert rig.hvc() == 1


def test_dc_zva_on_device_memory_is_carried_out(rig: Rig) -> None:
    device_page(rig)
    rig.memory.write(DATA, 0x55)
    rig.start(a64.sys("DC ZVA", 1), a64.HVC(1), X1=DEVICE)
    assert rig.hvc() == 1
    assert rig.memory.read(DATA) == 0


# ── exceptions that never come ───────────────────────────────────────────────────────────────────────────────────────


def test_wfe_is_never_trapped(rig: Rig) -> None:
    """HCR_EL2.TWE and SCTLR_EL1.nTWE; it is a NOP."""
    rig.start(WFE, a64.HVC(1), HCR_EL2=HCR | 1 << 14)
    assert rig.hvc() == 1
    rig.start(WFE, a64.SVC(1), pstate=EL0T)
    assert rig.vector() == 0x400
    assert rig.core.read("ESR_EL1") >> 26 == 0x15


def test_floating_point_is_never_trapped(rig: Rig) -> None:
    """CPACR_EL1.FPEN and CPTR_EL2.TFP; the manual has EC 0x07."""
    rig.start(FADD, a64.HVC(1), CPACR_EL1=0, CPTR_EL2=1 << 10 | 0x33FF)
    assert rig.hvc() == 1


def test_an_illegal_return_is_not_noticed(rig: Rig) -> None:
    """ERET to EL2: PSTATE.IL is set as it should be, but the next instruction runs; the manual has EC 0x0E."""
    rig.start(a64.ERET, SPSR_EL1=0x3C9, ELR_EL1=CODE + 0x40)
    rig.load([a64.NOP, a64.HVC(5)], CODE + 0x40)
    rig.core.code_changed()
    assert rig.hvc() == 5
    assert rig.core.read("PSTATE") == EL1H | 1 << 20


def test_unicorns_own_walk_has_no_watchpoints() -> None:
    """Its registers are there; `machine/watchpoints.py` needs our TLB hook."""
    rig = user_rig(Rig("unicorn"))
    rig.start(a64.LDR(0, 1), a64.HVC(1), pstate=EL1H & ~(1 << 9), X1=DATA, MDSCR_EL1=1 << 15 | 1 << 13)
    for name, value in (("DBGWVR0_EL1", DATA), ("DBGWCR0_EL1", 0xFF << 5 | 3 << 3 | 3 << 1 | 1)):
        rig.core.write(name, value)
    assert rig.hvc() == 1


def test_a_closed_os_lock_stops_no_breakpoint(rig: Rig) -> None:
    """OSLSR_EL1.OSLK reads as 1, and debug exceptions come all the same; a watchpoint too, where there are any."""
    rig.start(a64.msr("OSLAR_EL1", 3), a64.ISB, a64.NOP, a64.NOP, a64.HVC(1), pstate=EL1H & ~(1 << 9), X3=1)
    for name, value in (("MDSCR_EL1", 1 << 15 | 1 << 13), ("DBGBVR0_EL1", CODE + 12), ("DBGBCR0_EL1", 0xF << 5 | 3 << 1 | 1)):
        rig.core.write(name, value)
    assert rig.vector() == 0x200
    assert rig.core.read("ESR_EL1") >> 26 == 0x31
    rig.start(a64.msr("OSLAR_EL1", 3), a64.ISB, a64.LDR(0, 1), a64.SVC(1), pstate=EL1H & ~(1 << 9), X1=DATA, X3=1)
    for name, value in (("DBGBCR0_EL1", 0), ("DBGWVR0_EL1", DATA), ("DBGWCR0_EL1", 0xFF << 5 | 3 << 3 | 3 << 1 | 1)):
        rig.core.write(name, value)
    assert rig.vector() == 0x200
    assert rig.core.read("ESR_EL1") >> 26 == (0x35 if rig.mmu == "minivisor" else 0x15)


def test_cache_maintenance_by_address_translates_nothing(rig: Rig) -> None:
    """On an address that is not mapped the manual has a data abort with CM."""
    words = [a64.sys(form, 1) for form in ("DC CIVAC", "DC CVAC", "DC CVAU", "DC IVAC", "IC IVAU")]
    rig.start(words, a64.HVC(1), X1=UNMAPPED)
    assert rig.hvc() == 1


def test_there_is_no_performance_monitor(rig: Rig) -> None:
    """EL2 traps its registers, and a guest finds them UNDEFINED; ID_AA64DFR0_EL1.PMUVer says so."""
    rig.start(a64.mrs(0, "PMCCNTR_EL0"), a64.HVC(1))
    rig.core.write("MDCR_EL2", 1 << 6 | 1 << 5)
    assert rig.exit()[0] == SYSREG_EC


# ── what has no effect ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_missing_barrier_is_not_noticed(rig: Rig) -> None:
    """A TLBI is over when it has been executed, and the next load sees the new page; so is a write to a system register."""
    lower = rig.core.read("TTBR0_EL1")
    entry = rig.map(lower, PAGE, OLD | S1_RW, 3)
    rig.map(lower, entry & -4096, entry & -4096 | S1_RW, 3)
    rig.memory.write(OLD, 1)
    rig.memory.write(NEW, 2)
    rig.start(
        *(a64.LDR(5, 1), a64.STR(2, 3), a64.sys("TLBI VAE1", 4), a64.LDR(6, 1), a64.HVC(1)),
        X1=PAGE, X2=NEW | S1_RW | 3, X3=entry, X4=PAGE >> 12,
    )  # fmt: skip
    assert rig.hvc() == 1
    assert rig.read("X5", "X6") == (1, 2)


def test_there_are_no_data_caches(rig: Rig) -> None:
    """What a core stores is in memory at once, and what a device stores is seen at once: forgotten maintenance never shows."""
    rig.start(a64.STR(2, 1), a64.HVC(1), a64.LDR(3, 1), a64.HVC(2), X1=DATA, X2=0x1234)
    assert rig.hvc() == 1
    assert rig.memory.read(DATA) == 0x1234
    rig.memory.write(DATA, 0x5678)
    assert rig.hvc() == 2
    assert rig.core.read("X3") == 0x5678


def test_big_endian_data_is_not_refused(rig: Rig) -> None:
    """ID_AA64MMFR0_EL1.BigEnd is 0, so SCTLR_EL1.EE should stay 0; with stage 1 off, data are swapped all the same."""
    rig.memory.write(DATA, 0x0102_0304_0506_0708)
    rig.start(a64.LDR(0, 1), a64.HVC(1), X1=DATA, SCTLR_EL1=SCTLR | 1 << 25)
    assert rig.hvc() == 1
    assert rig.core.read("X0") == 0x0807_0605_0403_0201


def test_a_granule_that_is_not_there_is_4_kib() -> None:
    """TCR_EL1.TG0 = 64 KiB, which ID_AA64MMFR0_EL1 does not have: one of those it has is used (TCR_EL1.TG0)."""
    rig = user_rig(Rig())
    rig.core.write("TCR_EL1", TCR | 1 << 14)
    rig.memory.write(DATA, 0x77)
    rig.start(a64.LDR(0, 1), a64.HVC(1), X1=DATA)
    assert rig.hvc() == 1
    assert rig.core.read("X0") == 0x77


def test_unicorns_own_walk_has_64_kib_granules() -> None:
    rig = user_rig(Rig("unicorn"))
    rig.core.write("TCR_EL1", TCR | 1 << 14)
    rig.start(a64.LDR(0, 1), a64.HVC(1), X1=DATA)
    assert rig.run(rig.core.now + 100) != SYNC or rig.core.read("ESR_EL1") != 0  # not even its code is mapped


def test_the_contiguous_hint_makes_no_larger_entry() -> None:
    """Sixteen pages are sixteen entries, and a TLBI of one leaves the others."""
    rig = Rig()
    lower, _ = rig.mmu_on()
    for n in range(16):
        rig.map(lower, PAGE + 0xE000 + n * 4096, (OLD & -0x1_0000) + n * 4096 | S1_RW | 1 << 52, 3)
    before = int(rig.core.record.walks)
    loads = [word for n in range(16) for word in (a64.LDR(0, 1), a64.ADD(1, 1, 4095), a64.ADD(1, 1, 1))]
    rig.start(loads, a64.HVC(1), X1=PAGE + 0xE000)
    assert rig.run() == SYNC
    assert int(rig.core.record.walks) - before >= 16
