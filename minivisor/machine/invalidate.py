"""What EL2 makes the core forget: translations in both TLBs, and code that was translated from pages that changed.

Two TLBs are kept in step: the architectural one of `tlb.py`, and Unicorn's own, emptied whenever an entry of ours goes. A part
of `Core`, which gives it the record and the engine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from unicorn import Uc

from minivisor.machine import engine
from minivisor.machine.code_pages import WINDOW, written
from minivisor.machine.memory import PhysicalMemory
from minivisor.machine.state import WORD
from minivisor.machine.tlb import forget_all, forget_ipa, forget_vmid

__all__ = ["CODE_STALE_AT", "STALE_COUNT_AT", "Invalidation"]

PAGE = 4096
MASK64 = (1 << 64) - 1
CODE_STALE_AT, STALE_COUNT_AT = WORD["code_stale"], WORD["stale_count"]


class Invalidation:
    """uc, record, words: of the core. address: of the record, for compiled code.

    _code_pages: a bit a page, see `code_pages.py`; _code_bits: the same, as integers.
    """

    uc: Uc
    mmu: str
    memory: PhysicalMemory
    record: Any
    address: int
    words: memoryview
    _code_pages: np.ndarray
    _code_bits: Any

    # ── TLB ──

    def load_vmid(self, vmid: int) -> None:
        """Entries of this VMID are the ones in reach from now on (VTTBR_EL2.VMID, eight bits)."""
        self.words[WORD["vmid"]] = vmid

    def tlbi_ipa(self, ipa: int) -> None:
        """TLBI IPAS2E1 and the VMALLE1 that must follow it, for the loaded VMID."""
        forget_ipa(self.address, ipa)
        engine.flush_tlb(self.uc)

    def tlbi_vmid(self, vmid: int) -> None:
        """TLBI VMALLS12E1 for a VMID."""
        loaded, self.record.vmid = self.record.vmid, np.uint64(vmid)
        forget_vmid(self.address)
        self.record.vmid = loaded
        engine.flush_tlb(self.uc)

    def tlbi_all(self) -> None:
        """TLBI ALLE1."""
        forget_all(self.address)
        engine.flush_tlb(self.uc)

    def code_changed(self) -> None:
        """Translated code may be stale: a loader or a new owner wrote pages that held code. Everything is dropped."""
        words = self.words
        words[CODE_STALE_AT] = words[STALE_COUNT_AT] = 0
        self.uc.ctl_flush_tb()
        self._code_pages[:] = 0
        engine.flush_tlb(self.uc)

    def written(self, pa: int, size: int) -> None:
        """A device wrote RAM: what was translated from those pages is dropped before the next instruction.

        Only our walk notes which pages those are. On Unicorn's own everything goes.
        """
        if self.mmu == "unicorn":
            self.words[CODE_STALE_AT] = 1
            return
        first, last = (pa - self.memory.base) // PAGE, (pa + size - 1 - self.memory.base) // PAGE
        for page in range(first, last + 1):
            if self._code_bits[page >> 6] >> (page & 63) & 1:
                written(self.address, self.memory.base + page * PAGE)

    def _drop_stale_code(self) -> None:
        """What the guest said it changed (`code_pages`), or a device wrote: those pages, or everything."""
        words = self.words
        if words[CODE_STALE_AT]:
            self.code_changed()
            return
        words[WORD["window"]] = 1
        for n in range(words[STALE_COUNT_AT]):
            at = int(WINDOW) + PAGE * n
            self.uc.ctl_remove_cache(at, at + PAGE)
            page = (words[WORD["stale_page"] + n] - self.memory.base) // PAGE
            self._code_pages[page >> 6] &= np.uint64(~(1 << (page & 63)) & MASK64)
        words[WORD["window"]] = words[STALE_COUNT_AT] = 0
        engine.flush_tlb(self.uc)
