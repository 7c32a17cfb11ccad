"""The virtual CPU interface: what a guest believes is its GICC page, served from the list registers (IHI 0048B, 5.5).

EL2 fills list registers; the guest acknowledges and completes against them; nobody exits. This is hardware, so it runs
compiled, called by Unicorn at each access to the page.

    GICH_LR:  31  30   29:28  27:23     22:20  19:10                   9:0
              HW  Grp1 State  Priority         PhysicalID | EOI, CPUID  VirtualID
    State:    0 invalid, 1 pending, 2 active, 3 pending and active

Which interrupt is signalled, what is active, and when EL2 wants to know: all that is the same for a guest that uses system
registers instead of the page (`icv`), and stands here once. Active priorities of both groups are in GICH_APR for the page;
for system registers those of Group 0 are apart (IHI 0069, ICH_AP0R<n>_EL2).
"""

from __future__ import annotations

import numpy as np

from minivisor.machine.hot import callback, entry, hot
from minivisor.machine.registers import CP, write_cp
from minivisor.machine.state import core_at
from minivisor.machine.timer import stop_soon

__all__ = [
    "acknowledge",
    "count_completion",
    "deactivate",
    "drop",
    "group_priority",
    "highest",
    "maintenance",
    "misr",
    "present",
    "read_gicv",
    "running_priority",
    "signalled",
    "write_gicv",
]

ZERO, ONE, TWO, THREE, FOUR = (np.uint64(n) for n in range(5))
SPURIOUS, IDLE = np.uint64(1023), np.uint64(0xFF)
NONE = np.uint64(0xFFFF)
HCR_VF, HCR_VI, FIQ_EN = np.uint64(1 << 6), np.uint64(1 << 7), np.uint64(1 << 3)
STATE, PENDING, ACTIVE = np.uint64(3 << 28), np.uint64(1 << 28), np.uint64(2 << 28)
HW, EOI_BIT, ID_MASK = np.uint64(1 << 31), np.uint64(1 << 19), np.uint64(0x3FF)
EOI_MODE, GROUPS = np.uint64(1 << 9), np.uint64(3)
SOURCE, FIRST_SPECIAL, OTHER_GROUP = np.uint64(7 << 10), np.uint64(1020), np.uint64(1022)
ACK_CTL, CBPR = np.uint64(1 << 2), np.uint64(1 << 4)
IIDR = np.uint64(0x0002_043B)  # GICv2, implementer Arm

CTLR, PMR, BPR, IAR, EOIR, RPR, HPPIR, ABPR = (np.uint64(offset) for offset in range(0x00, 0x20, 4))
AIAR, AEOIR, AHPPIR, APR, IIDR_AT, DIR = (np.uint64(o) for o in (0x20, 0x24, 0x28, 0xD0, 0xFC, 0x1000))


@hot
def _priority(lr):  # type: ignore[no-untyped-def]
    return ((lr >> np.uint64(23)) & np.uint64(0x1F)) << THREE


@hot
def highest(core):  # type: ignore[no-untyped-def]
    """Index of the most urgent pending list register of an enabled group, or NONE; the lowest index among equals."""
    best, best_priority = NONE, np.uint64(0x100)
    for index in range(core.lr_count):
        lr = core.lr[index]
        group = (lr >> np.uint64(30)) & ONE
        if lr & STATE == PENDING and (core.gich_vmcr >> group) & ONE != ZERO and _priority(lr) < best_priority:
            best, best_priority = np.uint64(index), _priority(lr)
    return best


@hot
def running_priority(core):  # type: ignore[no-untyped-def]
    """The lowest active priority level (GICH_APR: one bit for each of 32 levels), 0xFF when idle."""
    active = core.gich_apr | core.ich_ap0r
    for level in range(32):
        if (active >> np.uint64(level)) & ONE != ZERO:
            return np.uint64(level) << THREE
    return IDLE


@hot
def group_priority(core, lr):  # type: ignore[no-untyped-def]
    """The bits of the priority that preempt: GICV_BPR says how many do not count, GICV_ABPR (one more) for Group 1."""
    point = max((core.gich_vmcr >> np.uint64(21)) & np.uint64(7), TWO)
    if (lr >> np.uint64(30)) & ONE != ZERO and core.gich_vmcr & CBPR == ZERO:
        point = max((core.gich_vmcr >> np.uint64(18)) & np.uint64(7), THREE) - ONE
    return _priority(lr) >> (point + ONE) << (point + ONE)


@hot
def _name(lr):  # type: ignore[no-untyped-def]
    """What IAR gives and EOIR takes: the interrupt id, and of a software generated interrupt the CPU that asked."""
    identifier = lr & ID_MASK
    return identifier | (lr & SOURCE) if lr & HW == ZERO and identifier < np.uint64(16) else identifier


