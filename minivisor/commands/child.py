"""Running another program in our place: it has the terminal, and Ctrl-C is for it to answer."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

__all__ = ["run"]


def run(command: Sequence[str], folder: Path | None = None) -> int:
    """Run a program in `folder` to its end and return its exit status.

    The terminal sends Ctrl-C to the child as well. JupyterLab asks whether its kernels should end, pytest prints what
    it has so far; to kill either after a quarter of a second, as subprocess.run does, would leave kernels behind.
    A polite kill of ours is passed on, so that no server outlives the command that started it.
    """
    with subprocess.Popen(command, cwd=folder) as process:
        signal.signal(signal.SIGTERM, lambda _number, _frame: process.terminate())
        while process.poll() is None:
            with contextlib.suppress(KeyboardInterrupt):
                process.wait()
    return process.returncode
