"""What a load or store touches, by `access` and by the engine that carries it out, over all forms and random operands."""

from __future__ import annotations

import random

import numpy as np
import pytest
from unicorn import UC_HOOK_MEM_READ, UC_HOOK_MEM_WRITE, UC_MEM_WRITE, Uc
from unicorn import arm64_const as arm64

from minivisor.machine import engine
from minivisor.machine.access import access
from tests.machine import a64
from tests.machine.rig import CODE, DATA, Rig

# name: (fixed bits, bits that may be anything except the registers); Rn is X1 or SP, Rt X3, Rt2 X4, Rs X5, Rm X2
OFFSET12, INDEX9, INDEX7, LITERAL = 0x3F << 10, 0x1FF << 12, 0x7F << 15, 0x1FF << 5
FORMS = {
    **{f"{name}, offset": (0x39000000 | size << 30 | opc << 22, OFFSET12)
       for name, size, opc in (("STRB", 0, 0), ("LDRSB", 0, 2), ("LDRH", 1, 1), ("LDRSH W", 1, 3), ("STR W", 2, 0),
                               ("LDRSW", 2, 2), ("STR X", 3, 0), ("LDR X", 3, 1))},
    **{f"{name}, offset": (0x3D000000 | size << 30 | opc << 22, OFFSET12)
       for name, size, opc in (("STR B", 0, 0), ("STR Q", 0, 2), ("LDR Q", 0, 3), ("LDR H", 1, 1), ("STR S", 2, 0),
                               ("LDR D", 3, 1))},
    "LDR X, unscaled": (0xF8400000, INDEX9), "STR H, post": (0x78000400, INDEX9), "LDR W, pre": (0xB8400C00, INDEX9),
    "STR Q, pre": (0x3C800C00, INDEX9), "LDR Q, post": (0x3CC00400, INDEX9), "STTR X": (0xF8000800, INDEX9),
    **{f"LDR {name}, register {option}{s}": (fixed | option << 13 | s << 12 | 2 << 16, 0)
       for name, fixed in (("W", 0xB8600800), ("Q", 0x3CE00800), ("B", 0x38600800))
       for option in (2, 3, 6, 7) for s in (0, 1)},
    **{f"{name}, {mode}": (fixed | mode << 23, INDEX7) for mode in (1, 2, 3)
       for name, fixed in (("STP W", 0x28000000), ("LDP X", 0xA8400000), ("LDPSW", 0x68400000), ("STP S", 0x2C000000),
                           ("LDP D", 0x6C400000), ("STP Q", 0xAC000000))},
    "STNP X": (0xA8000000, INDEX7), "LDNP Q": (0xAC400000, INDEX7),
    **{f"LDR {name}, literal": (fixed, LITERAL)
       for name, fixed in (("W", 0x18000000), ("X", 0x58000000), ("SW", 0x98000000), ("S", 0x1C000000), ("D", 0x5C000000),
                           ("Q", 0x9C000000))},
    **{f"{name} {8 << size}": (fixed | size << 30, 0) for size in range(4)
       for name, fixed in (("LDAR", 0x08DFFC00), ("STLR", 0x089FFC00), ("LDXR", 0x085F7C00), ("LDAXR", 0x085FFC00))},
    "LDXP W": (0x887F0000, 0), "LDAXP X": (0xC87F8000, 0),
    **{f"{kind} of {opcode}, Q={q}, load={load}": (fixed | opcode << 12 | q << 30 | load << 22, 3 << 10)
       for kind, fixed in (("multiple", 0x0C000000), ("multiple, post", 0x0C9F0000))
       for opcode in (0, 2, 4, 6, 7, 8, 10) for q in (1,) for load in (0, 1)},
    **{f"lane of {opcode}.{r}.{size}, load={load}": (0x0D000000 | load << 22 | r << 21 | opcode << 13 | size << 10, 1 << 30)
       for opcode, size in ((0, 3), (1, 0), (2, 2), (3, 0), (4, 0), (5, 0), (4, 1), (5, 1)) for r in (0, 1) for load in (0, 1)},
    **{f"all lanes of {opcode}.{r}.{size}": (0x0D400000 | r << 21 | opcode << 13 | size << 10, 1 << 30)
       for opcode in (6, 7) for r in (0, 1) for size in range(4)},
}  # fmt: skip
ALIGNED = ("LDAR", "STLR", "LDXR", "LDAXR", "LDXP", "LDAXP")
STORES_EXCLUSIVE = {
    **{f"STXR {8 << size}": (0x085F7C01 | size << 30, 0x08007C00 | size << 30, 1 << size) for size in range(4)},
    "STLXP W": (0x887F0000, 0x88208000, 8),
    "STXP X": (0xC87F0000, 0xC8200000, 16),
}