@hot
def _visible(core, index, alias):  # type: ignore[no-untyped-def]
    """Is this list register given out here? 0, or the special id that is: the plain registers hide Group 1, unless
    AckCtl; the aliased ones show nothing else."""
    if index == NONE:
        return SPURIOUS
    group = (core.lr[index] >> np.uint64(30)) & ONE
    if alias:
        return ZERO if group == ONE else SPURIOUS
    return OTHER_GROUP if group == ONE and core.gich_vmcr & ACK_CTL == ZERO else ZERO


@hot
def signalled(core):  # type: ignore[no-untyped-def]
    """Index of the list register that is signalled to the guest now, or NONE (mask, group priority, preemption)."""
    if core.gich_hcr & ONE == ZERO:
        return NONE
    index = highest(core)
    if index == NONE:
        return NONE
    priority = _priority(core.lr[index])
    if priority >= (core.gich_vmcr >> np.uint64(27)) << THREE:
        return NONE
    return index if group_priority(core, core.lr[index]) < running_priority(core) else NONE


@hot
def maintenance(core):  # type: ignore[no-untyped-def]
    """GICH_MISR: bit 0 EOI, 1 underflow, 2 entry not present, 3 nothing pending; 4 and 5 Group 0 is enabled, is disabled,
    6 and 7 Group 1, each where the bit of the same number in GICH_HCR asks for it (IHI 0048B, 5.3.4)."""
    valid, pending, completed = ZERO, ZERO, ZERO
    for index in range(core.lr_count):
        lr = core.lr[index]
        if lr & STATE != ZERO:
            valid += ONE
        elif lr & (HW | EOI_BIT) == EOI_BIT:
            completed = ONE
        if lr & STATE == PENDING:
            pending += ONE
    misr, hcr = completed, core.gich_hcr
    if hcr & TWO != ZERO and valid <= ONE:
        misr |= TWO
    if hcr & FOUR != ZERO and hcr >> np.uint64(27) != ZERO:
        misr |= FOUR
    if hcr & np.uint64(8) != ZERO and pending == ZERO:
        misr |= np.uint64(8)
    enabled = (core.gich_vmcr & ONE) << FOUR | (core.gich_vmcr & TWO) << np.uint64(5)  # at bits 4 and 6
    misr |= hcr & (enabled | (enabled ^ np.uint64(0x50)) << ONE)
    return misr if hcr & ONE != ZERO else ZERO


@entry("u64", "u64")
def misr(address):  # type: ignore[no-untyped-def]
    """`maintenance` for the core whose record is at this address."""
    return maintenance(core_at(address))


@hot
def _line(core):  # type: ignore[no-untyped-def]
    """HCR_EL2.VI or VF, as the signalled interrupt wants, or 0. Group 0 is the FIQ: for the page only if GICV_CTLR.FIQEn."""
    index = signalled(core)
    if index == NONE:
        return ZERO
    group_1 = (core.lr[index] >> np.uint64(30)) & ONE != ZERO
    return HCR_VI if group_1 or (core.icc_sre == ZERO and core.gich_vmcr & FIQ_EN == ZERO) else HCR_VF


@hot
def present(core):  # type: ignore[no-untyped-def]
    """Drive the virtual interrupt lines: HCR_EL2.VI and VF follow the list registers. Unicorn takes them when PSTATE allows."""
    hcr = core.cp[CP.HCR_EL2].val
    wanted = (hcr & ~(HCR_VI | HCR_VF)) | _line(core)
    if wanted != hcr:
        write_cp(core, CP.HCR_EL2, wanted)


@hot
def _attend(core):  # type: ignore[no-untyped-def]
    """The line must be driven again; a stop from inside this access would repeat it, so it is one before the next block."""
    stop_soon(core)


@hot
def acknowledge(core, index):  # type: ignore[no-untyped-def]
    """A pending list register becomes active, and its group priority the running one."""
    lr = core.lr[index]
    core.lr[index] = (lr & ~STATE) | ACTIVE
    level = ONE << (group_priority(core, lr) >> THREE)
    if core.icc_sre != ZERO and (lr >> np.uint64(30)) & ONE == ZERO:
        core.ich_ap0r |= level
    else:
        core.gich_apr |= level
    hcr = core.cp[CP.HCR_EL2].val  # lowering the lines is safe here: nothing is taken while we are inside an access
    if signalled(core) == NONE and hcr & (HCR_VI | HCR_VF) != ZERO:
        write_cp(core, CP.HCR_EL2, hcr & ~(HCR_VI | HCR_VF))


