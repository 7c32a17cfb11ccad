"""Boards: what one phone maker chose. A board is data; the hypervisor maps the fixed virtual platform onto it.

Board A follows the address map of Arm's Versatile Express (Cortex-A15 CoreTile, DDI 0503): RAM from 2 GiB, a GICv2 with its
virtual CPU interface at 0x2C00_6000, a PL011 at 0x1C09_0000.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minivisor.errors import BoardError
from minivisor.machine.core import Core
from minivisor.machine.gic import HYP_TIMER, MAINTENANCE, PHYSICAL_TIMER, VIRTUAL_TIMER, PhysicalGic
from minivisor.machine.memory import PAGE_SIZE, PhysicalMemory
from minivisor.machine.pl011 import Pl011

__all__ = ["BOARDS", "Board", "Machine", "board"]


@dataclass(frozen=True, slots=True)
class Board:
    """ram_base, gicv_base, uart_base: physical addresses. ram_size: bytes. panel: (width, height) in pixels."""

    name: str
    title: str
    ram_base: int
    ram_size: int
    gicv_base: int
    uart_base: int
    list_registers: int
    panel: tuple[int, int]


BOARDS = {
    "a": Board(
        name="a",
        title="Board A: GICv2, PL011, 160×256 panel",
        ram_base=0x8000_0000,
        ram_size=256 << 20,
        gicv_base=0x2C00_6000,
        uart_base=0x1C09_0000,
        list_registers=4,
        panel=(160, 256),
    )
}


def board(name: str) -> Board:
    """The board of this name. Raises BoardError for another."""
    if name not in BOARDS:
        raise BoardError(f"board: {name!r} is unknown; there is {', '.join(sorted(BOARDS))} (minivisor/machine/board.py)")
    return BOARDS[name]


class Machine:
    """A powered-on board: memory, one core, its interrupt controller, the panel, the serial port.

    list_registers: how many of the board's to use, to see what happens with fewer or more.
    uart: the board's PL011 at `Board.uart_base`; console: what was written to it, as a person with a cable would see it.
    panel: uint8[height, width, 3], RGB, what a person sees.
    """

    def __init__(self, hardware: Board | str = "a", mmu: str = "minivisor", list_registers: int | None = None) -> None:
        self.board = board(hardware) if isinstance(hardware, str) else hardware
        if mmu not in ("minivisor", "unicorn"):
            raise BoardError(f"machine: mmu {mmu!r} is unknown; 'minivisor' (our walk) or 'unicorn' (the engine's own)")
        self.memory = PhysicalMemory(self.board.ram_base, self.board.ram_size)
        self.list_registers = list_registers or self.board.list_registers
        self.core = Core(self.memory, self.board.gicv_base, mmu, self.list_registers)
        self.gic = PhysicalGic(self.core)
        self.gic.enable(MAINTENANCE, HYP_TIMER, VIRTUAL_TIMER, PHYSICAL_TIMER)
        width, height = self.board.panel
        self.panel = np.zeros((height, width, 3), np.uint8)
        self.console = bytearray()
        self.uart = Pl011(self.console.append)

    def write_device(self, pa: int, value: int) -> None:
        """EL2 writes a 32-bit device register at a physical address. Raises BoardError where there is none."""
        offset = pa - self.board.uart_base
        if not 0 <= offset < PAGE_SIZE:
            where = f"the PL011 of board {self.board.name!r} is at {self.board.uart_base:#x}"
            raise BoardError(f"machine: no device at {pa:#x}; {where}")
        self.uart.write(offset, 4, value)
