"""The facts about Unicorn that this machine is built on, each with a test that notices when an upgrade changes it."""

from __future__ import annotations

import ctypes
import time

import numpy as np
import pytest
from unicorn import UC_HOOK_BLOCK, UC_HOOK_INSN, UC_HOOK_INTR, UC_HOOK_MEM_READ, UC_HOOK_TLB_FILL, Uc
from unicorn import arm64_const as arm64

from minivisor.errors import EngineError
from minivisor.machine import engine
from minivisor.machine.state import CP_NAMES
from tests.machine import a64
from tests.machine.rig import AF, EL0T, EL1H, RAM, Rig

BASE = 0x1_0000
SPSR = (4, 0, 3, 0, 0)  # SPSR_EL1 as crn, crm, op0, op1, op2


class Raw:
    """An engine with hooks in Python: all pages one to one, and a list of what happened."""

    def __init__(self, *words: int) -> None:
        self.uc: Uc = engine.new_engine(native_mmu=False)
        self.log: list[object] = []
        self.fills: list[int] = []
        self.uc.mem_map(BASE, 0x1_0000)
        self.put(*words)
        self.uc.hook_add(UC_HOOK_TLB_FILL, self._fill)
        self.uc.hook_add(UC_HOOK_INTR, self._interrupt)

    def put(self, *words: int, at: int = BASE) -> None:
        self.uc.mem_write(at, b"".join(word.to_bytes(4, "little") for word in words))

    def _fill(self, _uc: Uc, va: int, _access: int, entry: object, _user: object) -> bool:
        self.fills.append(va)
        entry.paddr, entry.perms = va, 7  # type: ignore[attr-defined]
        return BASE <= va < BASE + 0x1_0000

    def _interrupt(self, uc: Uc, number: int, _user: object) -> None:
        self.log.append(number)
        uc.emu_stop()

    def run(self, at: int = BASE) -> list[object]:
        self.log.clear()
        self.uc.emu_start(at, 0)
        return self.log

    def read(self, name: str) -> int:
        return int(self.uc.reg_read(getattr(arm64, f"UC_ARM64_REG_{name}")))


def test_a_stop_in_the_block_hook_comes_before_that_block() -> None:
    raw = Raw(a64.ADD(0, 0, 1), a64.B(8), a64.NOP, a64.ADD(0, 0, 2), a64.HVC(1))
    blocks = []

    def block(uc: Uc, address: int, size: int, _user: object) -> None:
        blocks.append((address - BASE, size))
        if address == BASE + 12:
            uc.emu_stop()

    raw.uc.hook_add(UC_HOOK_BLOCK, block)
    assert raw.run() == []
    assert (raw.read("X0"), raw.read("PC")) == (1, BASE + 12)
    assert raw.run(BASE + 12) == []  # again: it is stopped before it, however often
    assert blocks == [(0, 8), (12, 8), (12, 8)]


def test_a_stop_in_the_middle_leaves_pc_at_the_instruction() -> None:
    """What the clock subtracts from a block that was counted whole."""
    raw = Raw(a64.NOP, a64.UDF, a64.NOP)
    assert raw.run() == [1]
    assert raw.read("PC") == BASE + 4
    raw.put(a64.NOP, a64.NOP, a64.SVC(1))
    raw.uc.ctl_flush_tb()
    assert raw.run() == [2]
    assert raw.read("PC") == BASE + 12


def test_pstate_takes_effect_only_with_a_write_by_encoding_behind_it() -> None:
    """unicorn#2333. Were it repaired, SPSR_EL1 need not be last in the batch."""
    raw = Raw(a64.mrs(0, "VBAR_EL1"), a64.HVC(1))
    raw.uc.reg_write(arm64.UC_ARM64_REG_PSTATE, EL1H)
    raw.uc.reg_write(arm64.UC_ARM64_REG_CP_REG, (*SPSR, 0))
    assert raw.run() == [11]
    raw.uc.reg_write(arm64.UC_ARM64_REG_PSTATE, EL0T)
    assert raw.run() == [11]  # EL1 still
    raw.uc.reg_write(arm64.UC_ARM64_REG_CP_REG, (*SPSR, 0))
    assert raw.run() == [1]
    assert CP_NAMES[-1] == "SPSR_EL1"


def test_exceptions_are_numbered_as_qemu_does() -> None:
    raw = Raw()
    for word, number in ((a64.UDF, 1), (a64.SVC(0), 2), (a64.BRK(0), 7), (a64.HVC(0), 11), (a64.SMC(0), 13)):
        raw.put(word)
        raw.uc.ctl_flush_tb()
        assert raw.run() == [number]


