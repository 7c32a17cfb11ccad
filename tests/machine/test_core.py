"""The core as EL2 sees it: registers by name in any order, code that changes under it, what a return to a guest clears."""

from __future__ import annotations

import ctypes
import itertools
import random

import pytest

from minivisor.arch.encoding import REGISTERS
from minivisor.errors import EngineError
from minivisor.machine.core import HORIZON, Core
from minivisor.machine.hooks import fill_tlb
from minivisor.machine.memory import PhysicalMemory
from minivisor.machine.state import CP_NAMES, REG_NAMES
from tests.machine import a64
from tests.machine.rig import CODE, DATA, EL0T, EL1H, EL1T, GICV, HCR, RAM, S1_RW, SCTLR, SIZE, VECTORS, VTCR, Rig


@pytest.fixture(params=["minivisor", "unicorn"])
def rig(request: pytest.FixtureRequest) -> Rig:
    return Rig(request.param)


# ── registers by name ───────────────────────────────────────────────────────────────────────────────────────────────────

TIMERS = (
    "CNTVOFF_EL2",
    *(f"CNT{t}_{n}" for t, el in (("V", 0), ("P", 0), ("HP", 2)) for n in (f"CTL_EL{el}", f"CVAL_EL{el}")),
)
VECTOR_NAMES = tuple(f"V{n}" for n in range(32))
NAMES = tuple(name for name in REG_NAMES + CP_NAMES + TIMERS + VECTOR_NAMES if name != "SP")
LEGAL = {  # what a core can hold where not every bit exists, or where any bit would matter to the run
    "PC": CODE,
    "PSTATE": EL1T | 0x6000_0000,
    "VBAR_EL1": VECTORS,
    "SCTLR_EL1": SCTLR,
    "HCR_EL2": HCR,
    "VTCR_EL2": VTCR,
    "FPCR": 0x0700_0000,
    "FPSR": 0x0800_001F,
    "CPACR_EL1": 3 << 20,
    "MDSCR_EL1": 1 << 12,
    "SCR_EL3": 0x531,
    "MDCR_EL2": 1 << 6,
    "CPTR_EL2": 0x33FF,
    "CNTKCTL_EL1": 0x303,
    "CSSELR_EL1": 2,
    "CONTEXTIDR_EL1": 0x1234_5678,
    "TCR_EL1": 0x35_8019_0019,
    "VMPIDR_EL2": 0x8000_0001,
    "VPIDR_EL2": 0x410F_D083,
    "HPFAR_EL2": 0x1230,
    **{name: 2 for name in TIMERS if "CTL" in name},
}


def values(rig: Rig, seed: int) -> dict[str, int]:
    """A different value for every register; the VTTBR stays, so that code can run."""
    rng = random.Random(seed)
    found = {name: LEGAL.get(name, rng.getrandbits(128 if name in VECTOR_NAMES else 64)) for name in NAMES}
    return found | {"VTTBR_EL2": 1 << 48 | rig.stage2}


@pytest.mark.parametrize("seed", range(4))
def test_every_register_reads_back_what_was_written_in_any_order(rig: Rig, seed: int) -> None:
    wanted = values(rig, seed)
    order = list(wanted)
    random.Random(seed).shuffle(order)
    rig.load([a64.NOP, a64.HVC(1)])
    rig.core.code_changed()
    for name in order:
        rig.core.write(name, wanted[name])
    assert {name: rig.core.read(name) for name in NAMES} == wanted
    assert rig.core.read("SP") == wanted["SP_EL0"]
    assert rig.hvc() == 1
    wanted["PC"] += 8
    found = {name: rig.core.read(name) for name in NAMES}
    found["HCR_EL2"] &= ~(1 << 7)
    assert {name for name in NAMES if found[name] != wanted[name]} == set()