@hot
def drop(core):  # type: ignore[no-untyped-def]
    """The running priority ends: returns it, IDLE when there was none. Of one level active in both groups, Group 0's goes."""
    priority = running_priority(core)
    if priority != IDLE:
        level = ONE << (priority >> THREE)
        if core.ich_ap0r & level != ZERO:
            core.ich_ap0r &= ~level
        else:
            core.gich_apr &= ~level
    return priority


@hot
def deactivate(core, index):  # type: ignore[no-untyped-def]
    """Take the active state away, and with HW set that of the physical interrupt too."""
    lr = core.lr[index]
    core.lr[index] = lr & ~ACTIVE
    if lr & HW != ZERO:
        core.active &= ~(ONE << ((lr >> np.uint64(10)) & np.uint64(63)))


@hot
def count_completion(core, count):  # type: ignore[no-untyped-def]
    """GICH_HCR.EOICount: EL2 learns how many it must complete itself. Five bits, and they wrap."""
    core.gich_hcr = (core.gich_hcr + (count << np.uint64(27))) & np.uint64(0xFFFF_FFFF)


@hot
def _read_iar(core, alias):  # type: ignore[no-untyped-def]
    index = signalled(core)
    special = _visible(core, index, alias)
    if special != ZERO:
        return special
    name = _name(core.lr[index])
    acknowledge(core, index)
    return name


@hot
def _complete(core, value, count):  # type: ignore[no-untyped-def]
    """Deactivate the list register of this interrupt (and source CPU, for an SGI); where none is active, count it."""
    name = value & (ID_MASK | SOURCE) if value & ID_MASK < np.uint64(16) else value & ID_MASK
    for index in range(core.lr_count):
        lr = core.lr[index]
        if lr & ACTIVE != ZERO and _name(lr) == name:
            deactivate(core, index)
            return
    count_completion(core, count)


@hot
def _end(core, value):  # type: ignore[no-untyped-def]
    """EOIR: drop the running priority, and deactivate unless EOImode separates the two. Dropping none, it counts for none."""
    dropped = ONE if drop(core) != IDLE else ZERO
    if core.gich_vmcr & EOI_MODE == ZERO:
        _complete(core, value, dropped)


@hot
def _read(core, offset):  # type: ignore[no-untyped-def]
    vmcr = core.gich_vmcr
    if offset == CTLR:
        return vmcr & np.uint64(0x21F)
    if offset == PMR:
        return vmcr >> np.uint64(27) << THREE
    if offset == BPR:
        return max((vmcr >> np.uint64(21)) & np.uint64(7), TWO)
    if offset == ABPR:
        return max((vmcr >> np.uint64(18)) & np.uint64(7), THREE)
    if offset == IAR or offset == AIAR:
        return _read_iar(core, offset == AIAR)
    if offset == RPR:
        return running_priority(core)
    if offset == HPPIR or offset == AHPPIR:
        index = highest(core)
        special = _visible(core, index, offset == AHPPIR)
        return special if special != ZERO else _name(core.lr[index])
    if offset == APR:
        return core.gich_apr
    if offset == IIDR_AT:
        return IIDR
    return ZERO


@hot
def _write(core, offset, value):  # type: ignore[no-untyped-def]
    vmcr = core.gich_vmcr
    if offset == CTLR:
        core.gich_vmcr = (vmcr & ~np.uint64(0x21F)) | (value & np.uint64(0x21F))
    elif offset == PMR:
        core.gich_vmcr = (vmcr & ~np.uint64(0xF800_0000)) | ((value & np.uint64(0xF8)) << np.uint64(24))
    elif offset == BPR:
        core.gich_vmcr = (vmcr & ~np.uint64(7 << 21)) | ((value & np.uint64(7)) << np.uint64(21))
    elif offset == ABPR:
        core.gich_vmcr = (vmcr & ~np.uint64(7 << 18)) | ((value & np.uint64(7)) << np.uint64(18))
    elif offset == EOIR or offset == AEOIR:
        if value & ID_MASK >= FIRST_SPECIAL:
            return  # and the line stays as it is: no reason to stop
        _end(core, value)
    elif offset == DIR and vmcr & EOI_MODE != ZERO and value & ID_MASK < FIRST_SPECIAL:
        _complete(core, value, ONE)
    elif offset == APR:
        core.gich_apr = value & np.uint64(0xFFFF_FFFF)
    _attend(core)


@callback("u64", "u64", "u64", "u32", "u64")
def read_gicv(uc, offset, size, user):  # type: ignore[no-untyped-def]
    """uc_cb_mmio_read_t for the virtual CPU interface page."""
    return _read(core_at(user), offset)


@callback("void", "u64", "u64", "u32", "u64", "u64")
def write_gicv(uc, offset, size, value, user):  # type: ignore[no-untyped-def]
    """uc_cb_mmio_write_t for the virtual CPU interface page."""
    _write(core_at(user), offset, value)
