"""GICv3's virtual CPU interface: ICC_* as EL1 has them with HCR_EL2.IMO and FMO set, which the manual calls ICV_*.

    guest: MRS x0, ICC_IAR1_EL1 ─► the engine has no such register ─► UNDEFINED ─► `access_icv` ─► next instruction, no exit

They work on the list registers that `gicv` serves to a guest with a GICC page: what is pending, masked, running and counted
is decided there. What differs is what a guest sees. An interrupt is known by its id alone, each group has registers and
active priorities of its own, Group 0 is the FIQ. An EOIR of the other group drops the priority and deactivates nothing.

Three accesses never stay here: software generated interrupts (ICC_SGI1R, ICC_ASGI1R, ICC_SGI0R) leave the list registers'
world and always trap to EL2; ICH_HCR_EL2.TC, TALL0, TALL1 and TDIR trap the others by group. `core.icc_sre` is
ICC_SRE_EL1.SRE: without it every ICC_* is UNDEFINED, as on a board without GICv3, so that no guest can tell the two apart
(the manual would send EL1 to itself with EC 0x18 instead).

Source: IHI 0069, "ICV_*_EL1" registers and the pseudocode of VirtualReadIAR1, VirtualWriteEOIR1 and VirtualWriteDIR.
"""

from __future__ import annotations

import numpy as np

from minivisor.arch.encoding import REGISTERS
from minivisor.machine.gicv import (
    acknowledge,
    count_completion,
    deactivate,
    drop,
    group_priority,
    highest,
    running_priority,
    signalled,
)
from minivisor.machine.hot import hot
from minivisor.machine.registers import read_one, write_one

__all__ = ["DONE", "TRAPPED", "access_icv", "trapped_iss"]

ZERO, ONE, TWO, THREE = (np.uint64(n) for n in range(4))
UNDEFINED, DONE, TRAPPED = ZERO, ONE, TWO
SPURIOUS, FIRST_SPECIAL, FIRST_LPI = np.uint64(1023), np.uint64(1020), np.uint64(8192)
NONE, IDLE, XZR = np.uint64(0xFFFF), np.uint64(0xFF), np.uint64(31)
ACTIVE, ACTIVE_PRIORITIES = np.uint64(2 << 28), np.uint64(0xFFFF_FFFF)
EOI_MODE, CBPR, SEVEN = np.uint64(1 << 9), np.uint64(1 << 4), np.uint64(7)  # ICH_VMCR_EL2
VBPR0, VBPR1, VPMR = np.uint64(21), np.uint64(18), np.uint64(0xF8)
TC, TALL0, TALL1, TDIR = (np.uint64(1 << bit) for bit in (10, 11, 12, 14))  # ICH_HCR_EL2
CTLR_FIXED = np.uint64(1 << 15 | 4 << 8)  # ICC_CTLR_EL1: A3V, PRIbits of five, IDbits of sixteen
SRE_FIXED = np.uint64(7)  # ICC_SRE_EL1: SRE, DFB, DIB; there is no bypass and no way back
MRS_OR_MSR, MRS_MASK, READ = np.uint64(0xD510_0000), np.uint64(0xFFD0_0000), np.uint64(1 << 21)


def _key(name: str) -> np.uint64:
    """Bits 20:5 of an MRS or MSR of this register."""
    op0, op1, crn, crm, op2 = REGISTERS[name]
    return np.uint64(op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2)


PMR, IAR0, EOIR0, HPPIR0, BPR0, AP0R0, IGRPEN0 = (
    _key(f"ICC_{name}_EL1") for name in ("PMR", "IAR0", "EOIR0", "HPPIR0", "BPR0", "AP0R0", "IGRPEN0")
)
IAR1, EOIR1, HPPIR1, BPR1, AP1R0, IGRPEN1 = (
    _key(f"ICC_{name}_EL1") for name in ("IAR1", "EOIR1", "HPPIR1", "BPR1", "AP1R0", "IGRPEN1")
)
DIR, RPR, CTLR, SRE, SGI1R, ASGI1R, SGI0R = (
    _key(f"ICC_{name}_EL1") for name in ("DIR", "RPR", "CTLR", "SRE", "SGI1R", "ASGI1R", "SGI0R")
)


