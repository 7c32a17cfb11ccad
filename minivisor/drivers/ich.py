"""EL2's side of ICH_LR<n>_EL2, for a board with a GICv3: what `interrupts` says in GICH_LR words, in the newer ones.

A guest that uses the legacy interface page knows SGIs by their sender: it is in vINTID[12:10] (IHI 0069, ICH_LR<n>_EL2).
"""

from __future__ import annotations

from minivisor.stages import ListRegister

__all__ = ["decode_ich", "encode_ich"]

STATE, HW, GROUP, PRIORITY, PHYSICAL, EOI, SOURCE = 62, 1 << 61, 60, 48, 32, 1 << 41, 10


def encode_ich(register: ListRegister) -> int:
    """ICH_LR<n>_EL2 (IHI 0069). Empty ones keep no interrupt id."""
    if not register.state:
        return 0
    value = register.state << STATE | register.group << GROUP | (register.priority & 0xF8) << PRIORITY | register.intid
    if register.physical is not None:
        return value | HW | register.physical << PHYSICAL
    return value | register.source << SOURCE | (EOI if register.eoi_maintenance else 0)


def decode_ich(value: int) -> ListRegister:
    """What an ICH_LR<n>_EL2 says. One that was completed keeps its interrupt id."""
    hardware = bool(value & HW)
    return ListRegister(
        state=value >> STATE & 3,
        intid=value & 0x3FF,
        priority=value >> PRIORITY & 0xFF,
        source=0 if hardware else value >> SOURCE & 7,
        physical=value >> PHYSICAL & 0x1FFF if hardware else None,
        eoi_maintenance=not hardware and bool(value & EOI),
        group=value >> GROUP & 1,
    )