@pytest.fixture(scope="module")
def rig() -> Rig:
    return Rig()


def carried_out(words: list[int], registers: dict[str, int]) -> tuple[int, int, bool]:
    """(first byte, bytes, store) of the last instruction, as the engine's own hooks see it; the parts lie side by side."""
    uc = engine.new_engine(native_mmu=False)
    uc.mem_map(DATA - 0x2_0000 & -0x1000, 0x4_0000)
    uc.mem_write(CODE, b"".join(word.to_bytes(4, "little") for word in words))
    for name, value in registers.items():
        uc.reg_write(getattr(arm64, f"UC_ARM64_REG_{name}"), value)
    seen: list[tuple[int, int, bool]] = []

    def note(engine: Uc, kind: int, at: int, size: int, _value: int, _user: object) -> None:
        seen.append((at, size, kind == UC_MEM_WRITE))

    uc.emu_start(CODE, 0, count=len(words) - 1) if len(words) > 1 else None
    uc.hook_add(UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE, note)
    uc.emu_start(CODE + 4 * len(words) - 4, 0, count=1)
    covered = sorted({at + n for at, size, _ in seen for n in range(size)})
    assert covered == list(range(covered[0], covered[0] + len(covered)))
    return covered[0], len(covered), any(store for *_, store in seen)


def decoded(rig: Rig, word: int, registers: dict[str, int], at: int = CODE) -> tuple[int, int, bool]:
    rig.start(a64.HVC(1), **registers)
    assert rig.hvc() == 1
    va, size, store = access(rig.core.record, np.uint64(word), np.uint64(at))
    return int(va), int(size), bool(store)


@pytest.mark.parametrize("name", FORMS)
def test_the_engine_touches_what_the_instruction_says(rig: Rig, name: str) -> None:
    fixed, free = FORMS[name]
    rng = random.Random(name)
    for base, register in ((1, "X1"), (31, "SP")):
        word = fixed | rng.getrandbits(32) & free
        word |= 3 if "literal" in name else base << 5 | 3
        if name.startswith(("STP", "LDP", "LDNP", "STNP", "LDXP", "LDAXP")):
            word |= 4 << 10
        index = rng.choice((5, 0xFFFF_FFFF_FFFF_FFF7 if "6" in name or "7" in name else 9))
        registers = {"X1": DATA, "SP": DATA, "X2": index} | {
            register: DATA + (0 if name.startswith(ALIGNED) else 16 * 3 + 5)
        }
        if register == "SP":
            registers["SP"] &= -16
        assert decoded(rig, word, registers) == carried_out([word], registers), f"{name}: {word:#010x}"


@pytest.mark.parametrize("name", STORES_EXCLUSIVE)
def test_store_exclusives_touch_what_their_loads_did(rig: Rig, name: str) -> None:
    load, store, size = STORES_EXCLUSIVE[name]
    load, store = load & ~31 | 1 << 5 | 3 | 4 << 10, store | 5 << 16 | 1 << 5 | 3 | 4 << 10
    assert decoded(rig, store, {"X1": DATA}, CODE + 4) == (DATA, size, True)
    assert carried_out([load, store], {"X1": DATA})[:2] == (DATA, size)


def test_dc_zva_is_a_store_of_its_whole_block(rig: Rig) -> None:
    rig.memory.span(DATA, 256).fill(0xFF)
    rig.start(a64.sys("DC ZVA", 1), a64.HVC(1), X1=DATA + 0x75)
    assert rig.hvc() == 1
    zeroed = np.flatnonzero(rig.memory.span(DATA, 256) == 0)
    assert decoded(rig, a64.sys("DC ZVA", 1), {"X1": DATA + 0x75}) == (DATA + zeroed[0], zeroed.size, True)


@pytest.mark.parametrize("word", [a64.NOP, a64.ADD(1, 1, 8), a64.B(8), a64.SVC(0), a64.sys("DC CIVAC", 1), a64.UDF])
def test_everything_else_touches_nothing(rig: Rig, word: int) -> None:
    assert decoded(rig, word, {"X1": DATA})[1] == 0
