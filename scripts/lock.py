"""Rewrite constraints.txt: exact versions of everything we install, on every machine in targets.py at once.

    pip install uv && python scripts/lock.py

uv resolves pyproject.toml with all extras for all targets, wheels only, with as few versions of a package as will do.
Its markers spell out every machine; this script replaces them by the shortest that say the same on our targets, so that
the file stays readable: most lines have none. Run it when a dependency changes, then run check_wheels.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.requirements import Requirement
from targets import PYTHONS, ROOT, TARGETS

Cell = tuple[str, str]  # (target name, Python version)
GRID = {(target.name, python): target.environment(python) for target in TARGETS for python in PYTHONS}

# Shortest first; the first that is true on exactly the cells of a line is the marker of that line.
PLATFORMS = (
    "",
    "sys_platform == 'win32'",
    "sys_platform == 'darwin'",
    "sys_platform == 'linux'",
    "sys_platform != 'win32'",
    "sys_platform != 'darwin'",
    "sys_platform != 'linux'",
    "sys_platform == 'darwin' and platform_machine == 'x86_64'",
    "(sys_platform != 'darwin' or platform_machine != 'x86_64')",
    "sys_platform == 'darwin' and platform_machine == 'arm64'",
    "sys_platform == 'linux' and platform_machine == 'aarch64'",
)
VERSIONS = ("", *(f"python_version {op} '{python}'" for python in ("3.12", "3.13") for op in ("<", ">=")))

HEADER = """\
# Exact versions of everything minivisor installs, on every machine it supports: written by scripts/lock.py,
# proved by scripts/check_wheels.py to need no compiler anywhere. Names, versions and markers only.
"""


def cells(marker: str) -> frozenset[Cell]:
    """The machines on which a marker is true."""
    parsed = Requirement(f"x; {marker}").marker if marker else None
    return frozenset(cell for cell, env in GRID.items() if parsed is None or parsed.evaluate(dict(env)))


def shortest(wanted: frozenset[Cell]) -> str:
    """The shortest marker of our vocabulary that is true on exactly these machines."""
    candidates = [" and ".join(filter(None, (p, v))) for p in PLATFORMS for v in VERSIONS]
    for marker in sorted(candidates, key=len):
        if cells(marker) == wanted:
            return marker.removeprefix("(").removesuffix(")") if marker in PLATFORMS else marker
    raise SystemExit(f"lock: no marker in the vocabulary says {sorted(wanted)}; extend PLATFORMS or VERSIONS")


def resolve() -> list[Requirement]:
    """What uv chooses, one requirement a line, with uv's own long markers."""
    ranges = f"python_full_version >= '{PYTHONS[0]}' and python_full_version < '3.14'"
    machine = "sys_platform == '{}' and platform_machine == '{}' and " + ranges
    machines = [machine.format(target.sys_platform, target.platform_machine) for target in TARGETS]
    with tempfile.TemporaryDirectory() as folder:
        project, out = Path(folder, "pyproject.toml"), Path(folder, "out.txt")
        settings = f"\n[tool.uv]\nenvironments = {machines}\nrequired-environments = {machines}\n"
        project.write_text((ROOT / "pyproject.toml").read_text() + settings)
        command = [sys.executable, "-m", "uv", "pip", "compile", str(project), "-o", str(out), "--quiet"]
        command += ["--universal", "--all-extras", "--python-version", PYTHONS[0], "--fork-strategy", "fewest"]
        command += ["--no-build", "--no-annotate", "--no-header"]
        subprocess.run(command, check=True, cwd=folder, env=os.environ | {"UV_NO_PROGRESS": "1"})
        return [Requirement(line) for line in out.read_text().splitlines() if line and not line.startswith("#")]


def main() -> None:
    lines = []
    for requirement in resolve():
        marker = shortest(cells(str(requirement.marker or "")))
        lines.append(f"{requirement.name}{requirement.specifier}" + (f"; {marker}" if marker else ""))
    (ROOT / "constraints.txt").write_text(HEADER + "\n".join(lines) + "\n")
    print(f"lock: {len(lines)} lines")


if __name__ == "__main__":
    main()
