"""The Unicorn engine as a core: set up in the order it needs, and measured before it is trusted.

Unicorn computes syndromes, the exclusive monitor and the exact fault address but has no call that returns them. They sit in
the saved context and in the engine's own structure. Where, differs from build to build; so `offsets()` finds each by making
it take a known value, and refuses to go on when one is not found.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any, NamedTuple

import numpy as np
from unicorn import UC_ARCH_ARM64, UC_HOOK_INTR, UC_MODE_ARM, Uc, UcError
from unicorn import arm64_const as arm64
from unicorn import unicorn_const as const
from unicorn.unicorn_py3.unicorn import uclib

from minivisor.errors import EngineError

__all__ = [
    "Offsets",
    "add_hook",
    "address_of",
    "allocate_context",
    "flush_tlb",
    "handle",
    "map_device",
    "map_memory",
    "new_engine",
    "offsets",
    "remove_hook",
    "replace_hook",
    "spare_kernel_code",
]

TCG_BUFFER = 32 << 20
SCR_EL3, HCR_EL2, OSLAR_EL1 = (1, 1, 3, 6, 0), (1, 1, 3, 4, 0), (1, 0, 2, 0, 4)  # crn, crm, op0, op1, op2
SCR_RW_HCE_NS = 0x531  # EL2 is AArch64, HVC enabled, non-secure (DDI 0487, SCR_EL3)
HCR_RW = 1 << 31  # EL1 is AArch64


class Offsets(NamedTuple):
    """Byte offsets in this build: in a saved context (syndrome, exclusive, pstate), in the engine (invalid_address).

    pstate: two words of 32 bits, PSTATE without its flags and whether the core is in AArch64; PC is before it. x0: X0..X30
    and SP. The others are the registers of their names.
    """

    syndrome: int
    exclusive: int
    pstate: int
    invalid_address: int
    x0: int
    sp_el0: int
    sp_el1: int
    elr_el1: int
    esr_el1: int
    vbar_el1: int


def new_engine(native_mmu: bool) -> Uc:
    """A Cortex-A72 at EL1 under an AArch64 EL2. The order matters: each setting must come before the engine's first use."""
    uc = Uc(UC_ARCH_ARM64, UC_MODE_ARM)
    uc.ctl_set_cpu_model(arm64.UC_CPU_ARM64_A72)
    uc.ctl_set_page_size(4096)  # the default is 1 KiB, and then a TLBI of a page leaves three pieces of it
    uc.ctl_set_tcg_buffer_size(TCG_BUFFER)  # the default reserves 1 GiB of address space
    uc.ctl_set_tlb_mode(const.UC_TLB_CPU if native_mmu else const.UC_TLB_VIRTUAL)
    uc.ctl_exits_enabled(True)  # with no exits: otherwise until=0 stops at guest address 0
    uc.reg_write(arm64.UC_ARM64_REG_CP_REG, (*SCR_EL3, SCR_RW_HCE_NS))
    uc.reg_write(arm64.UC_ARM64_REG_CP_REG, (*HCR_EL2, HCR_RW))
    # Firmware opens the OS lock; debug exceptions are off otherwise.
    uc.reg_write(arm64.UC_ARM64_REG_CP_REG, (*OSLAR_EL1, 0))
    return uc


def handle(uc: Uc) -> int:
    """The engine's C handle, uc_engine *."""
    return int(ctypes.cast(uc._uch, ctypes.c_void_p).value or 0)


def address_of(name: str) -> int:
    """Address of one of Unicorn's C functions; never a variadic one."""
    return int(ctypes.cast(getattr(uclib, name), ctypes.c_void_p).value or 0)


def _check(status: int, what: str) -> None:
    if status != const.UC_ERR_OK:
        raise EngineError(f"engine: {what} failed with {UcError(status)}; Unicorn 2.1.4 was expected")


EVERYWHERE = 1, 0  # begin above end: no bounds
UPPER_HALF = 0xFFFF_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF


