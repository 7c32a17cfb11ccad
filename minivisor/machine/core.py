"""One physical core: the engine, its record, and the registers by their architectural names.

This is all that EL2 software sees of the CPU: `read` and `write` registers, `run` until an exception to EL2, invalidate
TLB entries. Registers move in batches, lazily: a run brings back the general registers, the rest when somebody asks.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Protocol

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
from minivisor.machine.run import AARCH32, CODE, ERROR, FIXED_POINT, HORIZON, IRQ, SYNC, inject, run
from minivisor.machine.state import CORE, CP_NAMES, LIST_REGISTERS, REG_NAMES, WORD
from minivisor.machine.system import system
from minivisor.machine.watchpoints import TLBI_VAE1

__all__ = ["AARCH32", "FIXED_POINT", "HORIZON", "IRQ", "SYNC", "Core"]

TIMERS = {
    "CNTVOFF_EL2": "cntvoff",
    "CNTV_CTL_EL0": "cntv_ctl",
    "CNTV_CVAL_EL0": "cntv_cval",
    "CNTP_CTL_EL0": "cntp_ctl",
    "CNTP_CVAL_EL0": "cntp_cval",
    "CNTHP_CTL_EL2": "cnthp_ctl",
    "CNTHP_CVAL_EL2": "cnthp_cval",
}
GICV_SIZE = 0x2000
PAGE = 4096
MASK64 = (1 << 64) - 1
WRITE_GENERAL, WRITE_SYSTEM, WRITE_REGIME, WRITE_BREAKPOINT = 1, 2, 4, 8
REGIME = ("SCTLR_EL1", "TCR_EL1", "TTBR0_EL1", "TTBR1_EL1")
# What a write from outside does not do in the engine: drop what its own TLB does not tell apart, arm breakpoints.
FOLLOWED = dict.fromkeys(REGIME, WRITE_REGIME) | dict.fromkeys(breakpoints.BREAKPOINTS, WRITE_BREAKPOINT)
REG_AT, DIRTY_AT, RETIRED_AT, SKIPPED_AT = (WORD[name] for name in ("reg", "dirty", "retired", "skipped"))
ESR_AT, FAR_AT, HPFAR_AT, HORIZON_AT = (WORD[name] for name in ("esr", "far", "hpfar", "horizon"))
RESUMED_AT, WATCHER_AT, HOST_CLOCK_AT = (WORD[name] for name in ("resumed", "watcher", "host_clock"))
GENERAL = REG_NAMES[:34]  # X0..X30, SP, PC, PSTATE: what a run brings back
CP_WORDS, CP_VALUE = 4, 3  # a cell of `cp` is four words, its value the last
X0_TO_X30 = Struct("=31Q")

# Architectural name -> the word of the record that holds it: at once, or after the rest has been read from the engine.
AT_ONCE = {name: REG_AT + index for index, name in enumerate(GENERAL)}
AT_ONCE |= {name: WORD[field] for name, field in TIMERS.items()}
LATER = {name: REG_AT + index for index, name in enumerate(REG_NAMES) if name not in AT_ONCE}
LATER |= {name: WORD["cp"] + CP_WORDS * index + CP_VALUE for index, name in enumerate(CP_NAMES)}
VECTORS = {f"V{n}": WORD["v"] + 2 * n for n in range(32)}  # the low half; the high one follows
BANKED = {"SP_EL0": 0, "SP_EL1": 1}


def stack_level(pstate: int) -> int:
    """Whose banked stack pointer SP is: SP_EL0 at EL0 and with PSTATE.SP=0, otherwise SP_EL1."""
    return 1 if pstate & 0b1101 == 0b0101 else 0


class SystemRegisters(Protocol):
    """Registers that belong to the board rather than to the core, as a GIC's do: None or False where there is no such name."""

    def read(self, name: str) -> int | None: ...

    def write(self, name: str, value: int) -> bool: ...


@functools.cache
def _places(names: tuple[str, ...], level: int) -> tuple[tuple[str, int], ...]:
    """Which word holds each register of 64 bits while SP is that of `level`; the other bank is where it always is."""
    known = AT_ONCE | LATER | {name: AT_ONCE["SP"] for name, bank in BANKED.items() if bank == level}
    return tuple((name, known[name]) for name in names if name not in VECTORS)


