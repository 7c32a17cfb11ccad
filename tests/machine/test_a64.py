"""The little assembler of these tests, read back by capstone."""

from __future__ import annotations

import capstone
import pytest

from tests.machine import a64

SPELLED = [
    *((a64.NOP, "nop"), (a64.ISB, "isb"), (a64.DSB, "dsb sy"), (a64.CLREX, "clrex")),
    *((a64.WFI, "wfi"), (a64.ERET, "eret"), (a64.SVC(0x12), "svc #0x12"), (a64.HVC(0x34), "hvc #0x34")),
    *((a64.SMC(0x56), "smc #0x56"), (a64.BRK(0x78), "brk #0x78")),
    *((a64.B(-8), "b #0xff8"), (a64.BR(7), "br x7"), (a64.CBNZ(3, -4), "cbnz x3, #0xffc"), (a64.UDF, "udf #0")),
    *((a64.MOVZ(3, 0x55), "mov x3, #0x55"), (a64.MOV(2, 0x1234 << 48)[3], "movk x2, #0x1234, lsl #48")),
    *((a64.ADD(1, 2, 3), "add x1, x2, #3"), (a64.SUBS(1, 1, 1), "subs x1, x1, #1")),
    *((a64.LDR(1, 2, 8), "ldr x1, [x2, #8]"), (a64.STR(1, 2, 8), "str x1, [x2, #8]")),
    *((a64.LDRW(1, 2, 4), "ldr w1, [x2, #4]"), (a64.STRW(1, 2, 4), "str w1, [x2, #4]")),
    (a64.LDRB(1, 2), "ldrb w1, [x2]"),
    *((a64.LDTR(1, 2), "ldtr x1, [x2]"), (a64.STTR(1, 2), "sttr x1, [x2]")),
    *((a64.LDTR(1, 2, word=True), "ldtr w1, [x2]"), (a64.STTR(1, 2, word=True), "sttr w1, [x2]")),
    *((a64.LDXR(1, 2), "ldxr x1, [x2]"), (a64.STXR(3, 1, 2), "stxr w3, x1, [x2]")),
    *((a64.MSR_DAIFSET(2), "msr daifset, #2"), (a64.MSR_DAIFCLR(2), "msr daifclr, #2")),
    (a64.MSR_SPSEL(0), "msr spsel, #0"),
    *((a64.mrs(4, "CNTVCT_EL0"), "mrs x4, cntvct_el0"), (a64.msr("VBAR_EL1", 5), "msr vbar_el1, x5")),
    *((a64.sys("TLBI VAAE1IS", 6), "tlbi vaae1is, x6"), (a64.sys("TLBI VMALLE1"), "tlbi vmalle1")),
]


@pytest.mark.parametrize(("word", "text"), SPELLED, ids=[text for _, text in SPELLED])
def test_the_assembler_says_what_capstone_reads(word: int, text: str) -> None:
    disassembler = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
    (found,) = disassembler.disasm(word.to_bytes(4, "little"), 0x1000)
    assert f"{found.mnemonic} {found.op_str}".strip() == text
