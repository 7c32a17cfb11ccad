"""QEMU's system emulator as a peer: the same guest on its `virt` board, timed by the guest's own clock.

There is no hypervisor in it, so it says what the guest's own work costs an emulator that knows nothing of EL2. The guest
reads the board's counter, which follows the host's clock; the start of the process is not in it.
"""

from __future__ import annotations

import re
import shutil
import subprocess

from minivisor import guests

__all__ = ["ABSENT", "NAME", "QemuRun", "installed", "run"]

NAME = "qemu-system-aarch64"
ABSENT = f"{NAME} is not installed"
PATIENCE = 120  # seconds


class QemuRun(str):
    """What the guest printed."""

    __slots__ = ()

    @property
    def nanoseconds(self) -> int:
        """By the guest's clock, from the start of its work to the end. Raises RuntimeError when it reports none."""
        found = re.search(r"^bench: \w+ \d+, (\d+) ns", self, re.MULTILINE)
        if found is None:
            raise RuntimeError(f"bench guest on {NAME}: no time reported; its console says {self[-200:]!r}")
        return int(found[1])


def installed() -> bool:
    """Is there one?"""
    return shutil.which(NAME) is not None


def run(bootargs: str, cpus: int = 1) -> QemuRun:
    """Boot the bench guest with these orders and wait for its end."""
    board = [NAME, "-M", "virt,gic-version=2", "-cpu", "cortex-a57", "-m", "64", "-nodefaults", "-display", "none"]
    command = [*board, "-smp", str(cpus), "-serial", "stdio", "-kernel", str(guests.path("bench")), "-append", bootargs]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    return QemuRun(done.stdout)
