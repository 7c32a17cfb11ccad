"""One guest's whole run on a bare core, told in a few lines; run as a script, compiled or interpreted.

python -m tests.machine.one_guest minivisor|unicorn
"""

from __future__ import annotations

import hashlib
import random
import sys

from minivisor.machine.gic import HYP_TIMER, PhysicalGic
from tests.machine import a64
from tests.machine.rig import DATA, GICV, S1_RW, VECTORS, Rig
from tests.machine.test_exceptions import UNMAPPED
from tests.machine.test_gicv import lr
from tests.machine.test_interrupts import HANDLER as TAKE_IRQ
from tests.machine.test_timer import HANDLER, LOG, program


def main() -> None:
    """Exceptions, counter reads, TLBIs, an interrupt through the virtual interface, stops by a timer; beside watched bytes."""
    rig = Rig(sys.argv[1])
    lower, _ = rig.mmu_on()
    entry = rig.map(lower, 0x1_0000_0000, DATA | S1_RW, 3)
    rig.load(HANDLER, VECTORS + 0x200)
    rig.load(TAKE_IRQ, VECTORS + 0x280)
    gic = PhysicalGic(rig.core)
    gic.enable(HYP_TIMER)
    rig.core.record.gich_hcr, rig.core.record.gich_vmcr, rig.core.record.lr[0] = 1, 0xF800_0001, lr(40)
    words, _ = program(random.Random(3))
    words.pop()
    words += [a64.STR(3, 2), a64.DSB, a64.LDR(4, 5), a64.sys("TLBI VAE1", 6), a64.DSB, a64.LDR(7, 5)]
    words += [a64.MSR_DAIFCLR(2), a64.NOP, a64.B(4), a64.HVC(1)]
    rig.start(words, X1=UNMAPPED, X2=entry, X3=DATA + 4096 | S1_RW | 3, X5=0x1_0000_0000, X6=0x1_0000_0000 >> 12)
    watch = ("DBGWVR0_EL1", DATA + 0xFF8), ("DBGWCR0_EL1", 0x1FFF), ("MDSCR_EL1", 0xA000)  # bytes that nobody touches
    for name, value in (*watch, (f"X{LOG}", DATA + 64), ("X9", GICV), ("X11", 0)):
        rig.core.write(name, value)
    rig.memory.write(DATA, 0xA)
    rig.memory.write(DATA + 4096, 0xB)
    stops = 0
    while True:
        rig.core.write("CNTHP_CVAL_EL2", rig.core.now // 16 + 20)
        rig.core.write("CNTHP_CTL_EL2", 1)
        if rig.run() != 2:
            break
        gic.deactivate(gic.acknowledge())
        stops += 1
    print("general", *map(hex, rig.core.general()))
    print("system", *map(hex, rig.read("PC", "PSTATE", "SP", "ELR_EL1", "ESR_EL1", "FAR_EL1", "SPSR_EL1")))
    print("time", rig.core.now, rig.core.retired, stops, hex(rig.core.syndrome[0]))
    print("memory", hashlib.sha256(rig.memory.bytes).hexdigest())


if __name__ == "__main__":
    main()
