"""List registers in both generations' form: GICv3's words say what GICv2's say, and read back as they were written."""

from __future__ import annotations

import random

import pytest

from minivisor.arch.gic import GICH_LR, GICH_LR_SOFTWARE
from minivisor.arch.gicv3 import ICH_LR_EL2, ICH_LR_EL2_SOFTWARE
from minivisor.hypervisor.ich import decode_ich, encode_ich
from minivisor.hypervisor.interrupts import decode_list_register, encode_list_register
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
        assert kept == [encode_list_register(register) for register in registers]
        assert machine.virtual_interface.read_list_registers() == words
        assert [decode_ich(word) for word in words] == [decode_list_register(word) for word in kept]
        assert [decode_ich(word) for word in words[:15]] == registers[:15]


def test_group_and_bits_that_are_not_there(machine: Machine) -> None:
    interface, at = machine.virtual_interface, WORD["lr"]
    group = int(ICH_LR_EL2.of(State=1, Group=1, Priority=0xFF, vINTID=40))
    interface.write_list_registers([group, (1 << 64) - 1, *[0] * 14])
    assert machine.core.words[at] == int(GICH_LR_SOFTWARE.of(State=1, Grp1=1, Priority=0x1F, VirtualID=40))
    full = GICH_LR.of(State=3, HW=1, Grp1=1, Priority=0x1F, PhysicalID=0x3FF, VirtualID=0x3FF)
    assert machine.core.words[at + 1] == int(full)
    everything = ICH_LR_EL2.of(State=3, HW=1, Group=1, Priority=0xF8, pINTID=0x3FF, vINTID=0x3FF)
    assert interface.read_list_registers()[1] == int(everything)
    interface.write_list_registers([0] * 16)
