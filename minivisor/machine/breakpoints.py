"""Breakpoints that EL2 loads: only an MSR arms Unicorn's, so an MSR it is.

A world switch writes DBGBVR<n>_EL1 and DBGBCR<n>_EL1 from outside, as it writes every register. Unicorn stores them, but what
it compares with PC is a list of its own, and that follows the guest's MSRs alone. Left there, one persona's breakpoints would
stay armed under the other. So the MSRs are executed: from a page of ROM that no stage 2 maps, with the MMU off and nothing
trapped, at no cost in time that a guest could see. It happens when a value differs from what the core has; personas that use
no breakpoints never pay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from unicorn import Uc
from unicorn import arm64_const as arm64

from minivisor.arch.encoding import REGISTERS, msr
from minivisor.machine import engine
from minivisor.machine.code_pages import WINDOW
from minivisor.machine.state import WORD

if TYPE_CHECKING:
    from minivisor.machine.core import Core

__all__ = ["BREAKPOINTS", "arm", "map_rom"]

COUNT = 6  # ID_AA64DFR0_EL1.BRPs + 1
BREAKPOINTS = tuple(f"DBG{kind}{n}_EL1" for kind in ("BVR", "BCR") for n in range(COUNT))
ROM, PAGE = 0x0FFF_FFFF_F000, 4096  # the last page of 44 bits of physical address: no board has anything there
HVC = 0xD400_0002  # an SVC would be taken to EL1 there and then
EL1H_MASKED, SCTLR_RES1, HCR_RW, FOREVER = 0x3C5, 0x30D0_0800, 1 << 31, 1 << 61
KEPT = ("retired", "block_pc", "block_insns", "deadline", "interrupt", "stale_count", "stale_page", "window")


def map_rom(uc: Uc) -> np.ndarray:
    """The page of ROM; whoever owns the engine keeps it."""
    page = np.zeros(PAGE, np.uint8)
    words = [msr(name, register) for register, name in enumerate(BREAKPOINTS)] + [HVC]
    page.view(np.uint32)[: len(words)] = words
    engine.map_memory(uc, ROM, page)
    return page


def arm(core: Core) -> None:
    """Execute an MSR for each breakpoint register, with what EL2 wrote. After it the caller writes all registers again."""
    uc, words = core.uc, core.words
    kept = {name: words[WORD[name]] for name in KEPT}
    for register, name in enumerate(BREAKPOINTS):
        uc.reg_write(arm64.UC_ARM64_REG_X0 + register, core.read(name))
    for name, value in (("SCTLR_EL1", SCTLR_RES1), ("HCR_EL2", HCR_RW), ("MDCR_EL2", 0)):
        _write(uc, name, value)
    uc.reg_write(arm64.UC_ARM64_REG_PSTATE, EL1H_MASKED)
    _write(uc, "SPSR_EL1", 0)  # rebuilds the translation flags
    words[WORD["deadline"]] = FOREVER
    words[WORD["stale_page"]], words[WORD["stale_count"]], words[WORD["window"]] = ROM, 1, 1  # where our fills find the ROM
    engine.flush_tlb(uc)
    words[WORD["interrupt"]] = 0
    while not words[WORD["interrupt"]]:  # a stop that was meant for the guest may come late
        uc.emu_start(ROM if core.mmu == "unicorn" else int(WINDOW), 0)
    for name, value in kept.items():
        words[WORD[name]] = value
    engine.flush_tlb(uc)


def _write(uc: Uc, name: str, value: int) -> None:
    op0, op1, crn, crm, op2 = REGISTERS[name]
    uc.reg_write(arm64.UC_ARM64_REG_CP_REG, (crn, crm, op0, op1, op2, value))
