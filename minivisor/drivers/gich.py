"""EL2's side of GICH_LR<n>, for a board with a GICv2; `FORMATS` has the list registers of every generation.

    31  30   29:28  27:23     22:20  19:10                                   9:0
    HW  Grp  State  Priority  RES0   HW: PhysicalID; else EOI 19, CPUID 12:10 VirtualID

Source: IHI 0048B, 5.3.8 GICH_LRn.
"""

from __future__ import annotations

from minivisor.drivers.ich import decode_ich, encode_ich
from minivisor.stages import ListRegister

__all__ = ["FORMATS", "decode_list_register", "encode_list_register"]

HW, GROUP, EOI = 1 << 31, 30, 1 << 19


def encode_list_register(register: ListRegister) -> int:
    """GICH_LR<n> (IHI 0048B, 5.3.8). Empty ones keep no interrupt id."""
    if not register.state:
        return 0
    value = register.group << GROUP | register.state << 28 | register.priority >> 3 << 23 | register.intid
    if register.physical is not None:
        return value | HW | register.physical << 10
    return value | register.source << 10 | (EOI if register.eoi_maintenance else 0)


def decode_list_register(value: int) -> ListRegister:
    """What a GICH_LR<n> says. One that was completed keeps its interrupt id; one all zero was empty, or held SGI 0."""
    hardware = bool(value & HW)
    return ListRegister(
        state=value >> 28 & 3,
        intid=value & 0x3FF,
        priority=(value >> 23 & 0x1F) << 3,
        source=0 if hardware else value >> 10 & 7,
        physical=value >> 10 & 0x3FF if hardware else None,
        eoi_maintenance=not hardware and bool(value & EOI),
        group=value >> GROUP & 1,
    )


FORMATS = {2: (encode_list_register, decode_list_register), 3: (encode_ich, decode_ich)}
"""`Board.gic` -> to and from its list registers."""
