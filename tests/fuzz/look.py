"""What must hold each time EL2 has the core back, whatever brought it there, and before EL2 has done anything.

    registers of EL2    HCR, VTCR, MDCR unchanged; VTTBR and VMID those of the vCPU that is loaded
    ownership           every valid stage-2 mapping is of a page that the ledger gives to that persona
                        and at each world switch every translation that the TLB remembers
    interrupts          `Ledger.look`: what is pending or active, the next world entry will find

One look takes some twenty microseconds, so that there can be one for every exit. The registers are read in one call, and past
the core: it reads them late, once somebody asks, and a look must not be what makes it ask. Mappings follow from the tables and
owners from the ledger; while neither has changed by a byte, nothing that was right can be wrong.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence

import numpy as np
from unicorn import arm64_const as arm64

from minivisor.arch.encoding import REGISTERS
from minivisor.hypervisor.hypervisor import HCR_GUEST, MDCR_GUEST, Hypervisor
from minivisor.hypervisor.ownership import DEVICE
from minivisor.hypervisor.persona import Persona
from minivisor.hypervisor.stage2 import VTCR
from minivisor.hypervisor.vcpu import HCR_VSE, VirtualCpu
from minivisor.machine.core import Core
from minivisor.machine.state import CORE, WORD
from tests.fuzz.ledger import Ledger
from tests.fuzz.neighbour import Violation

__all__ = ["EngineRegisters", "Look"]

LINES = 1 << 6 | 1 << 7  # HCR_EL2.VF and VI, the virtual interrupt lines: they follow the list registers
EL2 = ("HCR_EL2", "VTCR_EL2", "MDCR_EL2", "VTTBR_EL2")
TABLE, LAST_LEVEL, OUTPUT = 0b11, 3, (1 << 48) - 4096
PAGE = 4096
VMID_AND_SHIFT = np.uint64(0x3F00_00FF)
CELL = CORE["cp"].base
BATCH = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)


class EngineRegisters:
    """System registers as the engine has them now. names: architectural, of those that are read by encoding."""

    def __init__(self, core: Core, names: Sequence[str]) -> None:
        self._cells = np.zeros(len(names), CELL)
        for cell, name in zip(self._cells, names, strict=True):
            cell["op0"], cell["op1"], cell["crn"], cell["crm"], cell["op2"] = REGISTERS[name]
        first, size = self._cells.ctypes.data, CELL.itemsize
        self._ids = np.full(len(names), arm64.UC_ARM64_REG_CP_REG, np.int32)
        self._where = np.array([first + size * n for n in range(len(names))], np.uint64)
        self._values, self._batch = self._cells["val"], BATCH(core.words[WORD["reg_read_batch"]])
        self._arguments = core.words[WORD["uc"]], self._ids.ctypes.data, self._where.ctypes.data, len(names)

    def read(self) -> list[int]:
        """Their values, in the order of the names."""
        status = self._batch(*self._arguments)
        assert status == 0, f"the engine's batch failed with status {status}"
        values: list[int] = self._values.tolist()
        return values


class Kept:
    """Words of memory, and what they were when all was well."""

    def __init__(self, words: np.ndarray) -> None:
        self.words, self._bytes = words, words.tobytes()

    @property
    def same(self) -> bool:
        """Are they what they were?"""
        return self.words.tobytes() == self._bytes  # for a few pages the quickest comparison there is


class Look:
    """The look at one hypervisor, to be called whenever its core returns. thorough: how often tables or ledger had changed."""

    def __init__(self, hypervisor: Hypervisor, ledgers: Sequence[Ledger]) -> None:
        self.hypervisor, self.ledgers, self.thorough = hypervisor, ledgers, 0
        self._el2 = EngineRegisters(hypervisor.core, EL2)
        self._kept: list[Kept] = []
        self._contexts, self._outputs = (hypervisor.core.state[name][0] for name in ("tlb_context", "tlb_pa"))
        self._known: set[tuple[int, int]] = set()
        self._last: VirtualCpu | None = None

    def __call__(self) -> None:
        """Check everything; Violation, or what the ledger of pages raises, says what is not as it must be."""
        loaded = self.hypervisor._loaded
        self._look_at_registers(loaded)
        if not self._kept or not all(kept.same for kept in self._kept):
            self._look_at_mappings()
        if loaded is not self._last:
            self._look_at_tlb()
            self._last = loaded
        for ledger in self.ledgers:
            ledger.look()

    def _look_at_registers(self, loaded: VirtualCpu | None) -> None:
        hcr, vtcr, mdcr, vttbr = self._el2.read()
        allowed = LINES | (HCR_VSE if loaded is not None and loaded.serror else 0)
        if (hcr & ~allowed, vtcr, mdcr) != (HCR_GUEST, VTCR, MDCR_GUEST):
            raise Violation(f"HCR_EL2 is {hcr:#x}, VTCR_EL2 {vtcr:#x}, MDCR_EL2 {mdcr:#x}")
        if loaded is None:
            return
        persona, vmid = loaded.persona, self.hypervisor.core.words[WORD["vmid"]]
        if vttbr != persona.vttbr:
            raise Violation(f"VTTBR_EL2 is {vttbr:#x} for {persona.name}, not {persona.vttbr:#x}")
        if vmid != persona.vmid:
            raise Violation(f"VMID {vmid} is loaded for {persona.name}")

    def _look_at_mappings(self) -> None:
        """The ledger against every valid mapping; what was compared is kept."""
        ledger, personas = self.hypervisor.ledger, self.hypervisor.personas
        for persona in personas:
            for ipa, pa, size, prot in persona.stage2.mappings():
                ledger.check(persona.owner, pa, size, prot)
                if prot == "rwx" and not persona.inside(ipa):
                    raise Violation(f"{persona.name}: RAM mapped at {ipa:#x}")
        owners = [pages if pages.size % 8 else pages.view(np.uint64) for pages in ledger._pages.values()]
        self._kept = [Kept(words) for words in (*owners, *map(self._used, personas))]
        self._known.clear()
        self.thorough += 1

    def _look_at_tlb(self) -> None:
        """Whatever a VMID may reach without a walk (tlb.py has the format), but for what was right since the last change."""
        slots = np.flatnonzero(self._contexts)
        entries = set(zip((self._contexts[slots] & VMID_AND_SHIFT).tolist(), self._outputs[slots].tolist(), strict=True))
        owners = {persona.vmid: persona.owner for persona in self.hypervisor.personas}
        for context, pa in entries - self._known:
            ledger, size = self.hypervisor.ledger, 1 << (context >> 24)
            ledger.check(owners[context & 0xFF], pa, size, "device-rw" if ledger.owner(pa) == DEVICE else "rw")
        self._known |= entries

    def _used(self, persona: Persona) -> np.ndarray:
        """From the first to the last table that VTTBR_EL2 leads to: another one needs a descriptor in one of these."""
        memory = self.hypervisor.machine.memory
        found = sorted(self._tables(persona.tables.root, 1))
        return memory.span(found[0], found[-1] + PAGE - found[0]).view(np.uint64)

    def _tables(self, table: int, level: int) -> Iterator[int]:
        yield table
        if level < LAST_LEVEL:
            words = self.hypervisor.machine.memory.span(table, PAGE).view(np.uint64)
            for descriptor in words[words & np.uint64(TABLE) == TABLE].tolist():
                yield from self._tables(descriptor & OUTPUT, level + 1)
