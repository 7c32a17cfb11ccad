"""Bare Unicorn, as its own users would drive it: the peer of `guest`, `exit`, `svc` and `switch`.

Nothing of our machine is used here. The CPU model is the same, so that the same instructions exist; all else is the
engine's default.
"""

from __future__ import annotations

import struct
from pathlib import Path

from elftools.elf.elffile import ELFFile
from unicorn import UC_ARCH_ARM64, UC_HOOK_INTR, UC_MODE_ARM, Uc
from unicorn import arm64_const as arm64

__all__ = ["BareCalls", "BareContexts", "BareExits", "BareGuest"]

BASE, RAM = 0x4000_0000, 64 << 20
HVC_LOOP = struct.pack("<II", 0xD400_0002, 0x17FF_FFFF)  # hvc #0; b .-4
# svc #0; subs x0, x0, #1; b.ne .-8; svc #1, and in EL1's vector: mrs x9, esr_el1; tbnz x9, #0, .+8; eret; b .
SVC_LOOP = struct.pack("<IIII", 0xD400_0001, 0xF100_0400, 0x54FF_FFC1, 0xD400_0021)
VECTOR = struct.pack("<IIII", 0xD538_5209, 0x3700_0049, 0xD69F_03E0, 0x1400_0000)
START, VECTORS, END = BASE + 0x1000, BASE + 0x2000, BASE + 0x240C
SCR_EL3, HCR_EL2, SPSR_EL1 = (1, 1, 3, 6, 0), (1, 1, 3, 4, 0), (4, 0, 3, 0, 0)  # crn, crm, op0, op1, op2
EL0T, EL1H, SVC = 0x3C0, 0x3C5, 0x5600_0000
SCR_RW_HCE_NS, HCR_RW = 0x531, 1 << 31


def _engine() -> Uc:
    uc = Uc(UC_ARCH_ARM64, UC_MODE_ARM)
    uc.ctl_set_cpu_model(arm64.UC_CPU_ARM64_A72)
    uc.mem_map(BASE, RAM)
    return uc


class BareGuest:
    """bench-bare.elf with one RWX mapping and no hooks, from its entry to its end without a stop.

    To stop it from another thread, so as to take turns, is not an option: one stop in 500 left it with a register wrong.
    """

    def __init__(self, image: Path, rounds: int) -> None:
        self.uc = _engine()
        with image.open("rb") as file:
            elf = ELFFile(file)
            for segment in elf.iter_segments("PT_LOAD"):
                self.uc.mem_write(segment["p_paddr"], segment.data())
            self._entry = elf["e_entry"]
            symbols = elf.get_section_by_name(".symtab")
            self._end = symbols.get_symbol_by_name("done")[0]["st_value"]
        self.uc.reg_write(arm64.UC_ARM64_REG_X0, rounds)

    def run(self) -> None:
        """To the end, which must be reached."""
        self.uc.emu_start(self._entry, self._end)
        stopped = self.uc.reg_read(arm64.UC_ARM64_REG_PC)
        if stopped != self._end:
            raise RuntimeError(f"guest: bare Unicorn stopped at {stopped:#x}, its end is at {self._end:#x}")

    @property
    def checksum(self) -> int:
        return int(self.uc.reg_read(arm64.UC_ARM64_REG_X0))


class BareExits:
    """HVC for ever: a Python callback stops the engine, the loop reads PC and restarts it. It handles nothing."""

    def __init__(self) -> None:
        self.uc, self._pc = _engine(), BASE
        self.uc.reg_write(arm64.UC_ARM64_REG_CP_REG, (*SCR_EL3, SCR_RW_HCE_NS))
        self.uc.reg_write(arm64.UC_ARM64_REG_CP_REG, (*HCR_EL2, HCR_RW))
        self.uc.mem_write(BASE, HVC_LOOP)
        self.taken = 0
        self.uc.hook_add(UC_HOOK_INTR, self._stop)

    def _stop(self, uc: Uc, _number: int, _user: object) -> None:
        self.taken += 1
        uc.emu_stop()

    def run(self, exits: int) -> None:
        uc, pc = self.uc, self._pc
        for _ in range(exits):
            uc.emu_start(pc, 0)
            pc = uc.reg_read(arm64.UC_ARM64_REG_PC)
        self._pc = pc


class BareCalls:
    """SVC from EL0: a Python callback does the exception entry to EL1 with reg_write, the engine goes on at the vector."""

    def __init__(self) -> None:
        self.uc, self.taken = _engine(), 0
        self.uc.reg_write(arm64.UC_ARM64_REG_CP_REG, (*SCR_EL3, SCR_RW_HCE_NS))
        self.uc.reg_write(arm64.UC_ARM64_REG_CP_REG, (*HCR_EL2, HCR_RW))
        self.uc.mem_write(START, SVC_LOOP)
        self.uc.mem_write(VECTORS + 0x400, VECTOR)
        self.uc.reg_write(arm64.UC_ARM64_REG_VBAR_EL1, VECTORS)
        self.uc.hook_add(UC_HOOK_INTR, self._enter)

    def _enter(self, uc: Uc, _number: int, _user: object) -> None:
        """Which SVC it was is in the instruction before PC; everything else is as for any exception from EL0."""
        self.taken += 1
        pc, pstate = uc.reg_read(arm64.UC_ARM64_REG_PC), uc.reg_read(arm64.UC_ARM64_REG_PSTATE)
        immediate = int.from_bytes(uc.mem_read(pc - 4, 4), "little") >> 5 & 0xFFFF
        uc.reg_write(arm64.UC_ARM64_REG_ELR_EL1, pc)
        uc.reg_write(arm64.UC_ARM64_REG_ESR_EL1, SVC | immediate)
        uc.reg_write(arm64.UC_ARM64_REG_SP_EL0, uc.reg_read(arm64.UC_ARM64_REG_SP))
        uc.reg_write(arm64.UC_ARM64_REG_SP, uc.reg_read(arm64.UC_ARM64_REG_SP_EL1))
        uc.reg_write(arm64.UC_ARM64_REG_PSTATE, EL1H)
        uc.reg_write(arm64.UC_ARM64_REG_PC, uc.reg_read(arm64.UC_ARM64_REG_VBAR_EL1) + 0x400)
        uc.reg_write(arm64.UC_ARM64_REG_CP_REG, (*SPSR_EL1, pstate))  # last: only this rebuilds the translation flags

    def run(self, calls: int) -> None:
        """So many calls from EL0, and the one that ends them."""
        uc = self.uc
        uc.reg_write(arm64.UC_ARM64_REG_X0, calls)
        uc.reg_write(arm64.UC_ARM64_REG_PSTATE, EL0T)
        uc.reg_write(arm64.UC_ARM64_REG_CP_REG, (*SPSR_EL1, 0))
        uc.emu_start(START, END)
        if uc.reg_read(arm64.UC_ARM64_REG_PC) != END or uc.reg_read(arm64.UC_ARM64_REG_X0):
            raise RuntimeError("svc: the bare guest did not come to its end")


class BareContexts:
    """Two saved contexts of one engine, exchanged: registers only, and every one that the engine has."""

    def __init__(self) -> None:
        self.uc = _engine()
        self._mine, self._other = self.uc.context_save(), self.uc.context_save()

    @property
    def size(self) -> int:
        """Bytes of one context."""
        return int(self._mine.size)

    def exchange(self, times: int) -> None:
        uc, mine, other = self.uc, self._mine, self._other
        for _ in range(times):
            uc.context_update(mine)
            uc.context_restore(other)
            mine, other = other, mine
