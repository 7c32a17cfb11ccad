"""Row `guest`: a whole C workload under the whole hypervisor, against the same object code on bare Unicorn.

Ours has its MMU on (two stages, our walk), a clock, a timer, preemption every 10 ms and a console. The peer has none of
it: no translation, one mapping that is readable, writable and executable, no hooks. Both must come to the same checksum.
QEMU's system emulator is a second peer where it is installed, without a bar: its time is that of a whole process.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from statistics import median

from minivisor import guests
from minivisor.bench.pairs import Measured, Tell, around, timed
from minivisor.bench.peers import BareGuest
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import RAM, PersonaSettings
from minivisor.hypervisor.scheduler import RoundRobin
from minivisor.machine.board import Machine
from minivisor.platform.image import load_image

__all__ = ["HostedGuest", "measure", "persona_of"]

ROUNDS = 26  # of the workload: the guest's own default
HALF = 10_000_000  # virtual ns in which half a round is done, nearly
SLICE = 10_000_000
QEMU = "qemu-system-aarch64"
PATIENCE = 120  # seconds


def persona_of(bootargs: str, name: str = "bench") -> PersonaSettings:
    """The bench guest with these orders."""
    return PersonaSettings(name, bootargs=bootargs)


class HostedGuest:
    """bench.elf under the hypervisor, in deterministic time."""

    def __init__(self, rounds: int) -> None:
        self.hypervisor, self._half = Hypervisor(Machine("a"), scheduler=RoundRobin(SLICE)), rounds * HALF
        settings = persona_of(f"mixed {rounds}")
        self.persona = self.hypervisor.add(settings, load_image(guests.path("bench"), RAM, settings.memory))
        self.hypervisor.run(0)

    def first_half(self) -> None:
        self.hypervisor.run(self._half)

    def second_half(self) -> None:
        """And whatever is left, to the guest's own end."""
        self.hypervisor.run()

    @property
    def checksum(self) -> int:
        return _checksum(self.persona.console.decode())


def _checksum(console: str) -> int:
    found = re.search(r"checksum (0x[0-9a-f]+)", console)
    if found is None:
        raise RuntimeError(f"the bench guest reported no checksum; its console says {console[-200:]!r}")
    return int(found[1], 16)


def _qemu(rounds: int, expected: int) -> float:
    """Seconds of one QEMU process that runs the same guest. Raises RuntimeError when it computes anything else."""
    board = [QEMU, "-M", "virt,gic-version=2", "-cpu", "cortex-a57", "-m", "64", "-nodefaults", "-display", "none"]
    command = [*board, "-serial", "stdio", "-kernel", str(guests.path("bench")), "-append", f"mixed {rounds}"]
    output = ""

    def run() -> None:
        nonlocal output
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
        output = done.stdout

    seconds = timed(run)
    if _checksum(output) != expected:
        raise RuntimeError(f"guest: {QEMU} computed another checksum: {output!r}")
    return seconds


def measure(rounds: int, quick: bool, tell: Tell) -> Measured:
    """Pairs in million instructions a second, of one count for both: what ours retired."""
    work = 1 if quick else ROUNDS
    pairs, qemu, installed, retired = [], [], shutil.which(QEMU) is not None, 0
    for number in range(rounds):
        ours, bare = HostedGuest(work), BareGuest(guests.path("bench-bare"), work)
        mine, other = around((ours.first_half, ours.second_half), bare.run)
        if ours.checksum != bare.checksum:
            raise RuntimeError(f"guest: checksum {ours.checksum:#x} here and {bare.checksum:#x} on bare Unicorn")
        retired = ours.hypervisor.core.retired
        pairs.append((retired / mine / 1e6, retired / other / 1e6))
        if installed:
            qemu.append(retired / _qemu(work, ours.checksum) / 1e6)
        tell((number + 1) / rounds)
    record = ours.hypervisor.core.record
    detail = {
        "instructions": retired,
        "checksum": f"{ours.checksum:#x}",
        "exits": dict(_exits(ours.hypervisor)),
        "tlb_fills": int(record.fills),
        "walks": int(record.walks),
    }
    return Measured(pairs, detail, {QEMU: median(qemu) if qemu else "absent: not installed"})


def _exits(hypervisor: Hypervisor) -> list[tuple[str, int]]:
    return [(str(row[0]), int(str(row[-1]))) for row in hypervisor.trace.exits_by_class().rows]
