"""One physical core: the engine, and the record that it shares with compiled code and with us.

This is all that EL2 software sees of the CPU: `read` and `write` registers (`register_names`), `run` until an exception to EL2,
invalidate TLB entries. Registers move in batches, lazily: a run brings back the general registers, the rest when somebody asks.
"""

from __future__ import annotations

from struct import Struct

import numpy as np
from unicorn import arm64_const as arm64
from unicorn import unicorn_const as const

from minivisor.arch.encoding import REGISTERS
from minivisor.errors import EngineError
from minivisor.machine import breakpoints, engine, hot
from minivisor.machine.exit_checks import drop_exit_checks
from minivisor.machine.gicv import read_gicv, write_gicv
from minivisor.machine.hooks import code_word, count_block, fill_tlb, never, read_system, take, write_system
from minivisor.machine.invalidate import CODE_STALE_AT, STALE_COUNT_AT, Invalidation
from minivisor.machine.live import live_context
from minivisor.machine.memory import PhysicalMemory
from minivisor.machine.register_names import DIRTY_AT, GENERAL, REG_AT, TIMERS, RegisterNames
from minivisor.machine.run import AARCH32, CODE, ERROR, FIXED_POINT, HORIZON, IRQ, SYNC, fetch, inject, run, write_back
from minivisor.machine.state import (
    CORE,
    CP_NAMES,
    LIST_REGISTERS,
    REG_NAMES,
    WORD,
    WRITE_BREAKPOINT,
    WRITE_REGIME,
    WRITE_SYSTEM,
)
from minivisor.machine.system import system
from minivisor.machine.watchpoints import TLBI_VAE1

__all__ = ["AARCH32", "FIXED_POINT", "HORIZON", "IRQ", "SYNC", "TIMERS", "Core"]

GICV_SIZE = 0x2000
PAGE = 4096
RETIRED_AT, SKIPPED_AT = WORD["retired"], WORD["skipped"]
ESR_AT, FAR_AT, HPFAR_AT, HORIZON_AT = (WORD[name] for name in ("esr", "far", "hpfar", "horizon"))
RESUMED_AT, WATCHER_AT, HOST_CLOCK_AT = (WORD[name] for name in ("resumed", "watcher", "host_clock"))
X0_TO_X30 = Struct("=31Q")


