"""Rows `walk` and `walk-naive`: a sweep of addresses through both stages.

Memory holds 64 MiB mapped in pages of 4 KiB at both stages, the longest walk there is short of a fourth level: fifteen
descriptors for one address, three of them behind a walk cache. Ours is `translate_batch`, once on one core for the bar, once on
all. The first peer is the same walk in plain C with the same cache (walk.c), compiled with -O3 now, on one core; the second is
the oracle of the tests, Python written to be obvious, which reads all fifteen. All of them must give the same addresses.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from minivisor.bench.pairs import Measured, Tell, interleave, timed
from minivisor.machine.batch import translate_batch
from minivisor.machine.hot import on_cores
from minivisor.machine.steps import explain

__all__ = ["Sweep", "against_c", "against_python", "compile_peer"]

Words = npt.NDArray[np.uint64]
BASE, MEMORY = 0x8000_0000, 256 << 20
TABLES, DATA, MAPPED, PAGE = BASE, BASE + (64 << 20), 64 << 20, 4096
VA = 0x40_0000_0000
SIZE, QUICK_SIZE, OF_PYTHON = 1 << 18, 1 << 12, 400  # addresses in one sample
AF, TABLE, LEAF = 1 << 10, 3, 3
S2_READ_WRITE = 3 << 6
# DDI 0487: TCR_EL1.T0SZ 25 (39 bits), EPD1, IPS 40 bits; VTCR_EL2.T0SZ 24 (40 bits), SL0 1 (level 1), PS 40 bits.
TCR, VTCR = 25 | 1 << 23 | 2 << 32, 24 | 1 << 6 | 2 << 16
SOURCE = Path(__file__).with_name("walk.c")
NO_COMPILER = "no C compiler: the ziglang wheel is not installed (pip install minivisor[guests])"
NO_ORACLE = "the oracle, tests/naive_walk.py, is only in a checkout"
PATIENCE = 300  # seconds: the first compilation fills a cache


class Sweep:
    """Memory with both stages' tables, and random addresses of what they map."""

    def __init__(self, size: int) -> None:
        self.words: Words = np.zeros(MEMORY // 8, np.uint64)
        self._next = TABLES
        stage1, stage2 = self._tables(1), self._tables(2)  # two pages, aligned: stage 2 starts with concatenated tables
        for page in range(0, MAPPED, PAGE):
            self._map(stage1, VA + page, DATA + page, AF)
        for page in range(0, MEMORY, PAGE):
            self._map(stage2, BASE + page, BASE + page, AF | S2_READ_WRITE)
        tables = {"TTBR0_EL1": stage1, "VTTBR_EL2": stage2}
        self.registers = {"SCTLR_EL1": 1, "TCR_EL1": TCR, "VTCR_EL2": VTCR, "HCR_EL2": 1, **tables}
        self.vas = np.random.default_rng(487).integers(VA, VA + MAPPED, size, np.uint64)

    def _tables(self, count: int) -> int:
        at = self._next + -self._next % (count * PAGE)
        self._next = at + count * PAGE
        return at

    def _map(self, root: int, address: int, output: int, attributes: int) -> None:
        """One page, from a table of level 1 down."""
        table = root
        for shift in (30, 21):
            word = (table - BASE >> 3) + (address >> shift & (0x3FF if shift == 30 else 0x1FF))
            if not self.words[word]:
                self.words[word] = self._tables(1) | TABLE
            table = int(self.words[word]) & ~(PAGE - 1)
        self.words[(table - BASE >> 3) + (address >> 12 & 0x1FF)] = output | attributes | LEAF

    def read(self, pa: int) -> int | None:
        """The word there, for the oracle."""
        return int(self.words[pa - BASE >> 3]) if BASE <= pa < BASE + MEMORY else None

    def ours(self) -> Words:
        """Physical addresses of all."""
        return translate_batch(self.words, BASE, self.vas, registers=self.registers).pa

    def naive(self, count: int) -> Words:
        """Of the first `count`, by the oracle. Raises ImportError where that is not installed."""
        oracle = importlib.import_module("tests.naive_walk")
        regime = oracle.Regime(1, TCR, self.registers["TTBR0_EL1"], 0, True, self.registers["VTTBR_EL2"], VTCR)
        found = [oracle.translate_address(regime, self.read, int(va), "r", 1) for va in self.vas[:count]]
        return np.array(found, np.uint64)


def compile_peer(folder: Path) -> Callable[[Sweep], Words] | None:
    """walk.c as a function of a sweep; None without a compiler."""
    library = folder / ("walk.dll" if sys.platform == "win32" else "walk.so")
    options = "cc -O3 -nostdlib -shared -fPIC".split()
    command = [sys.executable, "-m", "ziglang", *options, str(SOURCE), "-o", str(library)]
    caches = {name: str(folder / "cache") for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")}
    done = subprocess.run(command, env={**os.environ, **caches}, capture_output=True, text=True, timeout=PATIENCE)
    if "No module named" in done.stderr:
        return None
    if done.returncode:
        raise RuntimeError(f"walk: {SOURCE.name} does not compile: {done.stderr[-500:]}")
    function = ctypes.CDLL(str(library)).walk_all

    def walk_all(sweep: Sweep) -> Words:
        steering = ("SCTLR_EL1", "TCR_EL1", "TTBR0_EL1", "TTBR1_EL1", "VTTBR_EL2", "VTCR_EL2", "HCR_EL2")
        regime = np.array([sweep.registers.get(name, 0) for name in steering], np.uint64)
        pa, status = np.empty_like(sweep.vas), np.empty_like(sweep.vas)
        vas, count = sweep.vas, ctypes.c_uint64(sweep.vas.size)
        memory = _pointer(sweep.words), ctypes.c_uint64(BASE), ctypes.c_uint64(sweep.words.size)
        function(*memory, _pointer(regime), _pointer(vas), count, 1, 0, _pointer(pa), _pointer(status))
        if status.any():
            raise RuntimeError(f"walk: {SOURCE.name} found faults where everything is mapped")
        return pa

    return walk_all


def _pointer(words: Words) -> ctypes.c_void_p:
    return ctypes.c_void_p(words.ctypes.data)


def _rate(walk: Callable[[], Words], expected: Words) -> float:
    """Millions of walks a second, the best of three sweeps: of 20 ms on two cores somebody else easily takes half.

    Raises RuntimeError when an address is wrong.
    """
    found: list[Words] = []
    seconds = min(timed(lambda: found.append(walk())) for _ in range(3))
    if not np.array_equal(found[0], expected[: found[0].size]):
        raise RuntimeError("walk: ours and the peer do not give the same addresses")
    return found[0].size / seconds / 1e6


def against_c(rounds: int, quick: bool, tell: Tell) -> Measured:
    """Pairs in millions of walks a second, both on one core."""
    sweep = Sweep(QUICK_SIZE if quick else SIZE)
    expected = sweep.ours()
    with tempfile.TemporaryDirectory(prefix="minivisor-walk-", ignore_cleanup_errors=True) as folder, on_cores(1):
        peer = compile_peer(Path(folder))
        mine, pairs = partial(_rate, sweep.ours, expected), list[tuple[float, float | None]]()
        if peer is None:
            pairs = [(mine(), None) for _ in range(rounds)]
        else:
            pairs = interleave(mine, partial(_rate, partial(peer, sweep), expected), rounds, tell)
    everywhere = [_rate(sweep.ours, expected) for _ in range(3)]
    steps = explain(sweep.words, BASE, int(sweep.vas[0]), registers=sweep.registers).steps
    detail = {
        "addresses": int(sweep.vas.size),
        "on_all_cores": round(max(everywhere), 2),
        "descriptors_a_walk": len(steps),
    }
    return Measured(pairs, detail, None if peer else NO_COMPILER)


def against_python(rounds: int, quick: bool, tell: Tell) -> Measured:
    """Pairs in millions of walks a second; ours on all cores, as it is."""
    sweep = Sweep(QUICK_SIZE if quick else SIZE)
    expected = sweep.ours()
    try:
        sweep.naive(1)
    except ImportError:
        return Measured([(_rate(sweep.ours, expected), None) for _ in range(rounds)], not_run=NO_ORACLE)
    mine, naive = partial(_rate, sweep.ours, expected), partial(_rate, partial(sweep.naive, OF_PYTHON), expected)
    return Measured(interleave(mine, naive, rounds, tell), {"addresses": int(sweep.vas.size), "of_peer": OF_PYTHON})
