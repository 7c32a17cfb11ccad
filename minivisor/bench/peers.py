"""Bare Unicorn, as its own users would drive it: the peer of `guest`, `exit` and `switch`.

Nothing of our machine is used here. The CPU model is the same, so that the same instructions exist; all else is the
engine's default.
"""

from __future__ import annotations

import struct
from pathlib import Path

from elftools.elf.elffile import ELFFile
from unicorn import UC_ARCH_ARM64, UC_HOOK_INTR, UC_MODE_ARM, Uc
from unicorn import arm64_const as arm64

__all__ = ["BareContexts", "BareExits", "BareGuest"]

BASE, RAM = 0x4000_0000, 64 << 20
HVC_LOOP = struct.pack("<II", 0xD400_0002, 0x17FF_FFFF)  # hvc #0; b .-4
SCR_EL3, HCR_EL2 = (1, 1, 3, 6, 0), (1, 1, 3, 4, 0)  # crn, crm, op0, op1, op2
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