class Core(RegisterNames, Invalidation):
    """A Cortex-A72 with EL2.

    memory: the board's RAM. gicv_base: physical address of the virtual CPU interface page. mmu: "minivisor" (our
    walk) or "unicorn" (Unicorn's own two stages). list_registers: how many GICH_LR<n> the board has, 1..16.
    """

    def __init__(self, memory: PhysicalMemory, gicv_base: int, mmu: str = "minivisor", list_registers: int = 4) -> None:
        if not 1 <= list_registers <= LIST_REGISTERS:
            raise EngineError(f"core: {list_registers} list registers; a GICv2 here has 1 to {LIST_REGISTERS}")
        super().__init__(np.zeros(1, CORE))
        self.memory, self.mmu = memory, mmu
        self.record = self.state[0]
        self.address = hot.share(self.state)
        self._keep: list[object] = []
        self.uc = engine.new_engine(mmu == "unicorn")
        self.stops_between_blocks = mmu != "unicorn" and drop_exit_checks(self.uc)
        self._describe_engine()
        self._describe_registers()
        self._describe_memory(gicv_base)
        self._add_hooks()
        self.record.lr_count = list_registers
        self.record.horizon = 1 << 61
        self._read_all()

    # ── set-up ──

    def _describe_engine(self) -> None:
        record, where = self.record, engine.offsets()
        record.uc = engine.handle(self.uc)
        for name in ("emu_start", "emu_stop", "reg_read", "reg_write", "reg_read_batch", "reg_write_batch"):
            setattr(record, name, engine.address_of(f"uc_{name}"))
        for name in ("context_save", "context_restore"):
            setattr(record, name, engine.address_of(f"uc_{name}"))
        record.context, size = engine.allocate_context(self.uc)
        live = live_context(self.uc, engine.handle(self.uc), int(record.context), size, where.x0)
        if live:
            record.context, record.live = live, 1
        for name in engine.Offsets._fields:
            if name != "invalid_address":
                setattr(record, f"{name}_at", getattr(where, name))
        record.invalid_address_at = record.uc + np.uint64(where.invalid_address)
        record.native_mmu = self.mmu == "unicorn"
        record.scratch = self.keep(np.zeros(2, np.uint64))
        record.tlbi = self.keep(np.array([*TLBI_VAE1, 0, 0, 0], np.uint32))  # and the operand, of 64 bits

    def _describe_registers(self) -> None:
        """Lay out the two batches: Unicorn's register numbers, and where in the record each value belongs."""
        plain = [getattr(arm64, f"UC_ARM64_REG_{name}") for name in REG_NAMES]
        coded = [arm64.UC_ARM64_REG_CP_REG] * len(CP_NAMES)
        vectors = [arm64.UC_ARM64_REG_Q0 + n for n in range(32)]
        reg_at = self.address + int(CORE.fields["reg"][1])  # type: ignore[index]
        cp_at = self.address + int(CORE.fields["cp"][1])  # type: ignore[index]
        v_at = self.address + int(CORE.fields["v"][1])  # type: ignore[index]
        cp_size = self.record.cp.dtype.itemsize
        where = [reg_at + 8 * n for n in range(len(plain))] + [cp_at + cp_size * n for n in range(len(coded))]
        self._ids = np.array(plain + coded + vectors, np.int32)
        self._values = np.array(where + [v_at + 16 * n for n in range(32)], np.uint64)
        self.record.batch_ids, self.record.batch_values = self._ids.ctypes.data, self._values.ctypes.data
        for index, name in enumerate(CP_NAMES):
            cell = self.record.cp[index]
            cell["op0"], cell["op1"], cell["crn"], cell["crm"], cell["op2"] = REGISTERS[name]

    def _describe_memory(self, gicv_base: int) -> None:
        record, memory = self.record, self.memory
        record.ram, record.ram_base, record.ram_words = hot.share(memory.words), memory.base, memory.words.size
        record.gicv_base = gicv_base
        self._code_pages = np.zeros(-(-memory.size // (64 * PAGE)), np.uint64)
        self._code_bits = memoryview(self._code_pages)  # type: ignore[arg-type]  # the same words, as integers
        record.code_pages, record.code_words = hot.share(self._code_pages), self._code_pages.size
        engine.map_memory(self.uc, memory.base, memory.bytes)
        self._keep.append(breakpoints.map_rom(self.uc))
        engine.map_device(self.uc, gicv_base, GICV_SIZE, read_gicv.address, write_gicv.address, self.address)

    def _add_hooks(self) -> None:
        """hooks: Unicorn's handles by what they are for; a diagnostic may put itself in their place (`table_log`)."""
        user, self.hooks = self.address, dict[str, int]()
        if self.mmu == "minivisor":
            self.hooks["fill_tlb"] = engine.add_hook(self.uc, const.UC_HOOK_TLB_FILL, fill_tlb.address, user)
            engine.spare_kernel_code(self.uc, never.address)
        self.hooks["block"] = engine.add_hook(self.uc, const.UC_HOOK_BLOCK, count_block.address, user)
        engine.add_hook(self.uc, const.UC_HOOK_INTR, take.address, user)
        for name, instruction, hook in (
            ("read_system", arm64.UC_ARM64_INS_MRS, read_system),
            ("write_system", arm64.UC_ARM64_INS_MSR, write_system),
            ("system", arm64.UC_ARM64_INS_SYS, system),
        ):
            self.hooks[name] = engine.add_hook(self.uc, const.UC_HOOK_INSN, hook.address, user, instruction)

    def keep(self, array: np.ndarray) -> int:
        """Hold memory that the record points to for as long as the core is there. Returns its address."""
        self._keep.append(array)
        return int(array.ctypes.data)

    # ── registers ──

    def general(self) -> tuple[int, ...]:
        """X0..X30 at once."""
        return X0_TO_X30.unpack_from(self.words, 8 * REG_AT)

    @property
    def syndrome(self) -> tuple[int, int, int]:
        """ESR_EL2, FAR_EL2 and HPFAR_EL2 of the last SYNC."""
        return self.words[ESR_AT], self.words[FAR_AT], self.words[HPFAR_AT]

    def code_at(self, va: int) -> int:
        """The instruction word at a virtual address of the loaded vCPU, 0 where there is none. It marks no TLB."""
        self._write_back()
        return int(code_word(self.address, va))

    def _read_all(self) -> None:
        self._fetch(0)

    def _read_all_but_general(self) -> None:
        self._fetch(len(GENERAL))

    def _fetch(self, first: int) -> None:
        status = fetch(self.address, first)
        if status:
            raise EngineError(f"engine: to read all registers from number {first} on failed with status {status}")
        self._stale = False

    def _write_back(self) -> None:
        """Everything EL2 changed goes to the engine, and what a write from outside does not do there is done."""
        dirty = self.words[DIRTY_AT]
        if dirty & WRITE_BREAKPOINT:
            breakpoints.arm(self)
        write_back(self.address)
        if dirty & WRITE_REGIME:
            engine.flush_tlb(self.uc)

    # ── running ──

    def run(self, horizon: int = 1 << 61, resume: bool = False) -> int:
        """Run the loaded vCPU until EL2 is needed or virtual time reaches `horizon` ns. Returns SYNC, IRQ, HORIZON
        FIXED_POINT or AARCH32. resume: go on after HORIZON as if there had been no return; else it is one, as by ERET.

        Raises EngineError when the engine stops for a reason that no guest can cause, and where nobody would stop it.
        """
        words = self.words
        if words[HOST_CLOCK_AT] and not words[WATCHER_AT]:
            raise EngineError("core: time is the host's, and nobody watches it; `with Watch(core)` was expected")
        words[HORIZON_AT], words[RESUMED_AT] = horizon, resume
        if words[DIRTY_AT] & WRITE_SYSTEM:
            self._write_back()
        if words[CODE_STALE_AT] | words[STALE_COUNT_AT]:
            self._drop_stale_code()
        reason: int = run(self.address)
        while reason == CODE:
            self._drop_stale_code()
            reason = run(self.address)
        if reason == AARCH32 and self.stops_between_blocks:  # translating for that state resets the flag
            drop_exit_checks(self.uc)
            self.uc.ctl_flush_tb()
        self._stale = True
        if not hot.JIT:
            hot.check_callbacks()
        if reason == ERROR:
            raise EngineError(f"engine: stopped with status {int(self.record.error)} at PC {self.read('PC'):#x}")
        return reason

    def inject(self, exception_class: int, iss: int, far: int = 0) -> None:
        """Enter EL1's vector with this syndrome; the loaded vCPU returns to where it is now. far: for aborts, bytes."""
        self._write_back()
        inject(self.address, exception_class, iss, far)
        self._stale = True

    @property
    def now(self) -> int:
        """Virtual time in ns."""
        return self.words[RETIRED_AT] + self.words[SKIPPED_AT]

    @property
    def retired(self) -> int:
        """Instructions retired since power-on; 0 where nobody counts."""
        return self.words[RETIRED_AT]

    @property
    def counts(self) -> bool:
        """Are instructions counted? Not where time is the host's (`watch`)."""
        return not self.words[HOST_CLOCK_AT]

    @property
    def progress(self) -> int:
        """A number that differs from an exit to the next if the guest got anywhere in between."""
        return self.retired if self.counts else self.words[WORD["progress"]]

    def retire_one(self) -> None:
        """EL2 carried out an instruction for the guest: it counts, in instructions and in time."""
        self.words[RETIRED_AT] += self.counts

    def skip(self, nanoseconds: int) -> None:
        """Let time pass without instructions: an idle core, or what an exit costs."""
        self.words[SKIPPED_AT] += nanoseconds