@pytest.mark.parametrize("order", list(itertools.permutations(("PSTATE", "SP_EL0", "SP_EL1"))))
@pytest.mark.parametrize("pstate", [EL0T, EL1T, EL1H])
def test_stack_pointers_go_to_their_banks_in_any_order(rig: Rig, pstate: int, order: tuple[str, ...]) -> None:
    wanted = {"PSTATE": pstate, "SP_EL0": 0x1000, "SP_EL1": 0x2000}
    for before in (EL1H, EL0T):
        rig.core.write("PSTATE", before)
        for name in order:
            rig.core.write(name, wanted[name])
        assert rig.read(*wanted) == tuple(wanted.values())
        assert rig.core.read("SP") == (0x2000 if pstate == EL1H else 0x1000)
    rig.load([0x910003E5, a64.SVC(1)])  # mov x5, sp
    rig.core.write("PC", CODE)
    assert rig.vector() == {EL0T: 0x400, EL1T: 0, EL1H: 0x200}[pstate]
    assert rig.read("X5", "SP_EL0", "SP_EL1") == (0x2000 if pstate == EL1H else 0x1000, 0x1000, 0x2000)


def test_the_guest_sees_what_el2_wrote_and_el2_what_the_guest_wrote(rig: Rig) -> None:
    """By the guest's own MRS and MSR, for each register it can reach."""
    names = [*REG_NAMES[REG_NAMES.index("ELR_EL1") :], "CONTEXTIDR_EL1", "CSSELR_EL1", "CNTKCTL_EL1", "SPSR_EL1"]
    names = [
        name for name in names if name in REGISTERS and name not in ("VBAR_EL1", "TTBR0_EL1", "TTBR1_EL1", "PAR_EL1")
    ]
    rig.core.write("CPACR_EL1", 3 << 20)
    for name in names:
        value = LEGAL.get(name, 0x1234_5678)
        rig.start(
            a64.mrs(2, name), a64.msr(name, 3), a64.ISB, a64.HVC(1), X3=value ^ 1 << 12 if name == "MDSCR_EL1" else 0
        )
        rig.core.write(name, value)
        assert rig.hvc() == 1
        assert rig.core.read("X2") == value, name
        assert rig.core.read(name) == 0, name


def test_an_unknown_register_is_one_line(rig: Rig) -> None:
    for use in (lambda: rig.core.read("X31"), lambda: rig.core.write("ESR_EL2", 1)):
        with pytest.raises(EngineError, match=r"core: no register named '(X31|ESR_EL2)'; names are the architecture's"):
            use()


def test_registers_the_core_does_not_have_read_zero_and_damage_nothing(rig: Rig) -> None:
    """AFSR0, AFSR1, AMAIR: Unicorn has no storage for them."""
    for name in ("AFSR0_EL1", "AFSR1_EL1", "AMAIR_EL1"):
        assert name not in NAMES
        rig.start(a64.msr(name, 3), a64.mrs(2, name), a64.HVC(1), X0=0xA0, X1=0xA1, X2=5, X3=(1 << 64) - 1)
        assert rig.hvc() == 1
        assert rig.read("X0", "X1", "X2", "X3") == (0xA0, 0xA1, 0, (1 << 64) - 1)


def test_vector_registers_survive_another_guests(rig: Rig) -> None:
    rig.core.write("CPACR_EL1", 3 << 20)
    rig.core.write("V5", 0x1111_2222_3333_4444_5555_6666_7777_8888)
    rig.start(0x4EA51CA6, a64.HVC(1))  # mov v6.16b, v5.16b
    assert rig.hvc() == 1
    assert rig.core.read("V6") == 0x1111_2222_3333_4444_5555_6666_7777_8888


# ── between EL2 and the guest ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("leave", [False, True], ids=["undisturbed", "left and returned to"])
def test_a_return_to_the_guest_clears_the_exclusive_monitor(rig: Rig, leave: bool) -> None:
    rig.start(a64.LDXR(2, 1), a64.HVC(1) if leave else a64.NOP, a64.STXR(3, 4, 1), a64.HVC(2), X1=DATA, X3=9, X4=0x55)
    rig.memory.write(DATA, 0)
    if leave:
        assert rig.hvc() == 1
    assert rig.hvc() == 2
    assert rig.core.read("X3") == leave
    assert rig.memory.read(DATA) == (0 if leave else 0x55)


