"""`make` sets up once: a second run does not ask pip, a changed constraint does; a machine without venv gets one line.

pip and the interpreter of .venv are played by a shell script that notes how it was called: nothing is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.needs("make")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with a .venv whose interpreter only writes down its arguments."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "scripts/setup.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n')
    python.chmod(0o755)
    return tmp_path


def make(clone: Path, *arguments: str, **environment: str) -> tuple[list[str], subprocess.CompletedProcess[str]]:
    """Run make. Returns (how the interpreter was called, make's result)."""
    calls = clone / "calls"
    calls.write_text("")
    clean = {k: v for k, v in os.environ.items() if k not in ("CI", "MAKEFLAGS", "MAKELEVEL")} | environment
    done = subprocess.run(["make", *arguments], cwd=clone, env=clean, capture_output=True, text=True, check=False)
    return calls.read_text().splitlines(), done


def installs(calls: list[str]) -> list[str]:
    return [call for call in calls if call.startswith("-m pip") and " install " in call]


def test_the_first_run_installs_with_the_constraints_and_the_second_asks_nothing(clone: Path) -> None:
    first, done = make(clone, "setup")
    assert done.returncode == 0
    assert len(installs(first)) == 2
    assert all("--only-binary :all: -c constraints.txt" in call for call in installs(first))
    assert make(clone, "setup")[0] == ["guest-kernels/build.py"]


@pytest.mark.parametrize("name", ["constraints.txt", "pyproject.toml"])
def test_a_change_of_what_is_installed_installs_again(clone: Path, name: str) -> None:
    make(clone, "setup")
    (clone / name).write_text((clone / name).read_text() + "# changed\n")
    assert len(installs(make(clone, "setup")[0])) == 2
    assert len(list((clone / ".venv").glob(".installed-*"))) == 1


def test_the_two_commands_do_their_job_after_the_guests_are_built(clone: Path) -> None:
    make(clone, "setup")
    assert make(clone, "phone", "ARGS=--headless")[0] == ["guest-kernels/build.py", "-m minivisor phone --headless"]
    assert make(clone, "test")[0] == ["guest-kernels/build.py", "-m pytest -n 2 --dist loadfile"]


def test_ci_checks_before_it_tests_and_pytest_comes_last(clone: Path) -> None:
    make(clone, "setup")
    calls = make(clone, "test", CI="true")[0]
    assert calls[-1] == "-m pytest -n 2 --dist loadfile"
    assert {"-m ruff check .", "-m mypy"} <= set(calls[:-1])


def test_without_a_python_that_will_do_there_is_one_line(clone: Path) -> None:
    shutil.rmtree(clone / ".venv")
    bare = clone / "bin"
    bare.mkdir()
    (bare / "id").write_text("#!/bin/sh\necho 1000\n")
    (bare / "id").chmod(0o755)
    path = f"{bare}{os.pathsep}{os.environ['PATH']}"
    _, done = make(clone, "setup", PATH=path, PYTHON=str(clone / "no-python"))
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(lines) == 1
    assert "apt-get install python3-venv" in lines[0]
    assert not (clone / ".venv").exists()


def test_help_lists_every_command_that_has_one(clone: Path) -> None:
    _, done = make(clone)
    for target in ("phone", "test", "setup", "study", "bench", "check", "warm", "clean"):
        assert f"make {target} " in done.stdout
