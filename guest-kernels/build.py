"""Builds the guest kernels: C and A64 assembly in, `minivisor/guests/NAME.elf` out.

The compiler is the `ziglang` wheel (Clang and LLD in one), so no system toolchain is needed on any platform. A guest
is one row of `GUESTS`. It is built again only when a file it could depend on is newer than its ELF: its own folder,
`lib/`, this script. The same sources and the same wheel give the same bytes: no debug information, no build id, no
absolute path.

Besides C and assembly there is one more kind of source, a text file of small pictures drawn in '#' and '.', such as the
font; `picture_table` makes a C table of it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUTPUT = HERE.parent / "minivisor" / "guests"
SCRATCH = HERE.parent / "build" / "guest-kernels"

COMPILE = (
    "-target aarch64-freestanding-none -std=gnu11 -O2 -g0 -ffreestanding -nostdlib -fno-pic -fno-stack-protector "
    "-fno-sanitize=all -fno-asynchronous-unwind-tables -fomit-frame-pointer -ffp-contract=off -Wall -Wextra -Werror "
    "-Ilib -Ipersona -Ibench -Iprobe -Ifuzz"
).split()
# With its MMU off a guest may not make unaligned accesses, and a kernel that leaves the FP registers to others must not
# touch them (DDI 0487, B2.7.2 and CPACR_EL1.FPEN): sources that compute in floating point are named. The features are
# part of -mcpu, because zig spells out every one of them to Clang and so undoes -mgeneral-regs-only and -mstrict-align.
INTEGER_ONLY = "-mcpu=generic-neon-fp_armv8+strict_align"
WITH_FLOATING_POINT = "-mcpu=cortex_a72+strict_align"
FLOATING_POINT = frozenset({"persona/app_fp.S", "persona/app_fp.c", "bench/workload.c"})
LINK = ["-z", "max-page-size=4096", "-z", "noexecstack", "--no-undefined", "--fatal-warnings", "--build-id=none"]


class BuildError(Exception):
    """A guest could not be built; the message says which step and shows the compiler's words."""


@dataclass(frozen=True)
class Guest:
    """One ELF: the sources it is linked from and its linker script, as paths under guest-kernels/."""

    name: str
    script: str
    sources: tuple[str, ...]

    def inputs(self) -> list[Path]:
        """Every file whose change should rebuild this guest."""
        folders = {HERE / "lib", *(HERE / Path(source).parent for source in self.sources)}
        files = [file for folder in folders for file in folder.iterdir() if file.is_file()]
        return [*files, Path(__file__).resolve()]


CONSOLE = ("lib/pl011.c", "lib/print.c", "lib/string.c")
MMU = ("lib/mmu.c", "lib/mmu_enable.S")
KERNEL = ("boot.S", "vectors.S", "platform.c", "tables.c", "kernel.c", "gic.c", "tick.c", "events.c", "console.c")
APP = ("app_start.S", "app.c", "app_draw.c", "app_fp.S", "app_fp.c", "app_icons.txt")
PERSONA = (
    *(f"persona/{name}" for name in (*KERNEL, "system_calls.c", "screen.c", "font.txt", *APP)),
    *("lib/fdt.c", *MMU, *CONSOLE),
)
BENCH = ("bench/bench.c", "bench/user.S", "bench/operations.c", "bench/workload.c", "smp/secondary.S")
SMP = ("smp.c", "gic.c", "exclusive.S", "secondary.S")
GUESTS = (
    Guest("hello", "lib/identity.ld", ("lib/start.S", "hello/hello.c", *CONSOLE)),
    Guest("persona", "persona/persona.ld", PERSONA),
    Guest("probe", "lib/identity.ld", ("lib/start.S", "probe/probe.c", "probe/access.S", *MMU, "lib/string.c")),
    Guest("fuzz", "lib/identity.ld", ("lib/start.S", "fuzz/fuzz.c", "fuzz/enter.S", "lib/gicv3.c", *MMU, "lib/string.c")),
    Guest("bench", "lib/identity.ld", ("lib/start.S", *BENCH, "lib/fdt.c", *MMU, *CONSOLE)),
    Guest("hypercall", "lib/identity.ld", ("lib/start.S", "hypercall/hypercall.c", "lib/fdt.c", *CONSOLE)),
    Guest("smp", "lib/identity.ld", ("lib/start.S", *(f"smp/{name}" for name in SMP), "lib/gicv3.c", *MMU, *CONSOLE)),
    Guest("bench-bare", "lib/identity.ld", ("lib/start.S", "bench/bare.c", "bench/workload.c", "lib/string.c")),
)