@functools.cache
def _vectors(names: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    return tuple((name, VECTORS[name]) for name in names if name in VECTORS)


class Core(Invalidation):
    """A Cortex-A72 with EL2.

    memory: the board's RAM. gicv_base: physical address of the virtual CPU interface page. mmu: "minivisor" (our
    walk) or "unicorn" (Unicorn's own two stages). list_registers: how many GICH_LR<n> the board has, 1..16.
    """

    def __init__(self, memory: PhysicalMemory, gicv_base: int, mmu: str = "minivisor", list_registers: int = 4) -> None:
        if not 1 <= list_registers <= LIST_REGISTERS:
            raise EngineError(f"core: {list_registers} list registers; a GICv2 here has 1 to {LIST_REGISTERS}")
        self.memory, self.mmu = memory, mmu
        self.state = np.zeros(1, CORE)
        self.record = self.state[0]
        self.words = memoryview(self.state).cast("B").cast("Q")  # type: ignore[arg-type]  # the same record, as integers
        self.address = hot.share(self.state)
        self._keep: list[object] = []
        self._stale = False  # registers beyond the general ones must be read before they are seen
        self._attached: SystemRegisters | None = None
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
        self._vectors_at = len(where)
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

    def attach(self, registers: SystemRegisters) -> None:
        """The board's own system registers are reached by name like all others."""
        self._attached = registers

    def _batch(self, function: str, first: int, count: int) -> None:
        words = self.words
        ids, values = words[WORD["batch_ids"]] + 4 * first, words[WORD["batch_values"]] + 8 * first
        status = _BATCH(words[WORD[function]])(words[WORD["uc"]], ids, values, count)
        self.words[WORD["moved"]] += 8 * (count + max(0, first + count - self._vectors_at))  # V0..V31 are twice as wide
        if status:
            raise EngineError(f"engine: a batch of {count} registers from {first} failed with status {status}")

    def _read_all(self) -> None:
        self._batch("reg_read_batch", 0, len(self._ids))
        self._stale = False

    def read(self, name: str) -> int:
        """A register by its architectural name; V0..V31 are 128 bits. SP_EL0 and SP_EL1 are the banked values."""
        words, at = self.words, AT_ONCE.get(name)
        if at is not None:
            return words[at]
        if self._stale:
            self._read_all_but_general()
        if name in VECTORS:
            at = VECTORS[name]
            return words[at] | words[at + 1] << 64
        if name[:2] == "IC" and self._attached is not None:
            value = self._attached.read(name)
            if value is not None:
                return value
        return words[self._word_of(name)]

    def write(self, name: str, value: int) -> None:
        """Write a register by its architectural name. "CLREX" clears the exclusive monitor, which every return does."""
        words, at = self.words, AT_ONCE.get(name)
        if at is not None:
            if name == "PSTATE":
                self._select_stack(value)
            words[at] = value & MASK64
            if name not in TIMERS:
                words[DIRTY_AT] |= WRITE_GENERAL
            return
        if name == "CLREX" or (name[:2] == "IC" and self._attached is not None and self._attached.write(name, value)):
            return
        if self._stale:
            self._read_all_but_general()
        if name in VECTORS:
            at = VECTORS[name]
            words[at], words[at + 1] = value & MASK64, value >> 64 & MASK64
        else:
            at = self._word_of(name)
            if words[at] != value & MASK64 and name in FOLLOWED:
                words[DIRTY_AT] |= FOLLOWED[name]
            words[at] = value & MASK64
        words[DIRTY_AT] |= WRITE_SYSTEM

    def read_many(self, names: Sequence[str]) -> dict[str, int]:
        """The same as `read` of each, names known, in one go: a world switch asks for a hundred."""
        if self._stale:
            self._read_all_but_general()
        words = self.words
        found = {name: words[at] for name, at in _places(tuple(names), self._stack_level())}
        return found | {name: words[at] | words[at + 1] << 64 for name, at in _vectors(tuple(names))}

    def write_many(self, values: Mapping[str, int]) -> None:
        """The same as `write` of each, PSTATE first, in one go."""
        if self._stale:
            self._read_all_but_general()
        words, names = self.words, tuple(values)
        if "PSTATE" in values:
            self._select_stack(values["PSTATE"])
            words[AT_ONCE["PSTATE"]] = values["PSTATE"]
        for name in FOLLOWED:
            if name in values and words[LATER[name]] != values[name]:
                words[DIRTY_AT] |= FOLLOWED[name]
        for name, at in _places(names, self._stack_level()):
            words[at] = values[name] & MASK64
        for name, at in _vectors(names):
            words[at], words[at + 1] = values[name] & MASK64, values[name] >> 64 & MASK64
        words[DIRTY_AT] |= WRITE_GENERAL | WRITE_SYSTEM

    def _word_of(self, name: str) -> int:
        """Where a system register is: the stack pointer in use is SP, not its own bank."""
        if BANKED.get(name) == self._stack_level():
            return AT_ONCE["SP"]
        at = LATER.get(name)
        if at is None:
            raise EngineError(f"core: no register named {name!r}; names are the architecture's (DDI 0487)")
        return at

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

    def _stack_level(self) -> int:
        """Which banked stack pointer SP is now."""
        return stack_level(self.words[AT_ONCE["PSTATE"]])

    def _select_stack(self, pstate: int) -> None:
        """Another PSTATE may have another stack pointer in use: the one before goes to its bank, the new one comes out."""
        before, after, words = self._stack_level(), stack_level(pstate), self.words
        if before == after:
            return
        if self._stale:
            self._read_all_but_general()
        words[LATER[f"SP_EL{before}"]] = words[AT_ONCE["SP"]]
        words[AT_ONCE["SP"]] = words[LATER[f"SP_EL{after}"]]
        words[DIRTY_AT] |= WRITE_SYSTEM

    def _read_all_but_general(self) -> None:
        self._batch("reg_read_batch", len(GENERAL), len(self._ids) - len(GENERAL))
        self._stale = False

    def _write_back(self) -> None:
        """Everything EL2 changed beyond the general registers; those by encoding go last, they rebuild the flags."""
        if self.words[DIRTY_AT] & WRITE_BREAKPOINT:
            breakpoints.arm(self)
            self.words[DIRTY_AT] &= ~WRITE_BREAKPOINT
        if self.words[DIRTY_AT] & WRITE_SYSTEM:
            plain, coded = len(REG_NAMES), len(CP_NAMES)
            self._batch("reg_write_batch", plain + coded, 32)
            self._batch("reg_write_batch", 0, plain + coded)
            self.words[WORD["regime_stale"]] = self.words[WORD["watch_stale"]] = 1
        if self.words[DIRTY_AT] & WRITE_REGIME:  # an MSR would have done this in the engine; a register write does not
            engine.flush_tlb(self.uc)
            self.words[DIRTY_AT] &= ~WRITE_REGIME

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


_BATCH = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)
