"""Code that changes under a core runs as it is now, on both engines: through an alias, by a device, by a former owner.

Unicorn keeps translations of code by physical page and notices most stores to such a page, but not those through another
virtual address, from the host, or under another VMID. Each test here runs old code first, so that there is something stale.
"""

from __future__ import annotations

import numpy as np
import pytest

from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import RAM as GUEST_RAM
from minivisor.hypervisor.persona import PersonaSettings
from minivisor.machine.board import Machine
from minivisor.platform.image import Image
from tests.machine import a64
from tests.machine.rig import AF, CODE, DATA, RAM, S1_RW, S2_RWX, SIZE, XN, Rig

PAGE = 0x1000
TARGET, ALIAS = CODE + PAGE, 0x1_0000_0000


@pytest.fixture(params=["minivisor", "unicorn"])
def rig(request: pytest.FixtureRequest) -> Rig:
    return Rig(request.param)


def stored(where: int, instruction: str = "IC IVAU") -> list[int]:
    """Store W2 at X1, clean, invalidate as the manual asks (DDI 0487, B2.4.4), and run it where X4 says."""
    operand = {"X1": 1, "X4": 4}[f"X{where}"] if instruction == "IC IVAU" else 31
    words = [a64.STRW(2, 1), a64.sys("DC CVAU", 1), a64.DSB, a64.sys(instruction, operand)]
    return [*words, a64.DSB, a64.ISB, a64.BR(4)]


# ── through an alias ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("instruction", ["IC IVAU", "IC IALLU", "IC IALLUIS"])
@pytest.mark.parametrize("at", [CODE, ALIAS + PAGE], ids=["from another page", "from the page itself"])
def test_code_written_through_an_alias(rig: Rig, instruction: str, at: int) -> None:
    """A JIT with two mappings; the second time its own code lies in the very page that it writes."""
    lower, _ = rig.mmu_on()
    rig.map(lower, ALIAS, TARGET | S1_RW, 3)
    rig.map(lower, ALIAS + PAGE, TARGET | AF | 1 << 7, 3)
    rig.start(stored(4, instruction), X1=ALIAS + 0x800, X4=TARGET + 0x800)
    rig.load(stored(4, instruction), TARGET)
    rig.core.code_changed()
    for number in (0x11, 0x22, 0x33):
        rig.core.write("X2", a64.HVC(number))
        rig.core.write("PC", at)
        assert rig.hvc() == number


def test_code_in_the_middle_of_a_loop_that_is_running(rig: Rig) -> None:
    """The loop patches the instruction that it is about to run, through the alias, each time round."""
    lower, _ = rig.mmu_on()
    rig.map(lower, ALIAS, CODE | S1_RW, 3)
    loop = [a64.STRW(2, 1), a64.sys("DC CVAU", 1), a64.DSB, a64.sys("IC IVAU", 4), a64.DSB, a64.ISB]
    patched = len(loop)
    loop += [a64.NOP, a64.ADD(2, 2, 1 << 10), a64.SUBS(3, 3, 1)]  # the next one adds 1 more to X5
    rig.start(loop, a64.CBNZ(3, -4 * len(loop)), a64.HVC(1), X1=ALIAS + 4 * patched, X2=a64.ADD(5, 5, 1), X3=5, X5=0)
    rig.core.write("X4", CODE + 4 * patched)
    assert rig.hvc() == 1
    assert rig.core.read("X5") == 1 + 2 + 3 + 4 + 5


# ── by a device ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_code_that_a_device_wrote(rig: Rig) -> None:
    """A disk read into a page that held a program: the bus master says what it wrote, and no more is dropped than that."""
    rig.start(a64.BR(1), X1=TARGET)
    for number in (0x11, 0x22, 0x33):
        rig.load([a64.HVC(number)], TARGET)
        rig.core.written(TARGET, 4)
        rig.core.write("PC", CODE)
        assert rig.hvc() == number


def test_a_device_that_writes_across_pages(rig: Rig) -> None:
    rig.start(a64.BR(1), X1=TARGET + PAGE - 4)
    for number in (0x11, 0x22):
        rig.load([a64.ADD(7, 7, number), a64.HVC(number)], TARGET + PAGE - 4)
        rig.core.written(TARGET + PAGE - 4, 8)
        rig.core.write("PC", CODE)
        rig.core.write("X7", 0)
        assert rig.hvc() == number
        assert rig.core.read("X7") == number


