"""Loads and stores read off the instruction, against an engine that carries them out on RAM."""

from __future__ import annotations

from random import Random

import pytest
from unicorn import UC_ARCH_ARM64, UC_MODE_ARM, Uc
from unicorn import arm64_const as arm64

from minivisor.arch.loads_and_stores import decode
from minivisor.hypervisor.aborts import AbortHandler
from minivisor.platform.bus import Bus
from minivisor.stages import DataAbort, Outcome, Vcpu

CODE, DATA, SIZE = 0x1000, 0x10_0000, 0x1_0000
MIDDLE = DATA + SIZE // 2
RN, RT, RT2, RM = 1, 3, 4, 2
PAIRS = [
    opc << 30 | 0x2800_0000 | vector << 26 | mode << 23 | load << 22
    for opc, vector in ((0, 0), (2, 0), (0, 1), (1, 1), (2, 1)) for mode in range(4) for load in (0, 1)
] + [0x6840_0000 | mode << 23 for mode in (1, 2, 3)]  # LDPSW; without "no allocate"
GENERAL = [(size, opc) for size in range(4) for opc in range(4) if (size, opc) not in ((2, 3), (3, 2), (3, 3))]
VECTOR = [(size, opc) for size in range(4) for opc in range(4) if opc < 2 or size == 0]
WRITEBACKS = [0x3800_0400 | pre << 11 | size << 30 | opc << 22 for size, opc in GENERAL for pre in (0, 1)]
SIMD = [0x3C00_0000 | form | size << 30 | opc << 22 for size, opc in VECTOR for form in (0, 0x400, 0xC00, 0x100_0000)]
INDEXED = [0x3C20_0800 | option << 13 | scaled << 12 | size << 30 | opc << 22
           for size, opc in VECTOR for option in (2, 3, 6, 7) for scaled in (0, 1)]  # fmt: skip


def words(random: Random) -> list[int]:
    immediates = [word | random.getrandbits(7) << 15 | RT2 << 10 for word in PAIRS]
    immediates += [word | (random.getrandbits(9) << 12 if not word >> 24 & 1 else random.getrandbits(5) << 10) for word in SIMD]
    immediates += [word | random.getrandbits(9) << 12 for word in WRITEBACKS]
    return [word | RN << 5 | RT for word in immediates] + [word | RM << 16 | RN << 5 | RT for word in INDEXED]


def carried_out(word: int, registers: dict[str, int], memory: bytes) -> tuple[dict[str, int], bytes]:
    uc = Uc(UC_ARCH_ARM64, UC_MODE_ARM)
    uc.reg_write(arm64.UC_ARM64_REG_CPACR_EL1, 3 << 20)
    uc.mem_map(CODE, 4096)
    uc.mem_map(DATA, SIZE)
    uc.mem_write(CODE, word.to_bytes(4, "little"))
    uc.mem_write(DATA, memory)
    for name, value in registers.items():
        uc.reg_write(getattr(arm64, f"UC_ARM64_REG_{name}"), value)
    uc.emu_start(CODE, CODE + 4)
    return {name: uc.reg_read(getattr(arm64, f"UC_ARM64_REG_{name}")) for name in registers}, bytes(uc.mem_read(DATA, SIZE))


def predicted(word: int, registers: dict[str, int], memory: bytes) -> tuple[dict[str, int], bytes]:
    sequence = decode(word, registers.__getitem__)
    assert sequence is not None, f"{word:#010x}"
    after, content = dict(registers), bytearray(memory)
    for transfer in sequence.transfers:
        at, name = transfer.va - DATA, transfer.register
        piece = slice(at, at + transfer.width)
        if sequence.write:
            value = registers[name] >> transfer.shift & (1 << 8 * transfer.width) - 1
            content[piece] = value.to_bytes(transfer.width, "little")
            continue
        value = int.from_bytes(memory[piece], "little", signed=transfer.sign_extend)
        value &= (1 << (64 if transfer.sixty_four else 32)) - 1
        after[name] = value if not transfer.shift else after[name] | value << transfer.shift
    return after | sequence.writeback, bytes(content)


