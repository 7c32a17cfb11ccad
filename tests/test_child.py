"""Ctrl-C belongs to the program that has the terminal: we wait for its answer and pass on its exit status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minivisor.commands import child


def test_the_childs_status_is_ours(tmp_path: Path) -> None:
    assert child.run([sys.executable, "-c", "import os, sys; sys.exit(len(os.listdir()))"], tmp_path) == 0
    (tmp_path / "one").touch()
    assert child.run([sys.executable, "-c", "import os, sys; sys.exit(len(os.listdir()))"], tmp_path) == 1


HEARS = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job ignores Ctrl-C


@pytest.mark.skipif(os.name == "nt", reason="a console of its own is needed to send Ctrl-C")
def test_control_c_leaves_the_child_time_to_end_by_itself(tmp_path: Path) -> None:
    ready, ended = tmp_path / "ready", tmp_path / "ended"
    slow = (
        f"{HEARS}import pathlib, sys, time\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        "try: time.sleep(60)\n"
        f"except KeyboardInterrupt: time.sleep(0.6); pathlib.Path({str(ended)!r}).touch(); sys.exit(5)"
    )
    outer = f"{HEARS}import sys; from minivisor.commands import child; sys.exit(child.run([sys.executable, '-c', {slow!r}]))"
    with subprocess.Popen([sys.executable, "-c", outer], start_new_session=True) as process:
        while not ready.exists():
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=20) == 5
    assert ended.exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no polite kill")
def test_a_polite_kill_of_ours_ends_the_child_too(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    slow = f"import os, pathlib, time; pathlib.Path({str(ready)!r}).write_text(str(os.getpid())); time.sleep(60)"
    outer = f"import sys; from minivisor.commands import child; sys.exit(child.run([sys.executable, '-c', {slow!r}]))"
    with subprocess.Popen([sys.executable, "-c", outer]) as process:
        while not ready.exists() or not ready.read_text():
            assert process.poll() is None
            time.sleep(0.01)
        process.terminate()
        assert process.wait(timeout=20) != 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(ready.read_text()), 0)