def test_a_device_that_writes_data_costs_the_core_nothing() -> None:
    rig = Rig()
    rig.start(a64.LDR(0, 1), a64.HVC(1), X1=DATA)
    assert rig.hvc() == 1
    fills = int(rig.core.record.fills)
    for n in range(100):
        rig.core.written(DATA + n * 64, 64)
        rig.core.write("PC", CODE)
        assert rig.hvc() == 1
    assert int(rig.core.record.fills) == fills  # neither Unicorn's TLB nor its translations were dropped
    assert rig.core.record.code_pages and rig.core._code_pages.any()


# ── by a former owner ────────────────────────────────────────────────────────────────────────────────────────────────


def second_stage(rig: Rig, shared: int) -> int:
    """Another persona's stage 2: RAM one to one, its own code page for `CODE`, and the page that changes hands."""
    root = rig.table()
    for ipa in range(RAM, RAM + SIZE, 2 << 20):
        if ipa != RAM:
            rig.map(root, ipa, ipa | S2_RWX, 2)
    rig.map(root, CODE, DATA + PAGE | S2_RWX, 3)
    rig.map(root, CODE + 2 * PAGE, shared | S2_RWX, 3)
    return root


def test_a_page_that_changes_owner_runs_the_new_owners_code(rig: Rig) -> None:
    """VMID 1 ran code from a page; now it is VMID 2's, at another IPA, who stores its own code; then VMID 1 has it back."""
    mine, theirs = rig.stage2, second_stage(rig, TARGET)
    rig.load([*stored(4), a64.NOP], DATA + PAGE)
    rig.start(stored(4))
    rig.core.code_changed()
    for vmid, number, page in ((1, 0x11, TARGET), (2, 0x22, CODE + 2 * PAGE), (1, 0x33, TARGET), (2, 0x44, CODE + 2 * PAGE)):
        rig.use_vmid(vmid, mine if vmid == 1 else theirs)
        rig.core.tlbi_vmid(vmid)
        for name, value in (("PC", CODE), ("X1", page), ("X2", a64.HVC(number)), ("X4", page)):
            rig.core.write(name, value)
        assert rig.hvc() == number


def program(letter: str) -> Image:
    """A flat guest: one letter to the UART, then PSCI SYSTEM_OFF."""
    words = [*a64.MOV(1, 0x0900_0000), *a64.MOV(2, ord(letter)), a64.STRW(2, 1), *a64.MOV(0, 0x8400_0008), a64.HVC(0)]
    code, entry = np.array(words, np.uint32).tobytes(), GUEST_RAM + 0x8_0000
    return Image(letter, entry, ((entry, code, len(code)),), tree=GUEST_RAM)


@pytest.mark.parametrize("mmu", ["minivisor", "unicorn"])
def test_a_new_persona_in_the_ram_of_an_old_one(mmu: str) -> None:
    """The same physical pages, the same virtual addresses, another program, three times over; and one restarted."""
    hypervisor = Hypervisor(Machine("a", mmu))
    places, said = set(), ""
    for letter in "abca":
        persona = hypervisor.add(PersonaSettings("guest", memory=4 << 20), program(letter))
        hypervisor.run(hypervisor.now + 100_000)
        places.add(persona.pa)
        said += persona.console.decode()
        if letter == "c":
            persona.image = program("C")
            hypervisor.start(persona)
            hypervisor.run(hypervisor.now + 100_000)
            assert persona.console.decode() == "cC"
        hypervisor.remove(persona)
    assert said == "abca" and len(places) == 1


def test_never_executed_pages_stay_never_executed(rig: Rig) -> None:
    """A page that is data for its new owner (XN) is not run, whatever was translated from it before."""
    lower, _ = rig.mmu_on()
    entry = rig.map(lower, ALIAS, TARGET | AF | 1 << 7, 3)
    rig.load([a64.HVC(5)], TARGET)
    rig.start(a64.BR(4), X4=ALIAS)
    assert rig.hvc() == 5
    rig.memory.write(entry, TARGET | S1_RW | XN | 1 << 53 | 3)
    words = [a64.sys("TLBI VAE1", 1), a64.DSB, a64.ISB, a64.BR(4)]
    rig.start(words, at=CODE + 0x100, X1=ALIAS >> 12, X4=ALIAS)
    assert rig.vector() == 0x200
    assert rig.core.read("ESR_EL1") >> 26 == 0x21