def add_hook(
    uc: Uc, kind: int, callback: int, user: int, *instruction: int, where: tuple[int, int] = EVERYWHERE
) -> int:
    """Register a compiled callback; a handle. kind: UC_HOOK_*; instruction: for UC_HOOK_INSN; where: first, last address."""
    hook = ctypes.c_size_t()
    extra = [ctypes.c_int(number) for number in instruction]
    bounds = [ctypes.c_uint64(address) for address in where]
    pointers = ctypes.c_void_p(callback), ctypes.c_void_p(user)
    status = uclib.uc_hook_add(uc._uch, ctypes.byref(hook), kind, *pointers, *bounds, *extra)
    _check(status, "uc_hook_add")
    return int(hook.value)


def replace_hook(uc: Uc, old: int, kind: int, callback: int, user: int, *instruction: int) -> None:
    """Put another callback in a hook's place; of one instruction Unicorn calls the first hook alone."""
    remove_hook(uc, old)
    add_hook(uc, kind, callback, user, *instruction)


def remove_hook(uc: Uc, hook: int) -> None:
    """Take a hook away. Code that was translated before still calls it."""
    _check(uclib.uc_hook_del(uc._uch, ctypes.c_size_t(hook)), "uc_hook_del")


def spare_kernel_code(uc: Uc, callback: int) -> None:
    """Translate code of the upper half without a search for entries of its page that stores go through. W^X entries only.

    Behind each block it translates, Unicorn looks through the TLBs of twelve translation regimes for such an entry, unless a
    memory hook is there for the block's address: a twelfth of a Linux boot. Code never runs from an entry of ours that stores
    go through, so there is nothing to find, except in the TLB of the other level, EL0's or EL1's, if that stored to the page
    before; and for code that somebody else stored there is IC IVAU (`code_pages`). This hook is for *physical* addresses of the
    upper half, which do not exist: nothing ever calls it.
    """
    add_hook(uc, const.UC_HOOK_MEM_FETCH_PROT, callback, 0, where=UPPER_HALF)


def map_memory(uc: Uc, base: int, memory: np.ndarray) -> None:
    """Map host memory (uint8[n], page multiple) at a physical address, without a copy, readable, writable, executable."""
    pointer = memory.ctypes.data_as(ctypes.c_void_p)
    _check(uclib.uc_mem_map_ptr(uc._uch, base, memory.size, const.UC_PROT_ALL, pointer), "uc_mem_map_ptr")


def map_device(uc: Uc, base: int, size: int, read: int, write: int, user: int) -> None:
    """Map a page of registers at a physical address to compiled callbacks."""
    function = uclib.uc_mmio_map
    function.restype = ctypes.c_int
    function.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_size_t, *[ctypes.c_void_p] * 4]
    _check(function(uc._uch, base, size, read, user, write, user), "uc_mmio_map")


def flush_tlb(uc: Uc) -> None:
    """Empty Unicorn's own TLB; the Python binding has no call for it."""
    _check(uclib.uc_ctl(uc._uch, const.UC_CTL_TLB_FLUSH | const.UC_CTL_IO_WRITE << 30), "uc_ctl(TLB_FLUSH)")


def allocate_context(uc: Uc) -> tuple[int, int]:
    """A buffer for uc_context_save: (address, size in bytes)."""
    context = ctypes.c_void_p()
    function = uclib.uc_context_alloc
    _check(function(uc._uch, ctypes.byref(context)), "uc_context_alloc")
    size = uclib.uc_context_size
    size.restype = ctypes.c_size_t
    return int(context.value or 0), int(size(uc._uch))


def _find(address: int, size: int, value: int, width: int, what: str) -> int:
    """Offset of an aligned little-endian value in host memory; stops at the first, so it never reads past it."""
    kind = {4: ctypes.c_uint32, 8: ctypes.c_uint64}[width]
    for offset in range(0, size - width + 1, width):
        if kind.from_address(address + offset).value == value:
            return offset
    raise EngineError(f"engine: {what} not found in {size} bytes; this build of Unicorn is not one we know (2.1.4 is)")