def test_a_horizon_also_clears_it(rig: Rig) -> None:
    """Whatever the reason: the other persona may have run in between."""
    rig.start(a64.LDXR(2, 1), a64.B(4), a64.NOP, a64.STXR(3, 4, 1), a64.HVC(2), X1=DATA, X4=0x55)
    assert rig.run(rig.core.now + 1) == HORIZON
    assert rig.hvc() == 2
    assert rig.core.read("X3") == 1


def test_code_the_host_writes_needs_to_be_announced(rig: Rig) -> None:
    rig.start(a64.HVC(1))
    assert rig.hvc() == 1
    rig.load([a64.HVC(2)])
    rig.core.write("PC", CODE)
    assert rig.hvc() == 1  # the cached block: a loader or DMA must say what it did
    rig.core.code_changed()
    rig.core.write("PC", CODE)
    assert rig.hvc() == 2


def test_code_that_a_device_writes_runs_and_other_code_is_kept(rig: Rig) -> None:
    rig.start(a64.HVC(1))
    rig.start(a64.HVC(3), at=CODE + 0x1000)
    assert rig.hvc() == 3
    rig.core.write("PC", CODE)
    assert rig.hvc() == 1
    rig.load([a64.HVC(2)])
    rig.load([a64.HVC(4)], CODE + 0x1000)
    rig.core.written(CODE - 8, 12)  # two pages, the second with code
    rig.core.written(DATA, 4096)
    rig.core.write("PC", CODE)
    assert rig.hvc() == 2
    rig.core.write("PC", CODE + 0x1000)
    assert rig.hvc() == (4 if rig.mmu == "unicorn" else 3)  # nobody said that page was written
    for n in range(5, 40):  # again and again, and over more pages than are remembered one by one
        rig.load([a64.HVC(n)])
        rig.core.written(RAM, SIZE)
        rig.core.write("PC", CODE)
        assert rig.hvc() == n


@pytest.mark.parametrize("invalidate", ["IC IVAU", "IC IALLU", "IC IALLUIS"])
def test_code_written_under_another_address_runs_after_ic(rig: Rig, invalidate: str) -> None:
    """A JIT with two mappings. Unicorn tracks dirty pages by virtual address: a store through an entry that it had before
    the page held code goes unnoticed, and the old code would run."""
    lower, _ = rig.mmu_on()
    alias, target = 0x1_0000_0000, CODE + 0x1000
    rig.map(lower, alias, target | S1_RW, 3)
    words = [a64.STRW(2, 1), a64.sys("DC CVAU", 1), a64.DSB]
    words += [a64.sys(invalidate, 4 if invalidate == "IC IVAU" else 31), a64.DSB, a64.ISB, a64.BR(4)]
    rig.start(words, X1=alias, X4=target)
    for number in (0x11, 0x22, 0x33):
        rig.core.write("X2", a64.HVC(number))
        rig.core.write("PC", CODE)
        before = rig.core.retired
        assert rig.hvc() == number
        assert rig.core.retired - before == 8


def test_code_at_reads_through_the_guests_translation_and_marks_nothing(rig: Rig) -> None:
    lower, _ = rig.mmu_on()
    rig.start(a64.NOP, a64.HVC(0x77))
    alias = 0x1_0000_0000
    rig.map(lower, alias, CODE | S1_RW, 3)
    fills, walks = int(rig.core.record.fills), int(rig.core.record.walks)
    assert (rig.core.code_at(CODE + 4), rig.core.code_at(alias + 4)) == (a64.HVC(0x77), a64.HVC(0x77))
    assert (rig.core.code_at(0x2_0000_0000), rig.core.code_at(1 << 60)) == (0, 0)
    assert not rig.core.record.tlb_context.any()
    assert (int(rig.core.record.fills), int(rig.core.record.walks)) == (fills, walks)


