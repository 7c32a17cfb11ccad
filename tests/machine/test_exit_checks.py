"""Where Unicorn looks for a request to stop, and that a request from another thread leaves the guest's work right."""

from __future__ import annotations

import pytest
from unicorn import Uc

from minivisor.machine import engine, exit_checks
from minivisor.machine.core import HORIZON, SYNC
from minivisor.machine.watch import Watch, follow_host_clock
from tests.machine import a64
from tests.machine.rig import DATA, Rig

NODES = 64
RING, PAIRS, TABLE = DATA, DATA + 0x1000, DATA + 0x2000
STEP = 23  # coprime with NODES


def test_the_flag_is_found_and_does_what_we_think() -> None:
    at = exit_checks.flag_offset()
    assert at
    assert exit_checks._stopped_at(0) == exit_checks.CODE, "with them, a load is stopped behind its work, and done again"
    assert exit_checks._stopped_at(at) == exit_checks.CODE + 8, "without, the block is done, and the next has not begun"


def test_an_engine_without_them_says_so() -> None:
    uc = engine.new_engine(native_mmu=False)
    assert exit_checks.keep_exit_checks(uc)
    assert exit_checks.drop_exit_checks(uc)
    assert not exit_checks.keep_exit_checks(uc)


@pytest.mark.parametrize("broken", ["_search", "_stopped_at"])
def test_a_flag_that_is_not_there_or_does_something_else_is_not_used(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exit_checks, broken, lambda _given: 0)
    exit_checks.flag_offset.cache_clear()
    try:
        uc: Uc = engine.new_engine(native_mmu=False)
        assert not exit_checks.drop_exit_checks(uc)
        assert exit_checks.keep_exit_checks(uc)
        assert not follow_host_clock(Rig().core)
    finally:
        monkeypatch.undo()
        exit_checks.flag_offset.cache_clear()


def chase(rig: Rig, turns: int) -> None:
    """A loop of loads that overwrite their own addresses, and a store with writeback: done twice, each ends elsewhere."""
    for node in range(NODES):
        after = (node + STEP) % NODES
        rig.memory.write(RING + 8 * node, RING + 8 * after)
        rig.memory.write(PAIRS + 16 * node, PAIRS + 16 * after)
        rig.memory.write(PAIRS + 16 * node + 8, node)
        rig.memory.write(TABLE + 8 * node, after)
    loop = [
        0xF869_5949,  # ldr x9, [x10, w9, uxtw #3]
        a64.LDR(0, 0),
        0xA940_0C42,  # ldp x2, x3, [x2]
        0x8B03_0084,  # add x4, x4, x3
        0xF800_84C5,  # str x5, [x6], #8
        0xD100_20C6,  # sub x6, x6, #8
        a64.SUBS(7, 7, 1),
    ]
    registers = {"X0": RING, "X2": PAIRS, "X4": 0, "X6": DATA + 0x3000, "X7": turns, "X9": 0, "X10": TABLE}
    rig.start(loop, a64.CBNZ(7, -4 * len(loop)), a64.HVC(1), **registers)


def test_a_guest_that_is_stopped_everywhere_comes_to_the_right_end() -> None:
    """With the looks behind accesses kept, this ends at wrong nodes."""
    turns, stops, rig = 3_000_000, 0, Rig()
    assert follow_host_clock(rig.core)
    chase(rig, turns)
    with Watch(rig.core):
        while (reason := rig.core.run(rig.core.now + 20_000, resume=stops > 0)) == HORIZON:
            stops += 1
    assert reason == SYNC and rig.core.syndrome[0] & 0xFFFF == 1
    node = turns * STEP % NODES
    assert rig.read("X0", "X2", "X9") == (RING + 8 * node, PAIRS + 16 * node, node)
    assert rig.read("X4", "X6") == (turns // NODES * sum(range(NODES)), DATA + 0x3000)
    assert stops > 20
