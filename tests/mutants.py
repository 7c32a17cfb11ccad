"""Would a test notice? One fault at a time is put into a copy of the sources, and the test that should notice must fail.

    make mutants                    all of them, some minutes
    make mutants ARGS=SGI           those whose rule has this word in it

A row of `mutants.toml` says which rule of the interrupt controller, of scheduling, of devices, of SMP or of walks it breaks,
and how. Unit tests of compiled sources run interpreted: no mutant has to be compiled for them. `tests/test_mutants.py` sees to
it that every row still fits.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("minivisor", "tests", "pyproject.toml")
PATIENCE = 300  # s; a mutant that hangs has been noticed too


class Mutant(NamedTuple):
    """`old` stands in `file` exactly once; with `new` in its place, `test` fails."""

    rule: str
    file: str
    old: str
    new: str
    test: str


MUTANTS = tuple(Mutant(**row) for row in tomllib.loads((ROOT / "tests" / "mutants.toml").read_text())["mutant"])


def main(words: list[str]) -> int:
    """Run the chosen mutants; 0 when the tests pass without and each mutant was noticed."""
    chosen = [mutant for mutant in MUTANTS if all(word.lower() in mutant.rule.lower() for word in words)]
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        here = Path(folder)
        for name in COPIED:
            source = ROOT / name
            shutil.copytree(source, here / name) if source.is_dir() else shutil.copy(source, here / name)
        broken = [test for test in sorted({(mutant.test, interpreted(mutant)) for mutant in chosen}) if run(here, *test)]
        if broken:
            print("these fail without any mutant:", *(test for test, _ in broken))
            return 1
        survivors = [mutant for mutant in chosen if not noticed(mutant, here)]
    print(f"{len(chosen)} mutants, {len(survivors)} not noticed")
    return bool(survivors)


def interpreted(mutant: Mutant) -> bool:
    """Is it one of compiled sources, and its test short enough to run them as they are?"""
    return mutant.file.startswith("minivisor/machine/") and not mutant.test.startswith("tests/system/")


def run(here: Path, test: str, slowly: bool) -> str:
    """The test that failed in the copy, "" if none did."""
    environment = os.environ | {"PYTHONPATH": str(here), "MINIVISOR_JIT": "0" if slowly else "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", test]
    try:
        result = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return f"{test}: still running after {PATIENCE} s"
    failed = [line.split(" - ")[0] for line in result.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return (failed or [f"{test}: exit status {result.returncode}"])[0] if result.returncode else ""


def noticed(mutant: Mutant, here: Path) -> bool:
    """Does its test fail in the copy?"""
    path = here / mutant.file
    text = path.read_text()
    path.write_text(text.replace(mutant.old, mutant.new, 1))
    failed = run(here, mutant.test, interpreted(mutant))
    path.write_text(text)
    print(f"{'noticed' if failed else 'NOT NOTICED':<12} {mutant.rule:<52} {failed}", flush=True)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
