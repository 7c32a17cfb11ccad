"""A slow, obvious two-stage translation from the manual's pseudocode: the oracle for `minivisor/machine/walk.py`.

Nothing here is shared with the walk it judges: plain integers, no masks prepared in advance, one function for each
function of the pseudocode and under its name. An Armv8.0 core with a 4 KiB granule and 44-bit physical addresses
(Cortex-A72).

Source: DDI 0487 issue K.a, D8 "The AArch64 Virtual Memory System Architecture", and J1.1.5 "aarch64/translation": the
functions AArch64.TranslateAddress, S1Translate, S1DisabledOutput, S1Walk, S2Translate, S2Walk, OAOutOfRange,
S1DirectBasePermissions, S2DirectBasePermissions, S2InvalidSL, S2InconsistentSL.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

PA_BITS = 44
OUTPUT_BITS = {0: 32, 1: 36, 2: 40, 3: 42, 4: 44, 5: 48, 6: 52, 7: 52}

# Fault status codes (ESR_ELx.ISS.DFSC), without their level.
ADDRESS_SIZE, TRANSLATION, ACCESS_FLAG, PERMISSION, EXTERNAL_ON_WALK, EXTERNAL = 0x00, 0x04, 0x08, 0x0C, 0x14, 0x10


@dataclass(frozen=True)
class Regime:
    """The registers that steer translation at EL1 and EL0. s2: HCR_EL2.VM."""

    sctlr: int = 0
    tcr: int = 0
    ttbr0: int = 0
    ttbr1: int = 0
    s2: bool = False
    vttbr: int = 0
    vtcr: int = 0


@dataclass
class Fault(Exception):
    """status: one of the codes above. ipa: the address that stage 2 could not translate, None for a stage-1 fault."""

    status: int
    level: int
    stage: int
    s1ptw: bool = False
    ipa: int | None = None

    @property
    def code(self) -> int:
        return self.status if self.status == EXTERNAL else self.status + self.level


Read = Callable[[int], "int | None"]
"""A physical address -> the 64-bit word there, None where nothing answers."""


def bits(value: int, high: int, low: int) -> int:
    """value<high:low>, as the manual writes it."""
    return value >> low & (1 << high - low + 1) - 1


def oa_out_of_range(address: int, ps: int) -> bool:
    """AArch64.OAOutOfRange"""
    return address >= 1 << min(OUTPUT_BITS[ps], PA_BITS)


def level_shift(level: int) -> int:
    """The lowest address bit that indexes a table of this level."""
    return {0: 39, 1: 30, 2: 21, 3: 12}[level]


def decode(descriptor: int, level: int) -> str:
    """DecodeDescriptorType: "invalid", "table" or "leaf"."""
    if bits(descriptor, 0, 0) == 0:
        return "invalid"
    if level == 3:
        return "leaf" if bits(descriptor, 1, 1) else "invalid"
    if bits(descriptor, 1, 1):
        return "table"
    return "invalid" if level == 0 else "leaf"


def translate_address(regime: Regime, read: Read, va: int, access: str, el: int) -> int:
    """AArch64.TranslateAddress: the physical address of one access. access: "r", "w" or "x". Raises Fault."""
    ipa = s1_translate(regime, read, va, access, el)
    pa = s2_translate(regime, read, ipa, access, False) if regime.s2 else ipa
    if read(pa - pa % 8) is None:
        raise Fault(EXTERNAL, 0, 1)
    return pa


def s1_translate(regime: Regime, read: Read, va: int, access: str, el: int) -> int:
    """AArch64.S1Translate"""
    if bits(regime.sctlr, 0, 0) == 0:
        return s1_disabled_output(regime, va)
    ipa, level, permissions = s1_walk(regime, read, va)
    if access not in permissions[el]:
        raise Fault(PERMISSION, level, 1)
    return ipa


def top_byte_ignored(regime: Regime, va: int) -> bool:
    """TCR_EL1.TBI0 or TBI1, chosen by VA bit 55 (pseudocode: AddrTop)."""
    return bool(bits(regime.tcr, 38, 38) if bits(va, 55, 55) else bits(regime.tcr, 37, 37))


def s1_disabled_output(regime: Regime, va: int) -> int:
    """AArch64.S1DisabledOutput: flat, but not beyond the physical address size."""
    top = 55 if top_byte_ignored(regime, va) else 63
    if bits(va, top, PA_BITS):
        raise Fault(ADDRESS_SIZE, 0, 1)
    return bits(va, PA_BITS - 1, 0)


def s1_walk(regime: Regime, read: Read, va: int) -> tuple[int, int, dict[int, str]]:
    """AArch64.S1Walk: (IPA, level of the leaf, {exception level: permitted accesses})."""
    upper = bits(va, 55, 55) == 1
    txsz = bits(regime.tcr, 21, 16) if upper else bits(regime.tcr, 5, 0)
    epd = bits(regime.tcr, 23, 23) if upper else bits(regime.tcr, 7, 7)
    ttbr = regime.ttbr1 if upper else regime.ttbr0
    ips = bits(regime.tcr, 34, 32)
    iasize = 64 - txsz
    top = 55 if top_byte_ignored(regime, va) else 63
    expected = (1 << top - iasize + 1) - 1 if upper else 0
    if bits(va, top, iasize) != expected or epd:
        raise Fault(TRANSLATION, 0, 1)
    level = next(level for level in (0, 1, 2) if iasize > level_shift(level))
    entries = 1 << iasize - level_shift(level)
    table = bits(ttbr, 47, 1) << 1
    table -= table % (8 * entries)
    if oa_out_of_range(table, ips):
        raise Fault(ADDRESS_SIZE, 0, 1)
    index = bits(va, iasize - 1, level_shift(level))
    ap_table, uxn_table, pxn_table = 0, 0, 0
    while True:
        descriptor = s1_fetch(regime, read, table + 8 * index, level)
        kind = decode(descriptor, level)
        if kind == "invalid":
            raise Fault(TRANSLATION, level, 1)
        output = bits(descriptor, 47, 12) << 12
        if oa_out_of_range(output, ips):
            raise Fault(ADDRESS_SIZE, level, 1)
        if kind == "leaf":
            break
        ap_table |= bits(descriptor, 62, 61)
        uxn_table |= bits(descriptor, 60, 60)
        pxn_table |= bits(descriptor, 59, 59)
        table, level = output, level + 1
        index = bits(va, level_shift(level) + 8, level_shift(level))
    if bits(descriptor, 10, 10) == 0:
        raise Fault(ACCESS_FLAG, level, 1)
    size = 1 << level_shift(level)
    permissions = s1_permissions(descriptor, ap_table, uxn_table, pxn_table, bool(bits(regime.sctlr, 19, 19)))
    return stage_oa(output, size, va), level, permissions


def s1_fetch(regime: Regime, read: Read, ipa: int, level: int) -> int:
    """FetchDescriptor for stage 1: the descriptor's own address goes through stage 2, as a read."""
    pa = s2_translate(regime, read, ipa, "r", True) if regime.s2 else ipa
    descriptor = read(pa)
    if descriptor is None:
        raise Fault(EXTERNAL_ON_WALK, level, 1)
    return descriptor


