"""Code without a look at the stop request behind each load and store, so that a stop asked for outside is between blocks.

Unicorn's code asks at the start of each block and again behind each memory access whether somebody wants it to stop. Behind an
access PC is still on it, so that it is done again with the next start; and a load that overwrote its own address then reads
another word. The run is wrong, silently, some times in a thousand stops. Before each block it is right.

For the sake of Thumb's IT blocks there is a flag in the engine that makes the translator leave out what is behind accesses.
For AArch64 nothing else writes it. Our TLB hook leaves the engine by another way when an access faults, and there is nothing
else that needs those looks; without them guests are a fifth faster. The flag is found by a neighbour that an official call
sets, and believed after an experiment with and without it:

    { u32 context_content, u32 cpu_context_size, u64 next_pc, bool hook_insert, first_tb, no_exit_request, init_done = 1 }

Where it is not found, or does not behave, the answer is 0: a guest is stopped by the hook before each block as ever, and is
slower. With the looks or without them a run in virtual time is the same run. Unicorn's own MMU keeps them: it reports some
faults there.
"""

from __future__ import annotations

import ctypes
import functools

from unicorn import UC_HOOK_INTR, UC_HOOK_MEM_READ, Uc
from unicorn import arm64_const as arm64
from unicorn import unicorn_const as const
from unicorn.unicorn_py3.unicorn import uclib

from minivisor.machine import engine

__all__ = ["drop_exit_checks", "flag_offset", "keep_exit_checks"]

ENGINE_BYTES = 8192
CONTEXT_MODE = const.UC_CTL_CONTEXT_MODE | const.UC_CTL_IO_WRITE << 30 | 1 << 26  # one argument
ENDS_WITH = bytes((0, 0, 0, 1))  # hook_insert, first_tb, no_exit_request, init_done, of an engine that has not run yet
FLAG_IN_IT = 2
CODE, TABLE = 0x4000_0000, 0x4000_0100
PROBE = b"".join(word.to_bytes(4, "little") for word in (0xF869_5949, 0x1400_0001, 0xD400_0002))
"""ldr x9, [x10, w9, uxtw #3]; b .+4; hvc #0: two blocks, and the first must not be done twice."""


def drop_exit_checks(uc: Uc) -> bool:
    """Translate without them from now on; False where that cannot be had. What was translated before has them."""
    at = flag_offset()
    if at:
        _flag(uc, at).value = 1
    return bool(at)


def keep_exit_checks(uc: Uc) -> bool:
    """Does this engine translate with them?"""
    at = flag_offset()
    return not (at and _flag(uc, at).value)


def _flag(uc: Uc, at: int) -> ctypes.c_uint8:
    return ctypes.c_uint8.from_address(engine.handle(uc) + at)


@functools.cache
def flag_offset() -> int:
    """Where in the engine the flag is; 0 where it is not, or is something else."""
    at = _search(_probe())
    return at if at and _stopped_at(0) == CODE and _stopped_at(at) == CODE + 8 else 0


def _probe() -> Uc:
    uc = engine.new_engine(native_mmu=False)
    uc.mem_map(CODE, 4096)
    uc.mem_write(CODE, PROBE)
    return uc


def _search(uc: Uc) -> int:
    """By its neighbours."""
    images = []
    for mode in (const.UC_CTL_CONTEXT_CPU, const.UC_CTL_CONTEXT_MEMORY, const.UC_CTL_CONTEXT_CPU):
        if uclib.uc_ctl(uc._uch, CONTEXT_MODE, ctypes.c_int(mode)) != const.UC_ERR_OK:
            return 0
        images.append(ctypes.string_at(engine.handle(uc), ENGINE_BYTES))
    changed = [at for at, (a, b, c) in enumerate(zip(*images, strict=True)) if a != b and a == c]
    if len(changed) != 1:
        return 0
    flags = -(-(changed[0] + 8) // 8) * 8 + 8  # behind the word, the next one, and next_pc, which is aligned
    return flags + FLAG_IN_IT if images[0][flags : flags + 4] == ENDS_WITH else 0


def _stopped_at(at: int) -> int:
    """PC after a stop that was asked for during the load, with the flag at this offset set, or without it for 0."""
    uc = _probe()
    if at:
        _flag(uc, at).value = 1
    uc.hook_add(UC_HOOK_MEM_READ, lambda engine, *_: engine.emu_stop())
    uc.hook_add(UC_HOOK_INTR, lambda engine, *_: engine.emu_stop())
    uc.reg_write(arm64.UC_ARM64_REG_X10, TABLE)
    uc.emu_start(CODE, 0)
    return int(uc.reg_read(arm64.UC_ARM64_REG_PC))
