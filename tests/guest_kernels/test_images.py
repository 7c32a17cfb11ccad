"""The ELF files: who may write and run what, which instructions are in them, and that building is repeatable."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import capstone
import pytest
from elftools.elf.constants import P_FLAGS
from elftools.elf.elffile import ELFFile

from minivisor import guests
from minivisor.errors import GuestImageError

BUILD = Path(__file__).parents[2] / "guest-kernels" / "build.py"
NAMES = ["hello", "persona", "probe", "fuzz", "hypercall", "smp", "bench", "bench-bare"]
PAGE = 4096


def segments(name: str) -> Iterator[Any]:
    with guests.path(name).open("rb") as file:
        yield from (segment for segment in ELFFile(file).iter_segments("PT_LOAD") if segment["p_memsz"])


def pages(segment: Any, field: str) -> set[int]:
    start = segment[field]
    return set(range(start // PAGE, (start + segment["p_memsz"] - 1) // PAGE + 1))


def instructions(name: str, section: str) -> Iterator[Any]:
    with guests.path(name).open("rb") as file:
        code = ELFFile(file).get_section_by_name(section)
        engine = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
        engine.skipdata = True
        yield from engine.disasm(code.data(), code["sh_addr"])


def uses_floating_point(operands: str) -> bool:
    names = operands.replace("[", " ").replace("{", " ").replace(",", " ").replace(".", " ").split()
    return any(name[0] in "bhsdqv" and name[1:].isdigit() for name in names)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_writable_and_executable(name: str) -> None:
    for segment in segments(name):
        assert not (segment["p_flags"] & P_FLAGS.PF_W and segment["p_flags"] & P_FLAGS.PF_X)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("field", ["p_vaddr", "p_paddr"])
def test_code_shares_no_page_with_data(name: str, field: str) -> None:
    code: set[int] = set()
    data: set[int] = set()
    for segment in segments(name):
        (code if segment["p_flags"] & P_FLAGS.PF_X else data).update(pages(segment, field))
    assert code and data and not code & data


@pytest.mark.parametrize("name", NAMES)
def test_image_is_in_low_ram_and_is_entered_at_a_physical_address_in_its_code(name: str) -> None:
    with guests.path(name).open("rb") as file:
        header = ELFFile(file).header
    assert header["e_machine"] == "EM_AARCH64" and header["e_type"] == "ET_EXEC"
    code = set().union(*(pages(segment, "p_paddr") for segment in segments(name) if segment["p_flags"] & P_FLAGS.PF_X))
    assert header["e_entry"] // PAGE in code
    every = set().union(*(pages(segment, "p_paddr") for segment in segments(name)))
    assert min(every) * PAGE >= 0x4020_0000 and max(every) * PAGE < 0x4100_0000


@pytest.mark.parametrize("name", ["hello", "persona", "probe", "hypercall", "smp"])
def test_kernels_leave_the_floating_point_registers_alone(name: str) -> None:
    """The persona's app owns them; before CPACR_EL1.FPEN is set one such instruction is an exception."""
    assert not [str(i) for i in instructions(name, ".text") if uses_floating_point(i.op_str)]


def test_the_app_and_the_workload_do_use_floating_point() -> None:
    """The check above would see one if it were there."""
    assert sum(uses_floating_point(i.op_str) for i in instructions("persona", ".app.text")) >= 64
    assert any(uses_floating_point(i.op_str) for i in instructions("bench", ".text"))


def test_bench_and_bare_run_the_same_workload() -> None:
    """Instruction for instruction, but for the addresses in the operands of branches and ADRP."""

    def workload(name: str) -> list[str]:
        with guests.path(name).open("rb") as file:
            symbol = ELFFile(file).get_section_by_name(".symtab").get_symbol_by_name("mixed")[0]
        start, end = symbol["st_value"], symbol["st_value"] + symbol["st_size"]
        return [i.mnemonic for i in instructions(name, ".text") if start <= i.address < end]

    assert len(workload("bench")) > 500
    assert workload("bench") == workload("bench-bare")


def test_a_guest_that_is_not_there_is_named() -> None:
    with pytest.raises(GuestImageError, match=r"'nobody'.*build\.py"):
        guests.path("nobody")


def build(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(BUILD), *arguments], capture_output=True, text=True, check=False)


@pytest.mark.needs("ziglang")
def test_building_again_gives_the_same_bytes_and_only_what_is_older_is_built(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert build("hello", "--output", str(first)).stdout == "built hello.elf\n"
    assert build("hello", "--output", str(second)).stdout == "built hello.elf\n"
    image = first / "hello.elf"
    assert image.read_bytes() == (second / "hello.elf").read_bytes()
    assert build("hello", "--output", str(first)).stdout == ""
    os.utime(image, (0, 0))
    assert build("hello", "--output", str(first)).stdout == "built hello.elf\n"


def test_build_errors_are_one_status_and_no_traceback(tmp_path: Path) -> None:
    unknown = build("nobody")
    assert unknown.returncode == 2 and "no guest named nobody" in unknown.stderr
    blocked = tmp_path / "file"
    blocked.touch()
    failed = build("hello", "--output", str(blocked / "folder"))
    assert failed.returncode == 2 and "Traceback" not in failed.stderr
    assert "--force" in build("--help").stdout
