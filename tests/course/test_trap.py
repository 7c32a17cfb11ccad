"""A trap in words: the right instruction under the arrow, and no complaint about memory that is not there."""

from __future__ import annotations

import struct

from minivisor.arch.esr import EC
from minivisor.course.stage import Call
from minivisor.course.trap import explain, listing, trapped_at
from minivisor.stages import Hvc, Outcome, SysregTrap, Vcpu

BASE = 0x4020_0000
CODE = struct.pack("<4I", 0xD2800020, 0xD4000002, 0xD503201F, 0xD5380700)  # mov x0, #1; hvc #0; nop; mrs x0, …


def read(address: int, length: int) -> bytes | None:
    return CODE[address - BASE :][:length] if BASE <= address < BASE + len(CODE) else None


def call(outcome: Outcome) -> Call:
    return Call(Hvc(0x5A000000, EC.HVC64, 0, 0), Vcpu(0, "work", (0xC600_0001, *[0] * 30), BASE + 8), outcome)


def test_the_arrow_points_at_the_instruction_that_trapped() -> None:
    shown = listing(read, BASE + 4)
    assert repr(shown).splitlines() == [
        "  0x40200000  mov x0, #1",
        "→ 0x40200004  hvc #0",
        "  0x40200008  nop",
        "  0x4020000c  mrs x0, id_aa64mmfr0_el1",
    ]
    assert shown.instruction == "hvc #0"
    assert listing(read, 0x1000).instruction == ""


def test_an_hvc_returns_behind_itself_and_a_trapped_register_does_not() -> None:
    assert trapped_at(call(Outcome())) == BASE + 4
    trap = SysregTrap(0x62000000, EC.SYSREG, 0, (3, 0, 0, 7, 0), 0, True)
    assert trapped_at(Call(trap, Vcpu(0, "work", pc=BASE + 12), Outcome())) == BASE + 12


def test_an_explanation_names_what_was_asked_expected_and_given() -> None:
    text = explain(call(Outcome(writes={"X0": (1 << 64) - 1, "X1": 5000})), "X0 = 7", read)
    assert "HVC: #0x0 in persona 'work', vCPU 0, X0 = 0xc6000001 (vendor specific hypervisor service" in text
    assert "expected  X0 = 7" in text and "got       resume, X0 = -1, X1 = 5,000 (0x1388)" in text
    assert "→ 0x40200004  hvc #0" in text
    assert "no register written" in explain(call(Outcome()), "X0 = 7", read)
