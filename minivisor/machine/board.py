"""Boards: what one phone maker chose. A board is data; the hypervisor maps the fixed virtual platform onto it.

Board A follows the address map of Arm's Versatile Express (Cortex-A15 CoreTile, DDI 0503): RAM from 2 GiB, a GICv2 with its
virtual CPU interface at 0x2C00_6000, a PL011 at 0x1C09_0000.

Board B is another maker's taste in everything that may differ: RAM above 32 bits, a GICv3 whose list registers are system
registers (it keeps a legacy interface page for guests that know GICv2 only), a 16550 serial port, a larger panel. The
personas cannot tell: same images, same trace. `minivisor boards` counts what it took.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from minivisor.errors import BoardError
from minivisor.machine.core import Core
from minivisor.machine.gic import HYP_TIMER, MAINTENANCE, PHYSICAL_TIMER, VIRTUAL_TIMER, PhysicalGic
from minivisor.machine.gich import INTERFACES
from minivisor.machine.memory import PAGE_SIZE, PhysicalMemory
from minivisor.machine.ns16550 import Ns16550
from minivisor.machine.pl011 import Pl011
from minivisor.machine.steps import REGISTERS, Walk, explain, record

if TYPE_CHECKING:
    from minivisor.machine.table_log import TableLog
    from minivisor.trace.store import Trace

__all__ = ["BOARDS", "Board", "Machine", "board"]


@dataclass(frozen=True, slots=True)
class Board:
    """ram_base, gicv_base, uart_base: physical addresses. ram_size: bytes. panel: (width, height) in pixels.

    gic: architecture version, 2 or 3. uart: "pl011" or "ns16550".
    """

    name: str
    title: str
    ram_base: int
    ram_size: int
    gic: int
    gicv_base: int
    uart: str
    uart_base: int
    list_registers: int
    panel: tuple[int, int]


BOARDS = {
    "a": Board(
        name="a",
        title="Board A: GICv2, PL011, 160×256 panel",
        ram_base=0x8000_0000,
        ram_size=256 << 20,
        gic=2,
        gicv_base=0x2C00_6000,
        uart="pl011",
        uart_base=0x1C09_0000,
        list_registers=4,
        panel=(160, 256),
    ),
    "b": Board(
        name="b",
        title="Board B: GICv3, NS16550, 200×320 panel",
        ram_base=0x8_0000_0000,
        ram_size=256 << 20,
        gic=3,
        gicv_base=0x0602_0000,
        uart="ns16550",
        uart_base=0x0300_0000,
        list_registers=16,
        panel=(200, 320),
    ),
}
UARTS: dict[str, type[Pl011] | type[Ns16550]] = {"pl011": Pl011, "ns16550": Ns16550}


def board(name: str) -> Board:
    """The board of this name. Raises BoardError for another."""
    if name not in BOARDS:
        raise BoardError(f"board: {name!r} is unknown; there is {', '.join(sorted(BOARDS))} (minivisor/machine/board.py)")
    return BOARDS[name]


def _table_log(core: Core) -> TableLog:
    """Imported, and so compiled, by those who want one."""
    from minivisor.machine.table_log import TableLog

    return TableLog(core)


class Machine:
    """A powered-on board: memory, one core, its interrupt controller, the panel, the serial port.

    list_registers: how many of the board's to use, to see what happens with fewer or more. ram: bytes fitted, when a guest
    needs more than the maker thought of. check_tables: keep what `course.bbm_guest.check` judges, in `table_log`.
    virtual_interface: its list registers, as its GIC has them. uart: the serial port at `Board.uart_base`.
    console: what was written to that, as a person with a cable would see it.
    panel: uint8[height, width, 3], RGB, what a person sees.
    """

    def __init__(
        self,
        hardware: Board | str = "a",
        mmu: str = "minivisor",
        list_registers: int | None = None,
        ram: int = 0,
        check_tables: bool = False,
    ) -> None:
        chosen = board(hardware) if isinstance(hardware, str) else hardware
        self.board = replace(chosen, ram_size=max(chosen.ram_size, ram))
        if mmu not in ("minivisor", "unicorn"):
            raise BoardError(f"machine: mmu {mmu!r} is unknown; 'minivisor' (our walk) or 'unicorn' (the engine's own)")
        self.memory = PhysicalMemory(self.board.ram_base, self.board.ram_size)
        self.list_registers = list_registers or self.board.list_registers
        self.core = Core(self.memory, self.board.gicv_base, mmu, self.list_registers)
        self.table_log = _table_log(self.core) if check_tables else None
        self.gic = PhysicalGic(self.core)
        self.virtual_interface = INTERFACES[self.board.gic](self.core, self.list_registers)
        self.gic.enable(MAINTENANCE, HYP_TIMER, VIRTUAL_TIMER, PHYSICAL_TIMER)
        width, height = self.board.panel
        self.panel = np.zeros((height, width, 3), np.uint8)
        self.console = bytearray()
        self.uart = UARTS[self.board.uart](self.console.append)

    def walk(self, va: int, kind: str = "r", el: int | None = None, kept: Mapping[str, int] | None = None) -> Walk:
        """How `va` is translated now, step by step. kind: "r", "w" or "x". el: 0 or 1, the core's unless given.

        kept: registers by name of a vCPU that is not on the core, VTTBR_EL2 among them. Those of EL2 that are the same for
        all come from the core; of EL1's, what is not kept is zero.
        """
        core = self.core
        here = [name for name in REGISTERS if kept is None or (name not in kept and name.endswith("_EL2"))]
        registers = {**(kept or {}), **{name: core.read(name) for name in here}}
        now = core.read("PSTATE") >> 2 & 3 if el is None else el
        return explain(self.memory.words, self.memory.base, va, kind, now, registers)

    def record_walk(self, trace: Trace, time: int, vcpu: int, va: int, kind: str) -> None:
        """The same as `walk(va, kind).record(trace, time, vcpu)`, for each abort of a guest that does nothing else."""
        core = self.core
        memory, el = self.memory, core.read("PSTATE") >> 2 & 3
        record(trace, time, vcpu, memory.words, memory.base, va, kind, el, core.read_many(REGISTERS))

    def read_device(self, pa: int) -> int:
        """EL2 reads a 32-bit device register at a physical address. Raises BoardError where there is none."""
        return self.uart.read(self._offset(pa), 4)

    def write_device(self, pa: int, value: int) -> None:
        """EL2 writes a 32-bit device register at a physical address. Raises BoardError where there is none."""
        self.uart.write(self._offset(pa), 4, value)

    def _offset(self, pa: int) -> int:
        board = self.board
        if not board.uart_base <= pa < board.uart_base + PAGE_SIZE:
            where = f"the {board.uart.upper()} of board {board.name!r} is at {board.uart_base:#x}"
            raise BoardError(f"machine: no device at {pa:#x}; {where}")
        return pa - board.uart_base
