"""Rows `linux` and `linux-smp`: Debian's arm64 kernel, from the start of the process to its shell.

    ours   python -m minivisor run KERNEL --initrd … --headless          peer   qemu-system-aarch64 -M virt -cpu cortex-a72, TCG

Both boot the same two files and print to a pipe, and the clock stops at the shell's first line: start of the interpreter,
loading of compiled code and all else that a person waits for is in it. Processor seconds are told as well: where others use
the cores, the clock says more about them. The kernel and the RAM disk are not ours to give
(`make linux`); without them the row is not run.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minivisor.bench import qemu
from minivisor.bench.pairs import PHASES, Measured, Tell, interleave
from minivisor.bench.start import cpu_of_children
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import FRAMEBUFFER_ROOM, RAM, PersonaSettings
from minivisor.hypervisor.placement import BLOCK
from minivisor.machine.board import Machine
from minivisor.platform.image import load_image, with_initrd

__all__ = ["KERNEL", "RAM_DISK", "against_one", "against_qemu", "missing"]

KERNEL = Path("/usr/lib/debian-installer/images/12/arm64/text/debian-installer/arm64/linux")
RAM_DISK = Path(__file__).resolve().parents[2] / "build" / "linux" / "initrd.gz"
MEMORY, STEP, LIMIT = 512 << 20, 20_000_000, 20_000_000_000  # bytes; ns of virtual time
SHELL, INIT = b"minivisor: a shell", b"Run /init"
ARGUMENTS = "console=ttyAMA0"


def missing() -> str | None:
    """What is not there to be booted."""
    return next((f"no {file} (make linux)" for file in (KERNEL, RAM_DISK) if not file.is_file()), None)


def against_qemu(rounds: int, _quick: bool, tell: Tell) -> Measured:
    """Pairs in seconds: ours, QEMU's."""
    if absent := missing() or (None if qemu.installed() else qemu.ABSENT):
        return Measured([], not_run=absent)
    return _boots(_ours(1), _qemu(), rounds, tell, 1)


def against_one(rounds: int, _quick: bool, tell: Tell) -> Measured:
    """Pairs in seconds: two vCPUs, one."""
    if absent := missing():
        return Measured([], not_run=absent)
    return _boots(_ours(2), _ours(1), rounds, tell, 2)


def _boots(ours: Sequence[str], peer: Sequence[str], rounds: int, tell: Tell, cpus: int) -> Measured:
    """Pairs in seconds; the processor's seconds beside them; and once more, what each phase is made of."""
    used: dict[str, list[float]] = {"ours": [], "peer": []}

    def boot(whose: str, command: Sequence[str]) -> float:
        before = cpu_of_children()
        seconds = _seconds(command)
        used[whose].append(cpu_of_children() - before)
        return seconds

    pairs = interleave(lambda: boot("ours", ours), lambda: boot("peer", peer), rounds, tell)
    return Measured(pairs, {"cpu_seconds": used, PHASES: _phases(cpus)})


def _ours(cpus: int) -> list[str]:
    command = [sys.executable, "-m", "minivisor", "run", str(KERNEL), "--initrd", str(RAM_DISK), "--headless"]
    return [*command, "--smp", str(cpus), "--memory", f"{MEMORY >> 20}M", "--append", ARGUMENTS, "--for", f"{LIMIT}ns"]


def _qemu() -> list[str]:
    command = [qemu.NAME, "-M", "virt", "-cpu", "cortex-a72", "-smp", "1", "-m", f"{MEMORY >> 20}", "-display", "none"]
    files = ["-kernel", str(KERNEL), "-initrd", str(RAM_DISK), "-append", ARGUMENTS]
    return [*command, "-monitor", "none", "-serial", "stdio", "-nodefaults", *files]


def _seconds(command: Sequence[str]) -> float:
    """Until the shell is there. Raises RuntimeError when it never is."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if SHELL in line:
                    return time.perf_counter() - started
        finally:
            process.kill()
    raise RuntimeError(f"bench linux: {command[0]} ended without a shell")


def _phases(cpus: int) -> dict[str, Any]:
    """Once more, not timed: instructions and exits by class until /init starts, and from there to the shell."""
    image = with_initrd(load_image(KERNEL, RAM, MEMORY), RAM_DISK, RAM, MEMORY - FRAMEBUFFER_ROOM)
    hypervisor = Hypervisor(Machine(ram=MEMORY + BLOCK))
    persona = hypervisor.add(PersonaSettings("linux", memory=MEMORY, cpus=cpus, bootargs=ARGUMENTS), image)
    phases, before = {}, _counts(hypervisor)
    for name, words in (("kernel", INIT), ("init", SHELL)):
        while words not in persona.console and hypervisor.now < LIMIT:
            hypervisor.run(hypervisor.now + STEP)
        after = _counts(hypervisor)
        phases[name] = {key: after[key] - before.get(key, 0) for key in after}
        before = after
    return phases


def _counts(hypervisor: Hypervisor) -> dict[str, int]:
    exits = {str(row[0]): int(str(row[-1])) for row in hypervisor.trace.exits_by_class().rows}
    return {"instructions": hypervisor.core.retired, "virtual ns": hypervisor.now, **exits}