def test_what_the_engine_caches_is_writable_or_executable_and_never_both() -> None:
    """A page that is both would keep every store on Unicorn's slow path (3.3 times slower guests)."""
    rig = Rig()
    rig.start(a64.HVC(1))
    assert rig.hvc() == 1
    kind = ctypes.CFUNCTYPE(ctypes.c_uint32, *[ctypes.c_uint64] * 2, ctypes.c_uint32, *[ctypes.c_uint64] * 2)
    fill, result = kind(fill_tlb.address), (ctypes.c_uint64 * 2)()
    for access, permissions in ((16, 3), (17, 3), (18, 5)):  # UC_MEM_READ, WRITE, FETCH; read 1, write 2, execute 4
        assert fill(0, DATA + 0x123, access, ctypes.addressof(result), rig.core.address) == 1
        assert tuple(result) == (DATA, permissions)


def test_identification_registers_can_be_el2s(rig: Rig) -> None:
    rig.start(
        a64.mrs(2, "MIDR_EL1"), a64.mrs(3, "MPIDR_EL1"), a64.HVC(1), VPIDR_EL2=0x1234_5678, VMPIDR_EL2=0x8000_0003
    )
    assert rig.hvc() == 1
    assert rig.read("X2", "X3") == (0x1234_5678, 0x8000_0003)


def test_two_cores_share_nothing() -> None:
    """One engine a core: registers, memory, time and the TLB are each one's own."""
    rigs = [Rig(), Rig()]
    for number, rig in enumerate(rigs):
        rig.memory.write(DATA, number)
        rig.start(a64.LDR(0, 1), a64.HVC(number), X1=DATA)
    assert [rig.hvc() for rig in rigs] == [0, 1]
    assert [rig.core.read("X0") for rig in rigs] == [0, 1]
    rigs[0].core.skip(1000)
    assert rigs[1].core.now == 2


def test_no_system_instruction_stops_the_guest_or_divides_the_engines() -> None:
    """Encodings around the ones our hooks take: executed, undefined or trapped, but never repeated for ever, and the same
    on both engines. (Skipping in a hook what Unicorn does not know leaves PC where it is.)"""
    rigs = [Rig("minivisor"), Rig("unicorn")]
    encodings = [
        (op0, op1, crn, crm, op2)
        for op0, crns in ((1, (7, 8)), (2, (1, 8, 14)), (3, (14,)))
        for op1, crn, crm, op2 in itertools.product((0, 3), crns, range(16), range(8))
    ]
    for encoding in encodings:
        for word in (a64.mrs(1, encoding), a64.msr(encoding, 1)):
            for pstate in (EL1H, EL0T):
                told = [outcome(rig, word, pstate) for rig in rigs]
                assert told[0] == told[1], (encoding, hex(word), hex(pstate))


def outcome(rig: Rig, word: int, pstate: int) -> tuple[int, ...]:
    """ESR at EL2 and EL1, where the guest is, and how many instructions that took."""
    for timer in ("CNTV", "CNTP"):
        rig.core.write(f"{timer}_CTL_EL0", 0)
    rig.start(word, a64.SVC(1), pstate=pstate, X1=0, ESR_EL1=0)
    before = rig.core.retired
    rig.exit()
    return rig.core.syndrome[0], *rig.read("ESR_EL1", "PC"), rig.core.retired - before


def test_a_core_has_one_to_sixteen_list_registers() -> None:
    memory = PhysicalMemory(RAM, 4096)
    for count in (0, 17):
        with pytest.raises(EngineError, match=f"core: {count} list registers"):
            Core(memory, GICV, list_registers=count)
    assert int(Core(memory, GICV, list_registers=16).record.lr_count) == 16


@pytest.mark.parametrize("seed", range(6))
def test_many_at_once_are_the_same_as_one_by_one(rig: Rig, seed: int) -> None:
    """Both ways on one core, across changes of the stack pointer in use; and what was written is what the guest finds."""
    wanted = values(rig, seed)
    rig.load([a64.NOP, a64.HVC(1)])
    rig.core.code_changed()
    rig.core.write_many(wanted)
    assert {name: rig.core.read(name) for name in NAMES} == wanted == rig.core.read_many(NAMES)
    assert rig.hvc() == 1
    found = rig.core.read_many(NAMES)
    assert found == {name: rig.core.read(name) for name in NAMES}
    assert {name for name in NAMES if found[name] != wanted[name]} <= {"PC", "HCR_EL2"}
