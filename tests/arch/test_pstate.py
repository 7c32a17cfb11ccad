"""PSTATE against values debuggers show, and vectors against the table of the Arm ARM."""

from __future__ import annotations

import pytest

from minivisor.arch.pstate import DAIF, SPSR, Mode, Vector, mode_name, vector_offset


def test_known_saved_states() -> None:
    reset = SPSR(0x3C5)  # EL1h, everything masked: how a guest starts
    assert (reset.meaning("M"), reset.EL, reset.SP, reset.nRW, reset.DAIF) == ("EL1h", 1, 1, 0, DAIF)
    user = SPSR(0x60000000)
    assert (user.meaning("M"), user.EL, user.NZCV, user.Z, user.C) == ("EL0t", 0, 0x60000000, 1, 1)
    linux = SPSR(0x80400009)
    assert (linux.EL, linux.PAN, linux.N, linux.SS, linux.IL) == (2, 1, 1, 0, 0)
    assert int(SPSR.of(M=Mode.EL1h, D=1, A=1, I=1, F=1)) == 0x3C5
    assert SPSR(1 << 21).SS == SPSR(1 << 20).IL == 1


def test_aarch32_has_no_el_field() -> None:
    with pytest.raises(ValueError, match="AArch32 User"):
        _ = SPSR(0x10).EL
    assert mode_name(0b00010) == "reserved mode 0x02"


# DDI 0487, D1.3: offset of each vector, by where the exception comes from. Rows: current EL on SP_EL0, current EL on
# its own SP, lower EL in AArch64, lower EL in AArch32. Columns: synchronous, IRQ, FIQ, SError.
TABLE = [
    (0x000, 0x080, 0x100, 0x180),
    (0x200, 0x280, 0x300, 0x380),
    (0x400, 0x480, 0x500, 0x580),
    (0x600, 0x680, 0x700, 0x780),
]


def test_vector_offsets_are_the_table() -> None:
    for column, kind in enumerate(Vector):
        assert vector_offset(1, 0, kind) == TABLE[0][column]
        assert vector_offset(1, 1, kind) == TABLE[1][column]
        assert vector_offset(0, 0, kind) == vector_offset(0, 1, kind) == TABLE[2][column]
        assert vector_offset(0, 0, kind, aarch32=True) == TABLE[3][column]
        assert vector_offset(1, 1, kind, to_el=2) == TABLE[2][column]
        assert vector_offset(2, 1, kind, to_el=2) == TABLE[1][column]
    assert vector_offset(0, 0, "sync") == 0x400
    assert vector_offset(1, 1, "IRQ") == 0x280


def test_exceptions_do_not_go_down() -> None:
    with pytest.raises(ValueError, match="EL2 is not taken to EL1"):
        vector_offset(2, 1, Vector.SYNC)
    with pytest.raises(ValueError, match="EL0 is not taken to EL0"):
        vector_offset(0, 0, Vector.SYNC, to_el=0)
    with pytest.raises(ValueError, match="expected one of SYNC, IRQ, FIQ, SERROR"):
        vector_offset(0, 0, "NMI")
