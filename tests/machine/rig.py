"""A bare core for tests of silicon: RAM, a stage 2 that maps it one to one, vectors that tell EL2 they were entered.

    RAM + 0x01_0000   code under test                 RAM + 0x40_0000   tables, handed out page by page
    RAM + 0x02_0000   EL1 vectors: entry n is HVC #(0x100 + n), so an exception taken to EL1 shows itself as an exit
    RAM + 0x03_0000   data

Everything is real: small assembled guests run on the engine, and what they did is read from registers and exits.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from minivisor.machine.core import SYNC, Core
from minivisor.machine.memory import PhysicalMemory
from tests.machine import a64

RAM, SIZE = 0x8000_0000, 8 << 20
CODE, VECTORS, DATA, TABLES = RAM + 0x1_0000, RAM + 0x2_0000, RAM + 0x3_0000, RAM + 0x40_0000
GICV = 0x2C00_6000
EL0T, EL1T, EL1H = 0x3C0, 0x3C4, 0x3C5  # with DAIF masked
HCR = 1 << 31 | 1 << 19 | 1 << 18 | 1 << 13 | 1 << 5 | 1 << 4 | 1 << 3 | 1  # RW TSC TID3 TWI AMO IMO FMO VM
SCTLR = 0x30D0_0800  # RES1 bits, MMU and caches off
# 39-bit IPA from level 1, 4 KiB granule, 44-bit PA
VTCR = 1 << 31 | 4 << 16 | 3 << 12 | 1 << 10 | 1 << 8 | 1 << 6 | 25
# Both halves 39 bits from level 1, 4 KiB granules, 16-bit ASIDs in TTBR0, 44-bit IPA
TCR = 1 << 36 | 4 << 32 | 2 << 30 | 3 << 28 | 1 << 26 | 1 << 24 | 25 << 16 | 3 << 12 | 1 << 10 | 1 << 8 | 25
MAIR = 0xFF  # index 0: Normal, write-back
AF, NG, XN, PXN = 1 << 10, 1 << 11, 1 << 54, 1 << 53
S2_RWX = AF | 3 << 8 | 3 << 6 | 0xF << 2
S1_RW, S1_RO, S1_EL0 = AF | 3 << 8, AF | 3 << 8 | 1 << 7, 1 << 6
HVC_EC, SYSREG_EC, WFX_EC, SMC_EC, DATA_EC, FETCH_EC = 0x16, 0x18, 0x01, 0x17, 0x24, 0x20


POWER_ON = {
    "VTCR_EL2": VTCR,
    "HCR_EL2": HCR,
    "SCTLR_EL1": SCTLR,
    "TCR_EL1": TCR,
    "MAIR_EL1": MAIR,
    "VBAR_EL1": VECTORS,
    "CNTKCTL_EL1": 0x303,
}


class Rig:
    """One core on either engine, powered on at EL1h with the MMU off and stage 2 mapping RAM one to one."""

    def __init__(self, mmu: str = "minivisor", list_registers: int = 4) -> None:
        self.memory = PhysicalMemory(RAM, SIZE)
        self.core = Core(self.memory, GICV, mmu, list_registers)
        self.mmu, self._next_table = mmu, TABLES
        self.load((word for n in range(16) for word in (a64.HVC(0x100 + n), *[a64.NOP] * 31)), VECTORS)
        self.stage2 = self.table()
        for ipa in range(RAM, RAM + SIZE, 2 << 20):
            self.map(self.stage2, ipa, ipa | S2_RWX, 2)
        self.map(self.stage2, GICV, GICV | AF | 3 << 6 | 1 << 2, 3)
        self.map(self.stage2, GICV + 4096, GICV + 4096 | AF | 3 << 6 | 1 << 2, 3)
        self.use_vmid(1)
        for name, value in POWER_ON.items():
            self.core.write(name, value)

    # ── memory ──

    def load(self, words: Iterable[int], at: int = CODE) -> int:
        """Put instruction words at a physical address; returns the address behind them."""
        code = np.fromiter(words, np.uint32)
        self.memory.span(at, 4 * code.size).view(np.uint32)[:] = code
        return at + 4 * code.size

    def table(self) -> int:
        """A zeroed page for translation tables."""
        page, self._next_table = self._next_table, self._next_table + 4096
        self.memory.span(page, 4096)[:] = 0
        return page

    def map(self, root: int, address: int, descriptor: int, level: int) -> int:
        """Write a block (level 1, 2) or page (3) descriptor without its type bits; returns the descriptor's address."""
        table = root
        for at in range(1, level):
            entry = table + 8 * (address >> 39 - 9 * at & 511)
            if not self.memory.read(entry):
                self.memory.write(entry, self.table() | 3)
            table = self.memory.read(entry) & 0xFFFF_FFFF_F000
        entry = table + 8 * (address >> 39 - 9 * level & 511)
        self.memory.write(entry, descriptor | (3 if level == 3 else 1))
        return entry

    def use_vmid(self, vmid: int, root: int = 0) -> None:
        """Load a stage 2 and its VMID."""
        self.core.write("VTTBR_EL2", vmid << 48 | (root or self.stage2))
        self.core.load_vmid(vmid)

    def mmu_on(self, asid: int = 0) -> tuple[int, int]:
        """Stage 1 on, with new tables: (TTBR0 root, TTBR1 root). The lower half maps RAM one to one for EL1."""
        lower, upper = self.table(), self.table()
        for va in range(RAM, RAM + SIZE, 2 << 20):
            self.map(lower, va, va | S1_RW, 2)
        self.map(lower, GICV, GICV | AF | XN | PXN, 3)
        self.core.write("TTBR0_EL1", asid << 48 | lower)
        self.core.write("TTBR1_EL1", upper)
        self.core.write("SCTLR_EL1", SCTLR | 1)
        return lower, upper

    # ── running ──

    def start(self, *words: int | list[int], pstate: int = EL1H, at: int = CODE, **registers: int) -> None:
        """Load code and point the core at it. Registers by name, after PSTATE."""
        self.load([word for part in words for word in ([part] if isinstance(part, int) else part)], at)
        self.core.code_changed()
        self.core.write("PSTATE", pstate)
        self.core.write("PC", at)
        for name, value in registers.items():
            self.core.write(name, value)

    def run(self, horizon: int = 1 << 61) -> int:
        return self.core.run(horizon)

    def exit(self) -> tuple[int, int]:
        """Run to the next synchronous exception to EL2: (EC, ISS)."""
        reason = self.run(self.core.now + 10_000_000)
        assert reason == SYNC, f"reason {reason} at PC {self.core.read('PC'):#x}"
        return self.core.syndrome[0] >> 26, self.core.syndrome[0] & 0x1FF_FFFF

    def hvc(self) -> int:
        """Run to the next HVC; its immediate."""
        ec, iss = self.exit()
        assert ec == HVC_EC, f"EC {ec:#x} ISS {iss:#x} at PC {self.core.read('PC'):#x}, FAR {self.core.syndrome[1]:#x}"
        return iss

    def vector(self) -> int:
        """Run to the EL1 vector that is entered next: its offset from VBAR_EL1."""
        return (self.hvc() - 0x100) * 0x80

    def read(self, *names: str) -> tuple[int, ...]:
        return tuple(self.core.read(name) for name in names)