def s1_permissions(descriptor: int, ap_table: int, uxn_table: int, pxn_table: int, wxn: bool) -> dict[int, str]:
    """AArch64.S1DirectBasePermissions, then WXN (AArch64.S1ComputePermissions)."""
    privileged, user = {0b00: ("rw", ""), 0b01: ("rw", "rw"), 0b10: ("r", ""), 0b11: ("r", "r")}[bits(descriptor, 7, 6)]
    if ap_table & 0b01:
        user = ""
    if ap_table & 0b10:
        privileged, user = privileged.replace("w", ""), user.replace("w", "")
    px = not (bits(descriptor, 53, 53) or pxn_table or "w" in user)
    ux = not (bits(descriptor, 54, 54) or uxn_table)
    if wxn:
        px, ux = px and "w" not in privileged, ux and "w" not in user
    return {1: privileged + "x" * px, 0: user + "x" * ux}


def s2_translate(regime: Regime, read: Read, ipa: int, access: str, s1ptw: bool) -> int:
    """AArch64.S2Translate. s1ptw: this is a stage-1 descriptor being fetched."""

    def fault(status: int, level: int) -> Fault:
        return Fault(status, level, 2, s1ptw, ipa)

    iasize, start, ps = 64 - bits(regime.vtcr, 5, 0), 2 - bits(regime.vtcr, 7, 6), bits(regime.vtcr, 18, 16)
    if start < 0 or s2_inconsistent_sl(iasize, start):
        raise fault(TRANSLATION, 0)
    if ipa >= 1 << iasize:
        raise fault(TRANSLATION, 0)
    entries = 1 << iasize - level_shift(start)  # of all concatenated tables together
    table = bits(regime.vttbr, 47, 1) << 1
    table -= table % (8 * entries)
    if oa_out_of_range(table, ps):
        raise fault(ADDRESS_SIZE, 0)
    level, index = start, ipa >> level_shift(start)
    while True:
        descriptor = read(table + 8 * index)
        if descriptor is None:
            raise fault(EXTERNAL_ON_WALK, level)
        kind = decode(descriptor, level)
        if kind == "invalid":
            raise fault(TRANSLATION, level)
        output = bits(descriptor, 47, 12) << 12
        if oa_out_of_range(output, ps):
            raise fault(ADDRESS_SIZE, level)
        if kind == "leaf":
            break
        table, level = output, level + 1
        index = bits(ipa, level_shift(level) + 8, level_shift(level))
    if bits(descriptor, 10, 10) == 0:
        raise fault(ACCESS_FLAG, level)
    if access not in s2_permissions(descriptor):
        raise fault(PERMISSION, level)
    size = 1 << level_shift(level)
    return stage_oa(output, size, ipa)


def stage_oa(output: int, size: int, address: int) -> int:
    """StageOA: the leaf's base and the offset into it; output address bits below the leaf's size are not looked at."""
    return output - output % size + address % size


def s2_inconsistent_sl(iasize: int, start: int) -> bool:
    """AArch64.S2InconsistentSL: an input size that this start level cannot index, even with sixteen tables in a row."""
    smallest = (3 - start) * 9 + 12 + 1
    return not smallest <= iasize <= smallest + 8 + 4


def s2_permissions(descriptor: int) -> str:
    """AArch64.S2DirectBasePermissions, without FEAT_XNX: executable only where it is readable."""
    readable, writable, xn = bits(descriptor, 6, 6), bits(descriptor, 7, 7), bits(descriptor, 54, 54)
    return "r" * readable + "w" * writable + "x" * (readable and not xn)
