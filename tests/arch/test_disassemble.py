"""Disassembly never fails, keeps addresses, and names what the encoding table names."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from minivisor.arch import encoding
from minivisor.arch.disassemble import around, disassemble


def word(value: int) -> bytes:
    return value.to_bytes(4, "little")


def test_known_words() -> None:
    code = word(0xD503201F) + word(0xD4000002) + word(0xD65F03C0) + word(0x14000000)
    assert [(address, text) for address, _, text in disassemble(code, 0x40080000)] == [
        (0x40080000, "nop"),
        (0x40080004, "hvc #0"),
        (0x40080008, "ret"),
        (0x4008000C, "b #0x4008000c"),
    ]


def test_what_is_no_instruction_is_a_word() -> None:
    lines = disassemble(word(0xFFFFFFFF) + word(0xD503201F) + b"\x01\x02", 0)
    assert [text for _, _, text in lines] == [".word 0xffffffff", "nop", ".byte 0x01, 0x02"]
    assert lines[2][1] == b"\x01\x02"


def test_registers_that_capstone_cannot_name_are_named() -> None:
    ((_, _, text),) = disassemble(word(encoding.mrs(3, "ID_DFR1_EL1")), 0)
    assert text == "mrs x3, id_dfr1_el1"
    ((_, _, text),) = disassemble(word(encoding.mrs(0, "S3_0_C15_C1_7")), 0)
    assert text == "mrs x0, s3_0_c15_c1_7"


@given(st.binary(max_size=64), st.integers(0, (1 << 64) - 1))
def test_any_bytes_at_any_address_give_one_line_a_word(code: bytes, pc: int) -> None:
    lines = disassemble(code, pc)
    assert b"".join(raw for _, raw, _ in lines) == code
    assert all(text and "\n" not in text for _, _, text in lines)


def test_around_leaves_out_what_cannot_be_read() -> None:
    memory = {0x1000 + 4 * n: word(0xD503201F) for n in range(4)}
    assert [address for address, _, _ in around(reader(memory), 0x1004)] == [0x1000, 0x1004, 0x1008, 0x100C]
    assert around(lambda _address, _length: None, 0x1000) == []
    assert len(around(lambda _address, _length: bytes(4), 0x1002, before=2, after=1)) == 4
    assert [a for a, _, _ in around(lambda _address, _length: bytes(4), 0, before=2, after=0)] == [0]
    top = (1 << 64) - 4
    assert [a for a, _, _ in around(lambda _address, _length: bytes(4), top, before=0, after=2)] == [top]


def reader(memory: dict[int, bytes]) -> Callable[[int, int], bytes]:
    """A reader that raises where nothing is mapped."""

    def read(address: int, length: int) -> bytes:
        return memory[address][:length]

    return read


def test_capstone_is_not_loaded_before_it_is_needed() -> None:
    probe = "import sys, minivisor.arch.disassemble; sys.exit('capstone' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0
