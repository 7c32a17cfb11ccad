"""List registers in both generations' form: GICv3's words say what GICv2's say, and read back as they were written."""

from __future__ import annotations

import random

import pytest

from minivisor.arch.gic import GICH_LR, GICH_LR_SOFTWARE
from minivisor.arch.gicv3 import ICH_HCR_EL2, ICH_LR_EL2, ICH_LR_EL2_SOFTWARE, ICH_VTR_EL2
from minivisor.drivers.gich import decode_list_register, encode_list_register
from minivisor.drivers.ich import decode_ich, encode_ich
from minivisor.errors import EngineError
from minivisor.machine.board import Machine
from minivisor.machine.state import WORD
from minivisor.stages import ListRegister


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine("b")


def some(rng: random.Random) -> ListRegister:
    hardware, sgi = rng.random() < 0.4, rng.random() < 0.4
    return ListRegister(
        state=rng.randrange(1, 4),
        intid=rng.randrange(16) if sgi and not hardware else rng.randrange(16, 1020),
        priority=rng.randrange(0, 256, 8),
        source=rng.randrange(8) if sgi and not hardware else 0,
        physical=rng.randrange(16, 1020) if hardware else None,
        eoi_maintenance=not hardware and rng.random() < 0.5,
        group=rng.randrange(2),
    )


def test_ich_words_by_the_manuals_fields() -> None:
    hardware = encode_ich(ListRegister(2, 27, 0xA0, physical=30))
    assert hardware == int(ICH_LR_EL2.of(State=2, HW=1, Priority=0xA0, pINTID=30, vINTID=27))
    sgi = encode_ich(ListRegister(1, 5, 0x18, source=6, eoi_maintenance=True))
    assert sgi == int(ICH_LR_EL2_SOFTWARE.of(State=1, Priority=0x18, EOI=1, vINTID=6 << 10 | 5))


def test_the_silicon_keeps_what_gicv2_would_have_been_told(machine: Machine) -> None:
    """A thousand list registers, sixteen at a time: EL2 speaks ICH_LR, the interface keeps the bits of GICH_LR."""
    rng = random.Random(5)
    for _ in range(64):
        registers = [some(rng) for _ in range(15)] + [ListRegister()]
        words = [encode_ich(register) for register in registers]
        machine.virtual_interface.write_list_registers(words)
        kept = machine.core.words[WORD["lr"] : WORD["lr"] + 16].tolist()
        assert [word & 0xFFFF_FFFF for word in kept] == [encode_list_register(register) for register in registers]
        assert machine.virtual_interface.read_list_registers() == words
        assert [decode_ich(word) for word in words] == [decode_list_register(word & 0xFFFF_FFFF) for word in kept]
        assert [decode_ich(word) for word in words[:15]] == registers[:15]


def test_group_and_bits_that_are_not_there(machine: Machine) -> None:
    """Five priority bits, and sixteen bits of interrupt id: six more than a GICH_LR has room for, kept above it."""
    interface, at = machine.virtual_interface, WORD["lr"]
    group = int(ICH_LR_EL2.of(State=1, Group=1, Priority=0xFF, vINTID=40))
    interface.write_list_registers([group, (1 << 64) - 1, *[0] * 14])
    assert machine.core.words[at] == int(GICH_LR_SOFTWARE.of(State=1, Grp1=1, Priority=0x1F, VirtualID=40))
    full = GICH_LR.of(State=3, HW=1, Grp1=1, Priority=0x1F, PhysicalID=0x3FF, VirtualID=0x3FF)
    assert machine.core.words[at + 1] & 0xFFFF_FFFF == int(full)
    everything = ICH_LR_EL2.of(State=3, HW=1, Group=1, Priority=0xF8, pINTID=0x1FFF, vINTID=0xFFFF)
    assert interface.read_list_registers()[1] == int(everything)
    interface.write_list_registers([0] * 16)


# ── system registers by name ─────────────────────────────────────────────────────────────────────────────────────────


def test_list_registers_by_name_are_the_same_ones(machine: Machine) -> None:
    core, rng = machine.core, random.Random(69)
    words = [encode_ich(some(rng)) | rng.getrandbits(6) << 10 for _ in range(16)]
    for number, word in enumerate(words):
        core.write(f"ICH_LR{number}_EL2", word)
    assert [core.read(f"ICH_LR{number}_EL2") for number in range(16)] == words
    assert machine.virtual_interface.read_list_registers() == words
    machine.virtual_interface.write_list_registers([0] * 16)


def test_control_registers_keep_the_bits_they_have(machine: Machine) -> None:
    """IHI 0069, by hand: EOIcount 31:27, TDIR 14, TALL1, TALL0, TC 12:10, conditions 7:0; of VPMR five bits."""
    core = machine.core
    for name, bits in (
        ("ICH_HCR_EL2", 0xF800_5CFF),
        ("ICH_VMCR_EL2", 0xF8FC_021F),
        ("ICH_AP0R0_EL2", 0xFFFF_FFFF),
        ("ICH_AP1R0_EL2", 0xFFFF_FFFF),
        ("ICC_SRE_EL1", 1),
    ):
        core.write(name, (1 << 64) - 1)
        assert core.read(name) == bits
        core.write(name, 0)
        assert core.read(name) == 0


def test_what_silicon_has_to_say_is_read_only(machine: Machine) -> None:
    core = machine.core
    kind = ICH_VTR_EL2(core.read("ICH_VTR_EL2"))
    assert (kind.PRIbits, kind.PREbits, kind.IDbits, kind.ListRegs) == (4, 4, 0, 15)
    assert (kind.A3V, kind.nV4, kind.TDS, kind.SEIS) == (1, 1, 1, 0)
    core.write("ICH_HCR_EL2", int(ICH_HCR_EL2.of(En=1, NPIE=1)))
    core.write("ICH_LR1_EL2", int(ICH_LR_EL2_SOFTWARE.of(State=1, vINTID=40)))
    core.write("ICH_LR2_EL2", int(ICH_LR_EL2_SOFTWARE.of(State=0, EOI=1, vINTID=41)))  # completed
    core.write("ICH_LR3_EL2", int(ICH_LR_EL2.of(State=0, HW=1, pINTID=1 << 9, vINTID=42)))  # the same bit, no EOI
    core.write("ICH_LR4_EL2", int(ICH_LR_EL2_SOFTWARE.of(State=2, EOI=1, vINTID=43)))
    for name, value in (("ICH_EISR_EL2", 1 << 2), ("ICH_ELRSR_EL2", 0xFFFF & ~0b10110), ("ICH_MISR_EL2", 1)):
        core.write(name, (1 << 64) - 1)
        assert core.read(name) == value
    core.write("ICH_LR1_EL2", 0)
    assert core.read("ICH_MISR_EL2") == 1 | 1 << 3  # and nothing is pending
    machine.virtual_interface.write_list_registers([0] * 16)
    core.write("ICH_HCR_EL2", 0)


@pytest.mark.parametrize("name", ["ICH_LR16_EL2", "ICH_LR4_EL2", "ICH_LR_EL2", "ICH_AP0R1_EL2", "ICH_VTR_EL1", "ICC_IAR1_EL1"])
def test_registers_that_this_board_has_not(name: str) -> None:
    core = Machine("b", list_registers=4).core
    with pytest.raises(EngineError, match=name):
        core.read(name)
    with pytest.raises(EngineError, match=name):
        core.write(name, 0)
    with pytest.raises(EngineError, match="ICH_VTR_EL2"):
        Machine("a").core.read("ICH_VTR_EL2")
