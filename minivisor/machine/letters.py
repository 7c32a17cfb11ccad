"""A letter on the serial port: the two exits of a driver's loop, answered without the interpreter.

    wait:  ldr   w2, [x1, #0x18]    UARTFR: what EL2 said it reads, for nothing changes it while the guest runs
           tbnz  w2, #5, wait
           strb  w0, [x1]           UARTDR: a letter that EL2 finds when it is back

A kernel that boots prints thousands of letters, and an exit to Python costs five times as much as leaving the guest and going
back. These two remain exits. The guest leaves and returns as by ERET, an exit's time passes, and the rows that EL2 would have
recorded, the device's and the exit's, are written here; EL2 appends them before it records anything else. Only their `host`
is 0: nobody measured it. So a trace has one digest with and without this, and a test compares them.

EL2 offers it anew each time it enters a guest, and only where it would do nothing else itself (`Persona.letters`).

Source: DDI 0183G, 3.3.1 UARTDR and 3.3.3 UARTFR; DDI 0487, ESR_EL2, "ISS encoding for an exception from a Data Abort".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minivisor.machine.hot import hot, record_at, share
from minivisor.machine.pl011 import Pl011
from minivisor.machine.registers import REG, read_one, write_one
from minivisor.machine.state import WORD
from minivisor.machine.steps import ROW_INTS, ROW_WORDS, row_head
from minivisor.machine.timer import now, retire
from minivisor.trace.kinds import DeviceEvent, Kind, Outcome

if TYPE_CHECKING:
    from minivisor.machine.core import Core
    from minivisor.trace.store import Trace

__all__ = ["Letters", "answer"]

ROOM = 512  # rows, two for an exit: then EL2 comes back anyway, so no letter is kept from anybody for long
OFFER = ("uart", "flags", "vcpu", "name", "cost")
BOX = np.dtype((np.record, [*((name, "u8") for name in (*OFFER, "count")), ("rows", "u8", (ROOM * ROW_INTS,))]))
box_at = record_at(BOX)
COUNT = len(OFFER)  # as words
LETTERS_AT = WORD["letters"]

ZERO, ONE, TWO, FOUR, SIXTEEN = (np.uint64(n) for n in (0, 1, 2, 4, 16))
FR = np.uint64(0x18)
XZR = np.uint64(31)
ALL_ONES, PAGE_OFFSET = np.uint64(0xFFFF_FFFF_FFFF_FFFF), np.uint64(0xFFF)
WNR = np.uint64(1 << 6)
# EC, ISV, SSE, CM, S1PTW, DFSC but for its level: a data abort that is described, a translation fault, no sign extended.
JUDGED = np.uint64(0x3F << 26 | 1 << 24 | 1 << 21 | 1 << 8 | 1 << 7 | 0b111100)
PLAIN = np.uint64(0x24 << 26 | 1 << 24 | 0b000100)
DEVICE, EXIT, RESUME = np.uint64(Kind.DEVICE), np.uint64(Kind.EXIT), np.uint64(Outcome.RESUME)
READ, WRITE = np.uint64(DeviceEvent.READ), np.uint64(DeviceEvent.WRITE)


@hot
def _record(core, box, at, pc, ipa, width, event, whole, seen):  # type: ignore[no-untyped-def]
    """The two rows, the device's first. at: when the exit was taken. whole: the register stored, or what was loaded."""
    rows, row = box.rows, box.count * ROW_WORDS
    for word in range(ROW_INTS + ROW_INTS):
        rows[row + np.uint64(word)] = ZERO
    rows[row], rows[row + ONE] = at, row_head(DEVICE, box.vcpu, width, event, box.name)
    rows[row + np.uint64(6)], rows[row + np.uint64(7)] = ipa, seen
    row += ROW_WORDS
    rows[row], rows[row + ONE] = at, row_head(EXIT, box.vcpu, RESUME, ZERO, ZERO)
    rows[row + TWO], rows[row + np.uint64(3)], rows[row + FOUR] = core.retired, pc, core.esr
    rows[row + np.uint64(5)], rows[row + np.uint64(6)], rows[row + np.uint64(7)] = core.far, ipa, whole
    box.count += TWO


@hot
def answer(core):  # type: ignore[no-untyped-def]
    """Answer the exit that the guest just took, if it is one of the two. True: it is done, and the guest goes on behind it."""
    box = box_at(core.letters)
    syndrome, write = core.esr, core.esr & WNR != ZERO
    ipa = (core.hpfar >> FOUR) << np.uint64(12) | core.far & PAGE_OFFSET
    if syndrome & JUDGED != PLAIN or ipa != box.uart + (ZERO if write else FR) or box.count + ONE >= np.uint64(ROOM):
        return False
    at = now(core)
    if at + box.cost + ONE >= core.horizon:  # what is due then, EL2 sees with this exit
        return False
    register, size = syndrome >> SIXTEEN & XZR, syndrome >> np.uint64(22) & np.uint64(3)
    width = ONE << size
    mask = ALL_ONES >> np.uint64(64) - (np.uint64(8) << size)
    pc, whole = read_one(core, REG.PC), ZERO
    if write:
        whole = read_one(core, register) if register != XZR else ZERO
        seen = whole & mask
    else:
        seen = box.flags & mask
        if register != XZR:
            whole = seen
            write_one(core, register, seen)
    core.skipped += box.cost
    retire(core, ONE)
    core.progress += ONE
    core.block_pc = pc + FOUR
    write_one(core, REG.PC, core.block_pc)
    _record(core, box, at, pc, ipa, width, WRITE if write else READ, whole, seen)
    return True


class Letters:
    """EL2's side: what it offers before a guest runs, and what it finds afterwards. trace: of that core."""

    def __init__(self, core: Core, trace: Trace) -> None:
        self._words, self._trace, self._box = core.words, trace, np.zeros(1, BOX)
        self._address = share(self._box)
        self._box_words = memoryview(self._box).cast("B").cast("Q")  # type: ignore[arg-type]  # the same, as integers

    def offer(self, uart: int, flags: int | None, vcpu: int, cost: int) -> None:
        """uart: IPA of UARTDR. flags: what UARTFR reads; None, and nothing is offered. vcpu: its index. cost: ns of an exit.

        The first access of all is not for us: texts are numbered as the trace meets them.
        """
        name = self._trace.number_of(Pl011.__name__)
        if flags is not None and name is not None:
            for at, value in enumerate((uart, flags, vcpu, name, cost)):
                self._box_words[at] = value
            self._words[LETTERS_AT] = self._address

    def hand_over(self, uart: Pl011) -> None:
        """The offer is over: the rows of what was answered go to the trace, the letters to the UART."""
        self._words[LETTERS_AT] = 0
        count, self._box_words[COUNT] = self._box_words[COUNT], 0
        if count:
            rows = self._box["rows"][0, : count * ROW_INTS]
            self._trace.extend(rows.tobytes())
            heads, values = rows[1 :: 2 * ROW_INTS], rows[7 :: 2 * ROW_INTS]
            written = heads >> np.uint64(24) & np.uint64(0xFF) == WRITE
            uart.sent_meanwhile(values[written].astype(np.uint8).tobytes())
