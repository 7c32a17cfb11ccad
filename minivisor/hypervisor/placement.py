"""Where a persona goes: its VMID, its RAM, and the pool of pages for its stage-2 tables.

    RAM base  ┌────────────────────────┐
              │ hypervisor, 2 MiB:     │  pool of VMID 1, pool of VMID 2, … 64 pages each
              ├────────────────────────┤
              │ personas, 2 MiB aligned│  the first free run that is large enough
              └────────────────────────┘
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from minivisor.errors import OptionError
from minivisor.hypervisor.ownership import FREE, Ownership
from minivisor.machine.memory import PAGE_SIZE, PhysicalMemory

__all__ = ["BLOCK", "TABLE_PAGES", "Placement", "place"]

BLOCK = 2 << 20
TABLE_PAGES = 64
"""Stage-2 table pages of a persona: the root, level-2 tables for devices and RAM, level-3 tables on demand."""
VMIDS = range(1, BLOCK // (TABLE_PAGES * PAGE_SIZE) + 1)


class Placement(NamedTuple):
    """ram, pool: physical addresses in bytes."""

    vmid: int
    ram: int
    pool: int


def place(ledger: Ownership, memory: PhysicalMemory, size: int, used: Collection[int], name: str) -> Placement:
    """Find room for `size` bytes of RAM and a VMID that is not `used`. Raises OptionError when there is none."""
    ram = ledger.first_free(memory.base, size, BLOCK)
    vmid = next((vmid for vmid in VMIDS if vmid not in used), None)
    if ram is None or vmid is None:
        free = ledger.count(FREE) * PAGE_SIZE >> 20
        raise OptionError(
            f"persona {name!r}: {size >> 20} MiB do not fit; {free} MiB of {memory.size >> 20} are free, and {len(used)} of "
            f"{len(VMIDS)} personas are there"
        )
    return Placement(vmid, ram, memory.base + (vmid - 1) * TABLE_PAGES * PAGE_SIZE)
