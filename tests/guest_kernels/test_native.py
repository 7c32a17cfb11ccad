"""The guests' portable C on the host: the device-tree reader with hostile trees, the workload for its checksum."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from unicorn import UC_ARCH_ARM64, UC_MODE_ARM, Uc
from unicorn.arm64_const import UC_ARM64_REG_X0, UC_CPU_ARM64_A72

from minivisor import guests
from tests.guest_kernels.native import library
from tests.guest_kernels.virt import RAM_BASE, Virt

pytestmark = pytest.mark.needs("ziglang")

TREE = """/dts-v1/;
/ {
    #address-cells = <2>; #size-cells = <2>;
    chosen { minivisor,name = "work"; };
    soc { #address-cells = <1>; #size-cells = <1>;
        uart@9000000 { compatible = "arm,other", "arm,pl011"; reg = <0x9000000 0x1000>; }; };
    memory@40000000 { device_type = "memory"; reg = <1 0x40000000 0 0x4000000>; };
};
"""


def blob(source: str) -> bytes:
    return subprocess.run(["dtc", "-q", "-O", "dtb"], input=source.encode(), check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return library(tmp_path_factory.mktemp("fdt"), "lib/fdt.c")


def read_trees(reader: Path, trees: list[bytes]) -> list[list[list[object]] | None]:
    command = [sys.executable, str(Path(__file__).with_name("read_trees.py")), str(reader)]
    lines = "\n".join(tree.hex() for tree in trees)
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"the reader died: {done.returncode} {done.stderr[-300:]}"
    return list(json.loads(done.stdout))


@pytest.mark.needs("dtc")
def test_reader_finds_what_dtc_wrote(reader: Path) -> None:
    [found] = read_trees(reader, [blob(TREE)])
    assert found == [
        [1, "", False, 0, 0, ""],
        [2, "chosen", False, 0, 0, "work"],
        [2, "soc", False, 0, 0, ""],
        [3, "uart@9000000", True, 0x900_0000, 0x1000, ""],
        [2, "memory@40000000", False, 0x1_4000_0000, 0x400_0000, ""],
    ]


@pytest.mark.needs("dtc")
def test_reader_stays_in_bounds_whatever_one_word_says(reader: Path) -> None:
    """Every word of the tree replaced by each of six values, and the tree cut short at every word."""
    good = blob(TREE)
    values = [0, 1, 3, 0x7FFF_FFFF, 0xFFFF_FFFC, 0x001F_FFFF]
    trees = [good[:at] + value.to_bytes(4, "big") + good[at + 4 :] for at in range(0, len(good), 4) for value in values]
    trees += [good[:at] for at in range(0, len(good), 4)]
    results = read_trees(reader, trees)
    assert len(results) == len(trees) > 500
    assert None in results and any(result and len(result) == 5 for result in results)


def words(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "big") for value in values)


@pytest.mark.needs("dtc")
def test_reader_stays_in_bounds_at_the_end_of_its_limit(reader: Path) -> None:
    """The structure block is moved to the last bytes that a tree may have, so that one step too far is a fault."""
    good, limit = blob(TREE), 0x20_0000
    start, size = (int.from_bytes(good[at : at + 4], "big") for at in (8, 36))
    moved = good.ljust(limit - size, b"\0") + good[start : start + size]
    at_end = moved[:4] + words(limit, limit - size) + moved[12:]
    too_long = at_end[:4] + words(limit + 4) + at_end[8:36] + words(size + 4) + at_end[40:]
    beyond = at_end[:36] + words(size + 4) + at_end[40:]
    endless = at_end[:-4] + words(4)  # a NOP where FDT_END was
    unnamed = at_end[:-8] + words(1, 0x41414141)  # a node whose name never ends
    found, *refused, still, last = read_trees(reader, [at_end, too_long, beyond, endless, unnamed])
    assert refused == [None, None]
    assert found and found == still == last and len(found) == 5


def bare_checksum(rounds: int) -> int:
    """bench-bare on Unicorn with one mapping and no hooks: X0 and `result` at `done`."""
    with guests.path("bench-bare").open("rb") as file:
        elf = ELFFile(file)
        symbols = elf.get_section_by_name(".symtab")
        done, result = (symbols.get_symbol_by_name(name)[0]["st_value"] for name in ("done", "result"))
        engine = Uc(UC_ARCH_ARM64, UC_MODE_ARM)
        engine.ctl_set_cpu_model(UC_CPU_ARM64_A72)
        engine.mem_map(RAM_BASE, 0x100_0000)
        for segment in elf.iter_segments("PT_LOAD"):
            engine.mem_write(segment["p_paddr"], segment.data())
    engine.reg_write(UC_ARM64_REG_X0, rounds)
    engine.emu_start(elf.header["e_entry"], done)
    checksum = int(engine.reg_read(UC_ARM64_REG_X0))
    assert engine.mem_read(result, 8) == checksum.to_bytes(8, "little")
    return checksum


@pytest.mark.needs("qemu")
def test_the_workload_computes_the_same_in_a_guest_on_a_bare_emulator_and_on_the_host(tmp_path: Path) -> None:
    mixed = ctypes.CDLL(str(library(tmp_path, "bench/workload.c"))).mixed
    mixed.argtypes, mixed.restype = [ctypes.c_ulong], ctypes.c_ulong
    with Virt(guests.path("bench"), tmp_path, "-append", "mixed 2") as machine:
        assert f"checksum {mixed(2):#x}\r\n" in machine.until("mixed 2, ")
    assert bare_checksum(2) == mixed(2)