def test_every_form_does_what_the_engine_does() -> None:
    random = Random(1)
    forms = words(random)
    assert len(forms) > 150
    for word in forms:
        registers = {f"X{RN}": MIDDLE, f"X{RM}": random.randrange(-64, 64) & (1 << 64) - 1, "SP": MIDDLE}
        if word >> 13 & 7 == 2:
            registers[f"X{RM}"] = random.getrandbits(32) << 32 | random.randrange(64)  # UXTW
        kind, width = ("V", 128) if word >> 26 & 1 else ("X", 64)
        registers |= {f"{kind}{n}": random.getrandbits(width) for n in (RT, RT2)}
        memory = random.randbytes(SIZE)
        assert predicted(word, registers, memory) == carried_out(word, registers, memory), f"{word:#010x}"


@pytest.mark.parametrize(
    "word", [0x885F_7C20, 0x8802_7C20, 0xC87F_0820, 0xB8E0_0020, 0x4C40_7020, 0x6900_0020, 0xF980_0020, 0x0000_0000]
)
def test_exclusives_atomics_structures_and_nonsense_are_not_for_devices(word: int) -> None:
    assert decode(word, lambda _name: 0) is None


# ── on a device ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Cells:
    """Four-byte registers that say where they are, and remember what was written."""

    def __init__(self) -> None:
        self.written: list[tuple[int, int, int]] = []

    def read(self, offset: int, width: int) -> int:
        return 0x1111_1111_1111_1111 * (offset // 4) & (1 << 8 * width) - 1

    def write(self, offset: int, width: int, value: int) -> None:
        self.written.append((offset, width, value))


def abort(va: int, write: bool) -> DataAbort:
    return DataAbort(0, 0x24, 0, va, 0x0900_0000 | va & 0xFFF, 6, False, write, False, 1, False, 0, False, False)


def answer(word: int, va: int, write: bool, base: int | None = None) -> tuple[Outcome, Cells]:
    cells, bus = Cells(), Bus()
    bus.add(0x0900_0000, 0x2000, cells)
    x = [0x100 + n for n in range(31)]
    x[RN] = va if base is None else base
    handler = AbortHandler(bus, code_at=lambda _pc: word, register=lambda _name: 7 << 64 | 5)
    return handler(abort(va, write), Vcpu(0, "work", tuple(x), pc=0x4020_0000)), cells


def test_a_pair_reads_two_registers_and_steps_on() -> None:
    outcome, _ = answer(0x2940_1023, 0xFFFF_0000_0000_0008, False)
    assert outcome == Outcome(writes={"X3": 0x2222_2222, "X4": 0x3333_3333, "PC": 0x4020_0004})


def test_a_store_writes_back() -> None:
    outcome, cells = answer(0xB800_4423, 0x0900_0010, True)  # STR W3, [X1], #4
    assert outcome == Outcome(writes={"X1": 0x0900_0014, "PC": 0x4020_0004})
    assert cells.written == [(0x10, 4, 0x103)]


def test_a_q_register_is_two_accesses() -> None:
    _, cells = answer(0x3D80_0023, 0x0900_0010, True)
    assert cells.written == [(0x10, 8, 5), (0x18, 8, 7)]


def test_a_pair_of_zero_registers_reads_and_keeps_nothing() -> None:
    outcome, _ = answer(0x2940_7C3F, 0x0900_0010, False)
    assert outcome == Outcome(writes={"PC": 0x4020_0004})


@pytest.mark.parametrize(
    ("word", "va", "base"),
    [
        (0x2940_1023, 0x0900_0FFC, None),  # LDP whose second register is in the next page
        (0x2940_1023, 0x0900_1000, 0x0900_0FFC),  # the same, when the second is the one that faulted
        (0x885F_7C23, 0x0900_0000, None),  # LDXR
        (0xC802_7C23, 0x0900_0000, None),  # STXR
        (0xB8E2_0023, 0x0900_0000, None),  # LDADDAL, which this core does not have
        (0x4C40_7023, 0x0900_0000, None),  # LD1
        (0x4C00_7023, 0x0900_0000, None),  # ST1
        (0xD50B_7421, 0x0900_0000, None),  # DC ZVA
    ],
)
def test_what_is_answered_with_an_external_abort(word: int, va: int, base: int | None) -> None:
    assert answer(word, va, False, base)[0].kind == "abort"
