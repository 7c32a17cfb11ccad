"""Generated translation cases: random geometry and attributes, tables that mostly work, then a little damage.

Both halves of the address space are in use. One half is the case: its input size, its tables and one address are
random. The other half is fixed and maps the code that makes the access, so that the same case can be put to a function
and to a core running a real load, store or fetch. Stage 2 maps the code's own pages, the case's tables and its data.

    RAM + 0x1000   vectors and code         RAM + 0x01_0000  tables of the code's half
    RAM + 0x02_0000  tables of the case, zeroed for each      RAM + 0x40_0000  data: word n is SVC #n, so whatever is
                                                              loaded or executed there says where it came from
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from minivisor.machine.memory import PhysicalMemory
from tests.machine import a64
from tests.naive_walk import Regime, level_shift

RAM, SIZE = 0x8000_0000, 8 << 20
CODE, FIXED, ARENA, ARENA_SIZE = RAM, RAM + 0x1_0000, RAM + 0x2_0000, 0x8_0000
DATA, DATA_SIZE = RAM + 0x40_0000, 0x4_0000
UPPER_CODE = 0xFFFF_FFFF_C000_0000  # where the code is seen when TTBR1 maps it; its IPA when TTBR0 does
AF = 1 << 10
M = (1 << 64) - 1
TABLE_ATTRIBUTES = (1 << 59, 1 << 60, 1 << 61, 1 << 62, 1 << 63, 0)
LEAF_ATTRIBUTES = (1 << 6, 1 << 7, 3 << 6, 1 << 11, 1 << 53, 1 << 54, 3 << 53, 1 << 52, 1 << 55)
TOO_BIG = (1 << 32, 1 << 36, 1 << 40, 1 << 42, 1 << 44, 1 << 47)


@dataclass
class Case:
    """One access. code: VA of the code page. kind: "r", "w", "x". el: that it is checked as, unprivileged or not.

    what: the damage, in words. changed: of each spoiled descriptor (stage, whether it is a leaf, the bits that differ).
    """

    regime: Regime
    va: int
    kind: str
    el: int
    unprivileged: bool
    code: int
    what: list[str] = field(default_factory=list)
    changed: list[tuple[int, bool, int]] = field(default_factory=list)


class Arena:
    """RAM with the fixed parts in place, and the tables of the present case."""

    def __init__(self, memory: PhysicalMemory | None = None) -> None:
        self.memory = memory or PhysicalMemory(RAM, SIZE)
        words = [a64.SVC(n) for n in range(DATA_SIZE // 4)]
        self.data = self.memory.span(DATA, DATA_SIZE).view(np.uint32)
        self.data[:] = words
        self.reset()

    def reset(self) -> None:
        self.memory.span(ARENA, ARENA_SIZE)[:] = 0
        self.next = ARENA

    def read(self, pa: int) -> int | None:
        return self.memory.read(pa) if RAM <= pa <= RAM + SIZE - 8 else None

    def pages(self, count: int = 1) -> int:
        """Zeroed, aligned to their whole size."""
        self.next += -self.next % (count * 4096)
        page, self.next = self.next, self.next + count * 4096
        assert self.next <= ARENA + ARENA_SIZE
        return page


class Stage:
    """A table tree under construction. ipa_of: the address by which a descriptor names a table page, by its PA."""

    def __init__(self, arena: Arena, level: int, bits: int, ipa_of: dict[int, int] | None = None) -> None:
        self.arena, self.start, self.bits, self.ipa_of = arena, level, bits, ipa_of
        tables = max(1, (8 << bits - level_shift(level)) // 4096)
        self.root = arena.pages(tables)
        self.tables, self.path = [self.root], list[tuple[int, int, bool]]()
        self.spared = set[int]()  # descriptors that the code needs too

    def map(self, address: int, output: int, level: int, attributes: int) -> None:
        """Write the path to one leaf; where another leaf is in the way, that one stays."""
        self.path, table = [], self.root  # (address of the descriptor, level, is the leaf)
        for at in range(self.start, level + 1):
            mask = (1 << self.bits - level_shift(at)) - 1 if at == self.start else 511
            entry = table + 8 * (address >> level_shift(at) & mask)
            self.path.append((entry, at, at == level))
            old = self.arena.memory.read(entry)
            if at == level:
                if not old:
                    self.arena.memory.write(entry, output | attributes | (3 if at == 3 else 1))
                return
            if not old:
                page = self.arena.pages()
                self.tables.append(page)
                self.arena.memory.write(entry, (self.ipa_of[page] if self.ipa_of else page) | 3)
            elif old & 3 != 3:
                return
            table = page if not old else self._page(old)

    def _page(self, descriptor: int) -> int:
        output = descriptor & 0xFFFF_FFFF_F000
        return next(pa for pa, ipa in self.ipa_of.items() if ipa == output) if self.ipa_of else output


def generate(rng: random.Random, arena: Arena) -> Case:
    """One case; its tables are in the arena until the next."""
    arena.reset()
    upper, two = rng.random() < 0.5, rng.random() < 0.8
    s2_bits, s2_level = _stage2_geometry(rng)
    ipa_bits = min(s2_bits, 44) if two else 44
    delta = _table_window(rng, ipa_bits) if two else 0
    ipa_of = {page: page + delta for page in range(ARENA, ARENA + ARENA_SIZE, 4096)}
    second = Stage(arena, s2_level, s2_bits)
    txsz = rng.choice((16, 20, 24, 25, 26, 30, 33, 34, 35, 39, rng.randint(16, 39)))
    bits = 64 - txsz
    start = next(level for level in (0, 1, 2) if bits > level_shift(level))
    first = Stage(arena, start, bits, ipa_of)

    leaf1 = rng.choice([level for level in (1, 2, 3, 3) if level >= start])
    leaf2 = rng.choice([level for level in (1, 2, 3, 3) if level >= s2_level])
    pa = DATA + rng.randrange(DATA_SIZE) // 4 * 4
    ipa = _above(rng, pa, level_shift(leaf2) if two else 44, ipa_bits)
    va = _above(rng, ipa, level_shift(leaf1), bits)
    off = rng.random() < 0.06
    if off:
        va, upper = ipa, False
    first.map(va, ipa & -(1 << level_shift(leaf1)), leaf1, _leaf1(rng))
    if two:
        _map_code(arena, second)
        for table in first.tables:
            second.map(ipa_of[table], table, 3, AF | 3 << 6)
        tables = second.path
        second.map(ipa, pa & -(1 << level_shift(leaf2)), leaf2, _leaf2(rng))
    regime, code = _regime(rng, first, second, upper, two, txsz, off, delta)
    case = Case(regime, va | (M << bits & M if upper else 0), *_access(rng), code)
    damage = rng.choices((0, 1, 2), (45, 45, 10))[0]
    for _ in range(damage):
        paths = second.path + tables[-1:] if two else []
        paths = [part for part in paths if part[0] not in second.spared]
        _damage(rng, arena, case, (first.path, paths), upper, bits)
    return case


HIERARCHICAL = {59: "PXNTable", 60: "UXNTable", 61: "APTable[0]", 62: "APTable[1]"}


def features(case: Case) -> Iterator[str]:
    """What of the architecture a case touches, by the manual's names."""
    regime, upper = case.regime, bool(case.va >> 55 & 1)
    txsz, level = regime.tcr >> (16 if upper else 0) & 0x3F, 2 - (regime.vtcr >> 6 & 3)
    yield "TTBR1" if upper else "TTBR0"
    yield f"T{upper:d}SZ {txsz}"
    yield f"IPS {regime.tcr >> 32 & 7}"
    flags = {
        "EPD": regime.tcr >> (23 if upper else 7),
        "TBI": regime.tcr >> (38 if upper else 37),
        "WXN": regime.sctlr >> 19,
    }
    yield from (name for name, flag in flags.items() if flag & 1)
    if (case.va >> 56) not in (0, 0xFF):
        yield "tag ignored" if flags["TBI"] & 1 else "tag not ignored"
    if not regime.sctlr & 1:
        yield "stage 1 off"
    if case.unprivileged:
        yield f"unprivileged {case.kind}"
    if regime.s2:
        yield f"stage 2 from level {level}"
        yield f"PS {regime.vtcr >> 16 & 7}"
        tables = 64 - (regime.vtcr & 0x3F) - level_shift(level) - 9
        yield f"{1 << tables} concatenated tables" if tables > 0 else "one stage-2 root"
    for stage, leaf, bits in case.changed:
        names = HIERARCHICAL if stage == 1 and not leaf else {52: "contiguous"} if leaf else {}
        yield from (f"{name}, stage {stage}" for bit, name in names.items() if bits >> bit & 1)