@hot
def _group(lr):  # type: ignore[no-untyped-def]
    return (lr >> np.uint64(30)) & ONE


@hot
def _identifier(lr):  # type: ignore[no-untyped-def]
    """vINTID: ten bits where GICv2 has them, six more above (see `gich`)."""
    return (lr & np.uint64(0x3FF)) | ((lr >> np.uint64(32)) & np.uint64(0x3F)) << np.uint64(10)


@hot
def _read_iar(core, group):  # type: ignore[no-untyped-def]
    index = signalled(core)
    if index == NONE or _group(core.lr[index]) != group:
        return SPURIOUS
    identifier = _identifier(core.lr[index])
    acknowledge(core, index)
    return identifier


@hot
def _read_hppir(core, group):  # type: ignore[no-untyped-def]
    """The most urgent pending one of an enabled group, if it is of this one; neither mask nor running priority matter."""
    index = highest(core)
    return _identifier(core.lr[index]) if index != NONE and _group(core.lr[index]) == group else SPURIOUS


@hot
def _active(core, identifier):  # type: ignore[no-untyped-def]
    for index in range(core.lr_count):
        if core.lr[index] & ACTIVE != ZERO and _identifier(core.lr[index]) == identifier:
            return np.uint64(index)
    return NONE


@hot
def _special(identifier):  # type: ignore[no-untyped-def]
    return identifier >= FIRST_SPECIAL and identifier <= SPURIOUS


@hot
def _end(core, value, group):  # type: ignore[no-untyped-def]
    """EOIR of one group: the priority drops first; then the interrupt must be of that group and priority to be completed."""
    identifier = value & np.uint64(0xFF_FFFF)
    if _special(identifier):
        return
    dropped = drop(core)
    if dropped == IDLE:
        return
    split, index = core.gich_vmcr & EOI_MODE != ZERO, _active(core, identifier)
    if index == NONE:
        if not split:
            count_completion(core, ONE)
        return
    lr = core.lr[index]
    if _group(lr) == group and group_priority(core, lr) == dropped and (not split or identifier >= FIRST_LPI):
        deactivate(core, index)


@hot
def _write_dir(core, value):  # type: ignore[no-untyped-def]
    """DIR of what EOIR has dropped. LPIs have no active state to end."""
    identifier = value & np.uint64(0xFF_FFFF)
    if core.gich_vmcr & EOI_MODE == ZERO or identifier >= FIRST_SPECIAL:
        return
    index = _active(core, identifier)
    if index == NONE:
        count_completion(core, ONE)
    else:
        deactivate(core, index)


@hot
def _read_bpr1(core):  # type: ignore[no-untyped-def]
    """With CBPR, Group 0's plus one, saturated."""
    vmcr = core.gich_vmcr
    if vmcr & CBPR != ZERO:
        return min(max((vmcr >> VBPR0) & SEVEN, TWO) + ONE, SEVEN)
    return max((vmcr >> VBPR1) & SEVEN, THREE)


@hot
def _read(core, key):  # type: ignore[no-untyped-def]
    """MRS: (whether there is such a register to read, its value)."""
    vmcr = core.gich_vmcr
    if key == IAR1 or key == IAR0:
        return True, _read_iar(core, ONE if key == IAR1 else ZERO)
    if key == HPPIR1 or key == HPPIR0:
        return True, _read_hppir(core, ONE if key == HPPIR1 else ZERO)
    if key == PMR:
        return True, (vmcr >> np.uint64(24)) & VPMR
    if key == RPR:
        return True, running_priority(core)
    if key == BPR0:
        return True, max((vmcr >> VBPR0) & SEVEN, TWO)
    if key == BPR1:
        return True, _read_bpr1(core)
    if key == CTLR:
        return True, CTLR_FIXED | ((vmcr >> np.uint64(9)) & ONE) << ONE | ((vmcr >> np.uint64(4)) & ONE)
    if key == IGRPEN0 or key == IGRPEN1:
        return True, (vmcr >> (ONE if key == IGRPEN1 else ZERO)) & ONE
    if key == AP0R0:
        return True, core.ich_ap0r
    if key == AP1R0:
        return True, core.gich_apr
    return key == SRE, SRE_FIXED


