"""Rows `linux`, `linux-host`, `linux-smp`, `linux-idle`: Debian's arm64 kernel, from the start of the process to its shell.

    ours   python -m minivisor run KERNEL --initrd … --headless          peer   qemu-system-aarch64 -M virt -cpu cortex-a72, TCG

Both boot the same two files and print to a pipe, and the clock stops at the shell's first line: start of the interpreter,
loading of compiled code and all else that a person waits for is in it. Processor seconds are told as well: where others use
the cores, the clock says more about them. The kernel and the RAM disk are not ours to give
(`make linux`); without them the row is not run.

`linux-idle` boots each once and then leaves its shell alone: processor time for a second of the clock.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
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

__all__ = ["KERNEL", "RAM_DISK", "against_one", "against_qemu", "by_the_hosts_clock", "idle", "missing"]

KERNEL = Path("/usr/lib/debian-installer/images/12/arm64/text/debian-installer/arm64/linux")
RAM_DISK = Path(__file__).resolve().parents[2] / "build" / "linux" / "initrd.gz"
MEMORY, STEP, LIMIT = 512 << 20, 20_000_000, 60_000_000_000  # bytes; ns of virtual time
SHELL, INIT = b"minivisor: a shell", b"Run /init"
ARGUMENTS = "console=ttyAMA0"
SETTLE, IDLE = 3.0, 20.0  # seconds after the shell's first line, and of doing nothing after that
PROCESSES = Path("/proc")
Phases = Callable[[], dict[str, Any]]


def missing() -> str | None:
    """What is not there to be booted."""
    return next((f"no {file} (make linux)" for file in (KERNEL, RAM_DISK) if not file.is_file()), None)


def _absent() -> str | None:
    """The same, or that there is no peer."""
    return missing() or (None if qemu.installed() else qemu.ABSENT)


def against_qemu(rounds: int, _quick: bool, tell: Tell) -> Measured:
    """Pairs in seconds: ours, QEMU's."""
    return _beside_qemu("virtual", rounds, tell)


def by_the_hosts_clock(rounds: int, _quick: bool, tell: Tell) -> Measured:
    """Pairs in seconds: ours with time by the host's clock, QEMU's."""
    return _beside_qemu("host", rounds, tell)


def _beside_qemu(clock: str, rounds: int, tell: Tell) -> Measured:
    if absent := _absent():
        return Measured([], not_run=absent)
    return _boots(_ours(1, clock), _qemu(), rounds, tell, partial(_phases, 1, clock))


def against_one(rounds: int, _quick: bool, tell: Tell) -> Measured:
    """Pairs in seconds: two vCPUs, one."""
    if absent := missing():
        return Measured([], not_run=absent)
    return _boots(_ours(2), _ours(1), rounds, tell, partial(_phases, 2))


def idle(rounds: int, quick: bool, tell: Tell) -> Measured:
    """Pairs in percent of a core that a shell takes which nobody talks to: ours by the host's clock, QEMU's."""
    if absent := _absent():
        return Measured([], not_run=absent)
    if not (PROCESSES / "self" / "stat").is_file():
        return Measured([], not_run="this system does not say what another process takes")
    seconds = IDLE / 20 if quick else IDLE
    ours = partial(_idle, _ours(1, "host"), seconds)
    return Measured(interleave(ours, partial(_idle, _qemu(), seconds), rounds, tell), {"seconds": seconds})


def _boots(ours: Sequence[str], peer: Sequence[str], rounds: int, tell: Tell, phases: Phases) -> Measured:
    """Pairs in seconds; the processor's seconds beside them; and once more, what each phase is made of."""
    used: dict[str, list[float]] = {"ours": [], "peer": []}

    def boot(whose: str, command: Sequence[str]) -> float:
        before = cpu_of_children()
        seconds = _seconds(command)
        used[whose].append(cpu_of_children() - before)
        return seconds

    pairs = interleave(lambda: boot("ours", ours), lambda: boot("peer", peer), rounds, tell)
    return Measured(pairs, {"cpu_seconds": used, PHASES: phases()})


def _ours(cpus: int, clock: str = "virtual") -> list[str]:
    command = [sys.executable, "-m", "minivisor", "run", str(KERNEL), "--initrd", str(RAM_DISK), "--headless"]
    return [*command, "--smp", str(cpus), "--memory", f"{MEMORY >> 20}M", "--append", ARGUMENTS, "--for", f"{LIMIT}ns",
            "--clock", clock]  # fmt: skip


def _qemu() -> list[str]:
    command = [qemu.NAME, "-M", "virt", "-cpu", "cortex-a72", "-smp", "1", "-m", f"{MEMORY >> 20}", "-display", "none"]
    files = ["-kernel", str(KERNEL), "-initrd", str(RAM_DISK), "-append", ARGUMENTS]
    return [*command, "-monitor", "none", "-serial", "stdio", "-nodefaults", *files]


@contextmanager
def _shell(command: Sequence[str]) -> Iterator[int]:
    """While its shell waits: the process's number. Raises RuntimeError when there never is a shell."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            if not any(SHELL in line for line in process.stdout):
                raise RuntimeError(f"bench linux: {command[0]} ended without a shell")
            yield process.pid
        finally:
            process.kill()


def _seconds(command: Sequence[str]) -> float:
    """From before the process starts until its shell is there."""
    started = time.perf_counter()
    with _shell(command):
        return time.perf_counter() - started


def _idle(command: Sequence[str], seconds: float) -> float:
    """Percent of a core, once it has settled."""
    with _shell(command) as process:
        time.sleep(SETTLE)
        started, before = time.perf_counter(), _used(process)
        time.sleep(seconds)
        return 100 * (_used(process) - before) / (time.perf_counter() - started)


def _used(process: int) -> float:
    """Processor seconds of a process so far: proc(5), utime and stime, the 14th and 15th fields; the second may hold blanks."""
    fields = (PROCESSES / str(process) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _phases(cpus: int, clock: str = "virtual") -> dict[str, Any]:
    """Once more, not timed: instructions and exits by class until /init starts, and from there to the shell."""
    image = with_initrd(load_image(KERNEL, RAM, MEMORY), RAM_DISK, RAM, MEMORY - FRAMEBUFFER_ROOM)
    hypervisor = Hypervisor(Machine(ram=MEMORY + BLOCK), clock=clock)
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
