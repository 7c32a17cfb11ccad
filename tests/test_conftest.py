"""A test whose system part is absent is NOT RUN and counted so; in CI it fails. Nothing passes by being skipped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

INNER = """
import pytest

def test_here():
    pass

@pytest.mark.needs("dtc")
def test_absent():
    raise AssertionError("ran without its part")

@pytest.mark.needs({part!r})
def test_other():
    pass
"""


def run_inner(folder: Path, part: str, ci: bool) -> tuple[int, str]:
    """Run three tests under our conftest on a machine whose path holds no programs at all."""
    (folder / "conftest.py").write_text(Path(__file__).with_name("conftest.py").read_text(encoding="utf-8"))
    (folder / "test_inner.py").write_text(INNER.format(part=part))
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = needs(part): as in pyproject.toml\n")
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "PATH")} | {"PATH": str(folder)}
    environment |= {"CI": "true"} if ci else {}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)
    return done.returncode, done.stdout


def test_an_absent_part_is_named_and_not_counted_as_passed(tmp_path: Path) -> None:
    status, output = run_inner(tmp_path, "chromium", ci=False)
    assert status == 0
    assert "NOT RUN: test_inner.py::test_absent: no dtc (apt-get install device-tree-compiler)" in output
    assert "NOT RUN: test_inner.py::test_other: no chromium" in output
    assert "1 passed, 2 not run" in output.splitlines()[-1]


def test_in_ci_an_absent_part_is_a_failure(tmp_path: Path) -> None:
    status, output = run_inner(tmp_path, "chromium", ci=True)
    assert status == 1
    assert "no dtc" in output
    assert "1 passed" in output.splitlines()[-1]
    assert "not run" not in output.splitlines()[-1]


def test_a_part_nobody_knows_is_a_failure_everywhere(tmp_path: Path) -> None:
    status, output = run_inner(tmp_path, "dct", ci=False)
    assert status == 1
    assert "unknown part 'dct'" in output


def test_a_plain_skip_fails_in_ci(tmp_path: Path) -> None:
    (tmp_path / "test_skip.py").write_text("import pytest\ndef test_lazy():\n    pytest.skip('not today')\n")
    assert run_inner(tmp_path, "dtc", ci=False)[0] == 0
    status, output = run_inner(tmp_path, "dtc", ci=True)
    assert status == 1
    assert "CI does not allow: not today" in output


@pytest.mark.parametrize("name", ["PIP_NO_INDEX"])
def test_no_test_can_reach_a_package_index(name: str) -> None:
    assert os.environ[name] == "1"