def test_a_write_to_ttbr_from_outside_does_not_flush_and_an_msr_does() -> None:
    """Why EL2's register writes flush themselves (Core), and a guest's need not."""
    raw = Raw(a64.LDR(0, 1), a64.HVC(1))
    raw.uc.reg_write(arm64.UC_ARM64_REG_X1, BASE + 0x8000)
    raw.run()
    first = len(raw.fills)
    raw.uc.reg_write(arm64.UC_ARM64_REG_TTBR0_EL1, 5 << 48)
    raw.run()
    assert len(raw.fills) == first > 0
    raw.put(a64.msr("TTBR0_EL1", 2), a64.LDR(0, 1), a64.HVC(1))
    raw.uc.ctl_flush_tb()
    raw.uc.reg_write(arm64.UC_ARM64_REG_X2, 6 << 48)
    raw.fills.clear()
    raw.run()
    assert BASE + 0x8000 in raw.fills


def test_the_engine_tells_host_time_unless_it_is_asked_not_to() -> None:
    raw = Raw(a64.mrs(0, "CNTVCT_EL0"), a64.mrs(1, "CNTVCT_EL0"), a64.HVC(1))

    def mrs(uc: Uc, register: int, _cp_reg: object, _user: object) -> bool:
        uc.reg_write(register, 77)
        return True

    raw.run()
    assert raw.read("X0") > 0  # the host's
    raw.uc.hook_add(UC_HOOK_INSN, mrs, None, 1, 0, arm64.UC_ARM64_INS_MRS)
    raw.uc.ctl_flush_tb()
    raw.run()
    assert (raw.read("X0"), raw.read("X1")) == (77, 77)


def test_what_is_kept_where_is_found_by_making_it_take_a_value() -> None:
    found = engine.offsets()
    assert found.syndrome % 4 == found.exclusive % 8 == found.pstate % 8 == found.invalid_address % 8 == 0
    assert len(set(found)) == len(found)
    memory = (ctypes.c_uint32 * 4)(1, 2, 3, 4)
    assert engine._find(ctypes.addressof(memory), 16, 3, 4, "three") == 8
    with pytest.raises(EngineError, match="five not found in 16 bytes"):
        engine._find(ctypes.addressof(memory), 16, 5, 4, "five")


def test_a_status_other_than_ok_is_an_engine_error() -> None:
    raw = Raw()
    with pytest.raises(EngineError, match="uc_mem_map_ptr"):
        engine.map_memory(raw.uc, BASE, np.zeros(4096, np.uint8))  # mapped already


def test_a_stop_from_outside_may_repeat_a_load_that_overwrote_its_address() -> None:
    """Why `exit_checks` exists: the engine looks for a stop behind each access, not only between blocks, and then has PC on
    the access. Were it behind it, the watcher could stop any code."""
    table = BASE + 0x100
    raw = Raw(0xF869_5949, a64.HVC(1))  # ldr x9, [x10, w9, uxtw #3]
    raw.uc.mem_write(table, (0x1234).to_bytes(8, "little"))
    raw.uc.reg_write(arm64.UC_ARM64_REG_X10, table)
    raw.uc.hook_add(UC_HOOK_MEM_READ, lambda uc, *_: uc.emu_stop())
    raw.run()
    assert raw.read("X9") == 0x1234
    assert raw.read("PC") == BASE


def test_code_of_the_upper_half_is_translated_without_a_search_of_twelve_tlbs() -> None:
    """Half the price of a new block (5 of 11 µs); where a hook no longer spares it, `engine.spare_kernel_code` can go."""

    def seconds(upper: bool) -> float:
        rig, code, blocks = Rig(), RAM + 0x20_0000, 4000
        _, kernel = rig.mmu_on()
        va = 0xFFFF_FF80_0000_0000 | code if upper else code
        rig.map(kernel, va & 0x7F_FFFF_FFFF, code | AF | 1 << 7, 2)
        rig.load([a64.NOP, a64.B(4)] * blocks + [a64.HVC(9)], code)
        rig.start(a64.BR(1), X1=va)
        started = time.thread_time()
        assert rig.hvc() == 9
        return time.thread_time() - started

    pairs = [(seconds(True), seconds(False)) for _ in range(5)]
    assert min(upper for upper, _ in pairs) < 0.8 * min(lower for _, lower in pairs)
