"""Parts of the guests as a shared library for the machine the tests run on.

A guest's own C that touches no register runs anywhere. Compiled by the same wheel for the host, it can be called from
Python with inputs no board would give it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "guest-kernels"


def library(folder: Path, *sources: str) -> Path:
    """Compile files under guest-kernels/ into one shared library and return its path."""
    target = folder / "native.so"
    command = [sys.executable, "-m", "ziglang", "cc", "-O2", "-fPIC", "-shared", "-ffp-contract=off"]
    command += ["-fno-sanitize=all", "-Wno-unused-function", *(str(SOURCES / source) for source in sources)]
    subprocess.run([*command, "-o", str(target)], check=True, capture_output=True)
    return target