CODE, DATA, NOWHERE = 0x4000_0000, 0x4000_0A58, 0x5A5A_1234_5678_0128
PROBE = b"".join(
    word.to_bytes(4, "little")
    for word in (
        0xD402_4681,  # svc  #0x1234
        0xC85F_7C20,  # ldxr x0, [x1]
        0xD503_3F5F,  # clrex
        0xF940_0040,  # ldr  x0, [x2]
        0xD69F_03E0,  # eret
    )
)
SVC_SYNDROME = 0x5600_1234
NOT_EXCLUSIVE = 0xFFFF_FFFF_FFFF_FFFF
EL1H_AARCH64 = 1 << 32 | 0x5
SPSR_EL1, AARCH32_USER = (4, 0, 3, 0, 0), 0x10  # crn, crm, op0, op1, op2


# Long because it is one experiment: each step finds the engine as the step before has left it.
@functools.cache
def offsets() -> Offsets:
    """Find what this build of Unicorn keeps where. Raises EngineError when a value does not turn up or does not behave."""
    uc = new_engine(native_mmu=False)
    uc.mem_map(CODE, 4096)
    uc.mem_write(CODE, PROBE)
    uc.hook_add(UC_HOOK_INTR, lambda engine, _number, _user: engine.emu_stop())
    save = functools.partial(uclib.uc_context_save, uc._uch)
    context, size = allocate_context(uc)

    def step(index: int, registers: dict[int, int] | None = None) -> Any:
        for register, value in (registers or {}).items():
            uc.reg_write(register, value)
        uc.emu_start(CODE + 4 * index, 0, count=1)
        save(ctypes.c_void_p(context))

    step(0)
    syndrome = _find(context, size, SVC_SYNDROME, 4, "the exception syndrome")
    step(1, {arm64.UC_ARM64_REG_X1: DATA, arm64.UC_ARM64_REG_X0: 0})
    uc.reg_write(arm64.UC_ARM64_REG_X1, 0)
    save(ctypes.c_void_p(context))
    exclusive = _find(context, size, DATA, 8, "the exclusive monitor")
    step(2)
    if ctypes.c_uint64.from_address(context + exclusive).value != NOT_EXCLUSIVE:
        raise EngineError(
            "engine: CLREX did not clear the word found as the exclusive monitor; Unicorn 2.1.4 was expected"
        )
    try:
        step(3, {arm64.UC_ARM64_REG_X2: NOWHERE})
    except UcError:
        pass
    uc.reg_write(arm64.UC_ARM64_REG_X2, 0)
    invalid = _find(handle(uc), 8192, NOWHERE, 8, "the faulting address")
    uc.reg_write(arm64.UC_ARM64_REG_PC, NOWHERE)
    save(ctypes.c_void_p(context))
    pstate = _find(context, size, NOWHERE, 8, "the program counter") + 8
    before = ctypes.c_uint64.from_address(context + pstate).value
    uc.reg_write(arm64.UC_ARM64_REG_CP_REG, (*SPSR_EL1, AARCH32_USER))
    step(4, {arm64.UC_ARM64_REG_ELR_EL1: CODE})
    if before & 0xFFFF_FFFF_0000_000F != EL1H_AARCH64 or ctypes.c_uint64.from_address(context + pstate).value >> 32:
        raise EngineError(
            "engine: an ERET to AArch32 does not show beside PC in the context; Unicorn 2.1.4 was expected"
        )
    uc.reg_write(arm64.UC_ARM64_REG_PC, 0)
    uc.reg_write(arm64.UC_ARM64_REG_ELR_EL1, 0)
    named = [
        _offset_of(uc, name, context, size) for name in ("X0", "SP_EL0", "SP_EL1", "ELR_EL1", "ESR_EL1", "VBAR_EL1")
    ]
    uclib.uc_free(ctypes.c_void_p(context))
    return Offsets(syndrome, exclusive, pstate, invalid, *named)


def _offset_of(uc: Uc, name: str, context: int, size: int) -> int:
    """Of a register that Unicorn knows by a number."""
    uc.reg_write(getattr(arm64, f"UC_ARM64_REG_{name}"), NOWHERE)
    uclib.uc_context_save(uc._uch, ctypes.c_void_p(context))
    found = _find(context, size, NOWHERE, 8, name)
    uc.reg_write(getattr(arm64, f"UC_ARM64_REG_{name}"), 0)
    return found
