"""The engine's registers in place: found, equal to a saved context, and not needed."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from unicorn import arm64_const as arm64

from minivisor.bench.hosted import Hosted
from minivisor.machine import core as core_module
from minivisor.machine import engine, live
from minivisor.machine.board import Machine


def test_memory_that_is_not_there_reads_as_nothing_and_ends_nothing() -> None:
    kept = np.arange(8, dtype=np.uint64)
    assert live.readable(int(kept.ctypes.data), 64) == kept.tobytes()
    assert live.readable(0x10, 8) == b""
    assert live.readable(0x7FFF_FFFF_F000_0000, 8) == b""


def test_registers_are_found_in_place_and_left_as_they_were() -> None:
    uc, where = engine.new_engine(native_mmu=False), engine.offsets()
    context, size = engine.allocate_context(uc)
    address = live.live_context(uc, engine.handle(uc), context, size, where.x0)
    assert address
    assert [uc.reg_read(register) for register in live.REGISTERS] == [0] * 4
    uc.reg_write(arm64.UC_ARM64_REG_ELR_EL1, 0x1234_5678)
    assert ctypes.c_uint64.from_address(address + where.elr_el1).value == 0x1234_5678
    ctypes.c_uint64.from_address(address + where.x0 + 8 * 30).value = 99
    assert uc.reg_read(arm64.UC_ARM64_REG_X30) == 99


def test_what_differs_from_a_context_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    uc, where = engine.new_engine(native_mmu=False), engine.offsets()
    context, size = engine.allocate_context(uc)
    monkeypatch.setattr(live, "_same", lambda *_: False)
    assert live.live_context(uc, engine.handle(uc), context, size, where.x0) == 0
    monkeypatch.setattr(live, "_known", [])
    monkeypatch.setattr(live, "_search", lambda _address: None)
    assert live.live_context(uc, engine.handle(uc), context, size, where.x0) == 0


def test_a_run_is_the_same_where_they_are_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    def digest() -> tuple[str, int]:
        hosted = Hosted("svc 3000")
        hosted.hypervisor.run()
        assert "bench: svc 3000" in hosted.persona.console.decode()
        return hosted.hypervisor.trace.digest(), int(hosted.hypervisor.core.record.restarts)

    in_place, few = digest()
    monkeypatch.setattr(core_module, "live_context", lambda *_: 0)
    assert Machine("a").core.record.live == 0
    by_copies, many = digest()
    assert in_place == by_copies
    assert many > few + 2500  # each call stopped the engine
