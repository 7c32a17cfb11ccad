"""The engine that draws pictures in this process lets it end."""

from __future__ import annotations

import subprocess
import sys

import pytest

DRAWS = "from minivisor.views.engine import facts; print(facts('timeline').title)"


@pytest.mark.parametrize("attempt", range(6))
def test_a_process_that_drew_ends(attempt: int) -> None:
    """Without `close` at the end about one in three hung, or died of a signal."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", DRAWS], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == "" and done.stdout.strip()
