"""Compile every hot loop into Numba's cache, by using each once on a machine with nothing in its memory.

An empty machine is enough: its first instruction is undefined, its vector cannot be fetched, and that is a fixed point. On the
way the run loop, the walk, exception entry and all hooks have been compiled, for both kinds of caller.
"""

from __future__ import annotations

from minivisor.machine.board import Machine
from minivisor.machine.watch import Watch

__all__ = ["warm"]


def warm() -> None:
    """Compile what is not compiled yet; takes some 20 s the first time and well under one afterwards."""
    core = Machine().core
    core.write("PSTATE", 0x3C5)
    core.write("PC", core.memory.base)
    core.run(horizon=core.now + 1000)
    core.inject(0, 0)
    core.code_at(core.memory.base)
    core.tlbi_ipa(0)
    core.tlbi_vmid(1)
    core.tlbi_all()
    Watch(core)