def is_current(guest: Guest, output: Path) -> bool:
    """Whether the ELF in `output` is newer than everything it is made from."""
    image = output / f"{guest.name}.elf"
    return image.exists() and image.stat().st_mtime >= max(file.stat().st_mtime for file in guest.inputs())


def zig(*arguments: str) -> None:
    """Run the compiler of the `ziglang` wheel in guest-kernels/, with its caches kept inside the build folder."""
    caches = {"ZIG_GLOBAL_CACHE_DIR": str(SCRATCH / "cache"), "ZIG_LOCAL_CACHE_DIR": str(SCRATCH / "cache")}
    command = [sys.executable, "-m", "ziglang", *arguments]
    done = subprocess.run(command, cwd=HERE, env={**os.environ, **caches}, capture_output=True, text=True, check=False)
    if "No module named ziglang" in done.stderr:
        raise BuildError("the compiler is missing: expected the `ziglang` wheel (pip install ziglang)")
    if done.returncode:
        raise BuildError(f"`zig {arguments[0]}` failed\n{done.stderr.strip()}")


def pictures(drawing: str) -> list[list[str]]:
    """The pictures in a drawing, each a list of equally long rows of '#' and '.'.

    Paragraphs made of nothing but '#', '.' and spaces are rows of pictures side by side; any other paragraph is prose.
    """
    found: list[list[str]] = []
    for paragraph in drawing.split("\n\n"):
        lines = [line.split() for line in paragraph.splitlines()]
        if set(paragraph) <= set("#. \n"):
            found.extend([list(picture) for picture in zip(*lines, strict=True)])
    return found


def picture_table(symbol: str, drawing: str) -> str:
    """C source that defines `symbol` as an array of struct picture (persona/pictures.h)."""
    rows = []
    for picture in pictures(drawing):
        width = len(picture[0])
        if not 0 < width <= 16 or len(picture) > 16 or any(len(row) != width for row in picture):
            raise BuildError(f"{symbol}.txt: a picture is at most 16 by 16, its rows equally long: {picture}")
        bits = ", ".join(f"0x{int(row.replace('#', '1').replace('.', '0').ljust(16, '0'), 2):04x}" for row in picture)
        rows.append(f"    {{{width}, {len(picture)}, {{{bits}}}}},\n")
    return f'#include "pictures.h"\n\nconst struct picture {symbol}[] = {{\n{"".join(rows)}}};\n'


def compile_source(source: str, objects: Path) -> str:
    """Compile one file under guest-kernels/ and return the path of its object file."""
    target = objects / (source.replace("/", "_") + ".o")
    if source.endswith(".txt"):
        drawn = objects / (Path(source).stem + ".c")
        drawn.write_text(picture_table(Path(source).stem, (HERE / source).read_text()))
        source = str(drawn)
    options = [WITH_FLOATING_POINT if source in FLOATING_POINT else INTEGER_ONLY]
    if source == "lib/string.c":
        options.append("-fno-builtin")
    zig("cc", *COMPILE, *options, "-c", source, "-o", str(target))
    return str(target)


def build(guest: Guest, output: Path) -> None:
    """Compile and link one guest into `output`. The ELF appears whole or not at all."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        objects = [compile_source(source, Path(folder)) for source in guest.sources]
        image = Path(folder) / f"{guest.name}.elf"
        zig("ld.lld", *LINK, "-T", guest.script, *objects, "-o", str(image))
        image.chmod(0o644)
        os.replace(image, output / image.name)


def main() -> int:
    """The command line. Exit status 2 and no traceback when something is missing or does not compile."""
    names = [guest.name for guest in GUESTS]
    parser = argparse.ArgumentParser(description="Build the guest kernels with the ziglang wheel.")
    parser.add_argument("guest", nargs="*", metavar="GUEST", help=f"which to build: {', '.join(names)} (default: all)")
    parser.add_argument("--force", action="store_true", help="build even what is up to date")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder for the ELF files (default: %(default)s)")
    options = parser.parse_args()
    if unknown := set(options.guest) - set(names):
        parser.error(f"no guest named {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    try:
        for guest in GUESTS:
            if guest.name in (options.guest or names) and (options.force or not is_current(guest, options.output)):
                build(guest, options.output)
                print(f"built {guest.name}.elf")
    except (BuildError, OSError) as error:
        print(f"guest-kernels/build.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