def _stage2_geometry(rng: random.Random) -> tuple[int, int]:
    """(IPA bits, start level): all that fit, with up to sixteen concatenated tables."""
    level = rng.choice((0, 1, 1, 1, 2))
    low, high = {0: (40, 44), 1: (31, 43), 2: (25, 34)}[level]
    return rng.choice((low, high, rng.randint(low, high))), level


def _table_window(rng: random.Random, ipa_bits: int) -> int:
    """What is added to the PA of a table to get its IPA: the window 16 MiB up, at random higher bits."""
    window = (rng.getrandbits(ipa_bits) >> 25 << 25) + (1 << 24)
    return window - (ARENA & -(1 << 24))


def _above(rng: random.Random, address: int, shift: int, bits: int) -> int:
    """Random address bits from `shift` up to the input size; those below stay."""
    return (rng.getrandbits(bits) >> shift << shift | address % (1 << shift)) % (1 << bits)


def _leaf1(rng: random.Random) -> int:
    return AF | rng.choice((0, 1, 1, 2, 3)) << 6 | rng.choice((0, 0, 0, 1 << 53, 1 << 54)) | rng.getrandbits(1) << 11


def _leaf2(rng: random.Random) -> int:
    return AF | rng.choice((3, 3, 3, 3, 1)) << 6 | rng.choice((0, 0, 0, 0, 1 << 54))