@hot
def _put(core, mask, value):  # type: ignore[no-untyped-def]
    """Bits of ICH_VMCR_EL2."""
    core.gich_vmcr = (core.gich_vmcr & ~mask) | (value & mask)


@hot
def _write(core, key, value):  # type: ignore[no-untyped-def]
    """MSR: whether there is such a register to write."""
    if key == EOIR1 or key == EOIR0:
        _end(core, value, ONE if key == EOIR1 else ZERO)
    elif key == DIR:
        _write_dir(core, value)
    elif key == PMR:
        _put(core, np.uint64(0xF800_0000), value << np.uint64(24))
    elif key == BPR0:
        _put(core, SEVEN << VBPR0, value << VBPR0)
    elif key == BPR1:
        _put(core, SEVEN << VBPR1 if core.gich_vmcr & CBPR == ZERO else ZERO, value << VBPR1)
    elif key == CTLR:
        _put(core, EOI_MODE | CBPR, (value & TWO) << np.uint64(8) | (value & ONE) << np.uint64(4))
    elif key == IGRPEN0:
        _put(core, ONE, value)
    elif key == IGRPEN1:
        _put(core, TWO, value << ONE)
    elif key == AP0R0:
        core.ich_ap0r = value & ACTIVE_PRIORITIES
    elif key == AP1R0:
        core.gich_apr = value & ACTIVE_PRIORITIES
    else:
        return key == SRE
    return True


@hot
def _trap(key):  # type: ignore[no-untyped-def]
    """The bits of ICH_HCR_EL2 that trap this register."""
    if key == SRE:
        return ZERO
    if key == DIR:
        return TC | TDIR
    if key == PMR or key == RPR or key == CTLR:
        return TC
    group_0 = (key >> THREE) & np.uint64(0xF) == np.uint64(8) or key == IGRPEN0
    return TALL0 if group_0 else TALL1


@hot
def access_icv(core, word):  # type: ignore[no-untyped-def]
    """Carry out an MRS or MSR by EL1 that the engine does not know. Returns UNDEFINED, DONE or TRAPPED (to EL2)."""
    if word & MRS_MASK != MRS_OR_MSR:
        return UNDEFINED
    key, register, reads = (word >> np.uint64(5)) & np.uint64(0xFFFF), word & XZR, word & READ != ZERO
    if key == SGI1R or key == ASGI1R or key == SGI0R:
        return UNDEFINED if reads else TRAPPED
    if core.gich_hcr & _trap(key) != ZERO and _exists(key, reads):
        return TRAPPED
    if not reads:
        return DONE if _write(core, key, read_one(core, register) if register != XZR else ZERO) else UNDEFINED
    known, value = _read(core, key)
    if known and register != XZR:
        write_one(core, register, value)
    return DONE if known else UNDEFINED


@hot
def _exists(key, reads):  # type: ignore[no-untyped-def]
    """Of the registers that may trap: is there one to read, or to write?"""
    if key == IAR0 or key == IAR1 or key == HPPIR0 or key == HPPIR1 or key == RPR:
        return reads
    if key == EOIR0 or key == EOIR1 or key == DIR:
        return not reads
    both = key == PMR or key == CTLR or key == BPR0 or key == BPR1 or key == AP0R0 or key == AP1R0
    return both or key == IGRPEN0 or key == IGRPEN1


@hot
def trapped_iss(word):  # type: ignore[no-untyped-def]
    """ISS of EC 0x18 for this MRS or MSR: the same numbers in another order (DDI 0487, ESR_EL2)."""
    op0, op1 = (word >> np.uint64(19)) & THREE, (word >> np.uint64(16)) & SEVEN
    crn, crm, op2 = (
        (word >> np.uint64(12)) & np.uint64(15),
        (word >> np.uint64(8)) & np.uint64(15),
        (word >> np.uint64(5)) & SEVEN,
    )
    iss = op0 << np.uint64(20) | op2 << np.uint64(17) | op1 << np.uint64(14) | crn << np.uint64(10)
    return iss | (word & XZR) << np.uint64(5) | crm << ONE | ((word >> np.uint64(21)) & ONE)
