"""Prove that constraints.txt installs from wheels alone on every machine in targets.py.

    python scripts/check_wheels.py [--python 3.12.0]

A compiler on a student's laptop is the exception, so a package without a wheel for one of our machines is a bug in
constraints.txt. pip evaluates markers for the interpreter it runs on, so it cannot simply be asked "would this install
on Windows?". The proof is therefore in two parts, for each target:

 1. Choose the lines of constraints.txt whose marker is true there, and let pip find a wheel of exactly each
    (`--dry-run --only-binary :all: --no-deps --platform …`, nothing is downloaded but metadata).
 2. Walk the requirements from pyproject.toml with all extras through the metadata of those very wheels, markers
    evaluated for the target: every package reached must be among the chosen lines at a version that satisfies it (the
    constraints are complete), and every chosen line must be reached (nothing in them is left over).

Needs pip 25 or newer and `packaging`; talks to whichever package index pip is set up for.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from targets import PYTHONS, ROOT, TARGETS, Target

Metadata = dict[str, Any]


def chosen(target: Target, python: str) -> list[Requirement]:
    """The lines of constraints.txt that hold on this machine."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    environment = target.environment(python)
    return [r for r in requirements if r.marker is None or r.marker.evaluate(dict(environment))]


def wheels(requirements: list[Requirement], target: Target, python: str) -> dict[str, Metadata]:
    """pip's report on exactly these versions: canonical name -> metadata. Raises SystemExit when a wheel is missing."""
    with tempfile.TemporaryDirectory() as folder:
        lines, report = Path(folder, "lines.txt"), Path(folder, "report.json")
        lines.write_text("".join(f"{r.name}{r.specifier}\n" for r in requirements))
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--no-deps", "--ignore-installed"]
        command += ["--only-binary", ":all:", "--implementation", "cp", "--python-version", python]
        for tag in target.tags:
            command += ["--platform", tag]
        command += ["--target", folder, "--report", str(report), "-r", str(lines)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            raise SystemExit(f"{target.name}: {run.stderr.strip()}")
        items = json.loads(report.read_text())["install"]
    return {canonicalize_name(item["metadata"]["name"]): item["metadata"] for item in items}


def roots() -> list[Requirement]:
    """What pyproject.toml asks for, all extras taken."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    return [Requirement(line) for line in project["dependencies"] + [line for extra in extras for line in extra]]


def walk(found: dict[str, Metadata], environment: dict[str, str]) -> tuple[set[str], list[str]]:
    """Follow requirements from the roots. Returns (names reached, complaints)."""
    queue: list[tuple[Requirement, str, str]] = [(r, "", "pyproject.toml") for r in roots()]
    seen: set[tuple[str, str]] = set()
    complaints = []
    while queue:
        requirement, extra, asker = queue.pop()
        if requirement.marker and not requirement.marker.evaluate({**environment, "extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        if name not in found:
            complaints.append(f"{asker} needs {requirement}, which constraints.txt does not name")
            continue
        if not requirement.specifier.contains(found[name]["version"], prereleases=True):
            complaints.append(f"{asker} needs {requirement}, constraints.txt has {found[name]['version']}")
        for inner in {"", *requirement.extras} - {e for n, e in seen if n == name}:
            seen.add((name, inner))
            queue += [(Requirement(line), inner, name) for line in found[name].get("requires_dist", [])]
    return {name for name, _ in seen}, complaints


def check(target: Target, python: str) -> list[str]:
    """All that is wrong with constraints.txt on one machine."""
    found = wheels(chosen(target, python), target, python)
    reached, complaints = walk(found, target.environment(python))
    complaints += [f"{name} is in constraints.txt, and nothing needs it" for name in sorted(set(found) - reached)]
    print(f"{target.name}, Python {python}: {len(found)} wheels, {len(complaints)} complaints", flush=True)
    return [f"{target.name}, Python {python}: {complaint}" for complaint in complaints]


def main() -> int:
    parser = argparse.ArgumentParser(description="prove that constraints.txt installs from wheels alone everywhere")
    help_text = f"full version, may be repeated (default: {', '.join(PYTHONS)})"
    parser.add_argument("--python", action="append", help=help_text)
    pythons = parser.parse_args().python or PYTHONS
    complaints = [line for python in pythons for target in TARGETS for line in check(target, python)]
    print("\n".join(complaints) or "every package has a wheel on every target")
    return 1 if complaints else 0


if __name__ == "__main__":
    raise SystemExit(main())