def _map_code(arena: Arena, second: Stage) -> None:
    """The code page and the tables of its half: IPA n is RAM + n."""
    for offset in (CODE + 0x1000 - RAM, *(FIXED + 0x1000 * n - RAM for n in (1, 2, 3))):
        second.map(offset, RAM + offset, 3, AF | 3 << 6)
        second.spared.update(entry for entry, _level, _leaf in second.path)


def _fixed_tables(arena: Arena, two: bool) -> int:
    """Tables that map the code page, read-only and executable at both levels: their root as stage 1 sees it."""
    shift = -RAM if two else 0
    page = CODE + 0x1000 + shift
    for level, index in ((1, 511), (2, 0), (3, 0)):
        table = FIXED + 4096 * level
        arena.memory.span(table, 4096)[:] = 0
        arena.memory.write(table + 8 * index, (table + 4096 + shift | 3) if level < 3 else page | AF | 3 << 6 | 3)
    return FIXED + 4096 + shift


def _regime(
    rng: random.Random, first: Stage, second: Stage, upper: bool, two: bool, txsz: int, off: bool, delta: int
) -> tuple[Regime, int]:
    fixed = _fixed_tables(first.arena, two)
    case_root = first.root + delta
    tcr = rng.choice((2, 3, 4, 5)) << 32 if rng.random() < 0.3 else 5 << 32
    tcr |= 2 << 30 | (txsz << 16 | 25 if upper else 25 << 16 | txsz) | rng.getrandbits(2) << 37
    ps = rng.choice((1, 2, 3, 4, 5)) if rng.random() < 0.3 else 5
    vtcr = 1 << 31 | ps << 16 | (2 - second.start) << 6 | 64 - second.bits
    sctlr = 0x30D0_0800 | (not off) | (rng.random() < 0.15) << 19
    ttbr0, ttbr1 = (fixed, case_root) if upper else (case_root, fixed)
    regime = Regime(sctlr, tcr, ttbr0, ttbr1, two, 1 << 48 | second.root, vtcr)
    code = 0x7F_C000_0000 if upper else UPPER_CODE
    return regime, (CODE + 0x1000 - (RAM if two else 0)) if off else code


def _access(rng: random.Random) -> tuple[str, int, bool]:
    kind, el = rng.choice("rrwwx"), rng.randint(0, 1)
    unprivileged = kind != "x" and el == 1 and rng.random() < 0.3
    return kind, 0 if unprivileged else el, unprivileged


Path = list[tuple[int, int, bool]]


def _damage(rng: random.Random, arena: Arena, case: Case, paths: tuple[Path, Path], upper: bool, bits: int) -> None:
    """Spoil one thing: a descriptor on one stage's path or the other's, a control register, the address."""
    if rng.random() < 0.75:
        entry, _level, leaf = rng.choice(paths[0] + paths[1])
        old = arena.memory.read(entry)
        new = _spoil(rng, old, leaf)
        case.what.append(f"descriptor {entry:#x}")
        case.changed.append((1 if any(entry == part[0] for part in paths[0]) else 2, leaf, old ^ new))
        arena.memory.write(entry, new)
        return
    regime = vars(case.regime).copy()
    what = rng.choice(("epd", "ttbr", "tag", "outside"))
    case.what.append(what)
    half = "ttbr1" if upper else "ttbr0"
    if what == "epd":
        regime["tcr"] |= 1 << (23 if upper else 7)
    elif what == "ttbr":
        regime[half] = regime[half] ^ rng.choice((1 << 33, 1 << 41, 1 << 45, 0x10_0000_0000, 2, 8 << 48))
    elif what == "tag":
        case.va ^= rng.randint(1, 255) << 56
    elif what == "outside":
        case.va ^= 1 << rng.randint(bits, 63)
    case.regime = Regime(**regime)


def _spoil(rng: random.Random, descriptor: int, leaf: bool) -> int:
    choice = rng.random()
    if choice < 0.12:
        return descriptor & ~1
    if choice < 0.22:
        return descriptor ^ 2
    if choice < 0.34 and leaf:
        return descriptor & ~AF
    if choice < 0.50:
        return descriptor ^ rng.choice(TOO_BIG)
    if choice < 0.58:
        return descriptor & ~0xFFFF_FFFF_F000 | rng.choice((0x1000_0000, RAM + SIZE, 0xF000_0000, RAM - 4096))
    return descriptor ^ rng.choice(LEAF_ATTRIBUTES if leaf else TABLE_ATTRIBUTES)
