"""Both commands in a real terminal: what is on it meanwhile, and that it is given back on every way out."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from minivisor import guests

pty = pytest.importorskip("pty", reason="NOT RUN: no pseudo terminals on this system", exc_type=ImportError)
PERSONA = str(guests.path("persona"))
PATIENCE = 60


class Terminal:
    """A pseudo terminal of 100 × 30 with a minivisor in it. output: all it wrote so far."""

    def __init__(self, *arguments, cwd=None):
        import fcntl
        import struct
        import termios

        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "minivisor", *arguments],
            stdin=self.slave, stdout=self.slave, stderr=self.slave, env=environment, start_new_session=True, cwd=cwd,
        )  # fmt: skip
        self.output = b""

    def wait_for(self, pattern):
        deadline = time.monotonic() + PATIENCE
        while not re.search(pattern, self.output):
            assert time.monotonic() < deadline and self._read(0.2), self.output[-2000:]

    def _read(self, seconds):
        import select

        if select.select([self.master], [], [], seconds)[0]:
            self.output += os.read(self.master, 65536)
        return self.process.poll() is None or select.select([self.master], [], [], 0)[0]

    def send(self, keys):
        os.write(self.master, keys)

    def end(self):
        """The exit status, when all is read."""
        deadline = time.monotonic() + PATIENCE
        while self._read(0.1) and time.monotonic() < deadline:
            pass
        return self.process.wait(PATIENCE)

    @property
    def clean(self):
        import termios

        return termios.tcgetattr(self.slave) == self.before

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal():
    opened = []

    def start(*arguments, **options):
        opened.append(Terminal(*arguments, **options))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


ALTERNATE, NORMAL, CURSOR = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"


def left_cleanly(terminal):
    """The alternate screen is left, the cursor is back, single keys are lines again."""
    assert terminal.clean
    assert terminal.output.rfind(NORMAL) > terminal.output.rfind(ALTERNATE) >= 0
    assert terminal.output.rfind(CURSOR) > terminal.output.rfind(ALTERNATE)


def test_the_live_view_ends_by_its_key_with_a_summary(terminal):
    view = terminal("phone", "--personal", "Ada,teal")
    view.wait_for(rb"in front")
    assert not view.clean  # it has single keys now
    view.send(b"\x1b[21~")  # F10
    assert view.end() == 0
    left_cleanly(view)
    after = view.output[view.output.rfind(NORMAL) :].decode()
    assert "s virtual in" in after and "Ada" in after and "cost model zero" in after


def test_the_live_view_answers_a_polite_kill(terminal):
    view = terminal("phone")
    view.wait_for(rb"in front")
    view.process.send_signal(signal.SIGTERM)
    assert view.end() == 128 + signal.SIGTERM
    left_cleanly(view)


def test_a_part_that_fails_under_the_live_view_is_one_line_on_a_clean_terminal(terminal, tmp_path):
    (tmp_path / "mine.py").write_text(
        "class Mine:\n    def next(self, now, vcpus):\n        awake = [v for v in vcpus if v.runnable]\n"
        "        return (awake[0].index, 1_000_000 // (now < 50_000_000)) if awake else None\n"
    )
    view = terminal("phone", "--scheduler", "mine.py:Mine", cwd=tmp_path)
    assert view.end() == 2
    left_cleanly(view)
    after = view.output[view.output.rfind(NORMAL) :]
    assert b"minivisor: mine.py:4: next raised ZeroDivisionError" in after and b"Traceback" not in after


def test_a_guest_has_the_keys_until_ctrl_a_x(terminal):
    line = terminal("run", PERSONA)
    line.wait_for(rb"MMU on")
    assert not line.clean
    line.send(b"h")
    line.wait_for(rb"key 'h'")
    line.send(b"\x03")  # Ctrl-C is the guest's
    line.wait_for(rb"key ''")
    line.send(b"\x01h")
    line.wait_for(rb"Ctrl-A x  end the run")
    line.send(b"\x01x")
    assert line.end() == 0
    assert line.clean and b"key 'x'" not in line.output and b"s virtual in" in line.output


def test_a_guest_that_panics_gives_the_terminal_back(terminal):
    line = terminal("run", PERSONA)
    line.wait_for(rb"MMU on")
    line.send(b"P")
    assert line.end() == 3
    assert line.clean and b"stopped: it takes the same exception" in line.output


def test_a_run_answers_a_polite_kill(terminal):
    line = terminal("run", PERSONA)
    line.wait_for(rb"MMU on")
    line.process.send_signal(signal.SIGTERM)
    assert line.end() == 128 + signal.SIGTERM
    assert line.clean


def test_two_serial_lines_and_tab_between_them(terminal):
    line = terminal("phone", "--personal-guest", PERSONA, "--work-guest", PERSONA, "--personal", "Ada")
    line.wait_for(rb"Ada \xe2\x94\x80\xe2\x94\x80 Tab")
    line.send(b"\t")
    line.wait_for(rb"work \xe2\x94\x80\xe2\x94\x80 Tab")
    line.send(b"\x01x")
    assert line.end() == 0
    assert line.clean and b"virtual in" in line.output
