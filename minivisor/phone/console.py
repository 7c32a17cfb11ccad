"""The terminal as a serial line, for `minivisor run`: what the guest prints goes out at once, keys go in as bytes.

A terminal normally edits lines and turns Ctrl-C into a signal; a serial line does neither. So the terminal is switched
to single keys while a guest has it, and given back on every way out. One key is ours, as in QEMU:

    Ctrl-A x    end the run        Ctrl-A h    say so        Ctrl-A Ctrl-A    send Ctrl-A itself

Ctrl-C, Ctrl-Z and all else are the guest's. Windows and the rest of the world differ in how single keys are read, so
each has its own small class, and imports what it needs only where that exists.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, BinaryIO, Protocol, Self

__all__ = ["Escape", "Keyboard", "Output", "ended_by_signals", "keyboard"]

ESCAPE, END, HELP = b"\x01", b"x", b"h"  # Ctrl-A, then one of these
RESET = b"\x1b[0m\x1b[?25h"  # colours and cursor as a shell expects them, whatever the guest left behind
HELP_TEXT = "\r\nCtrl-A x  end the run    Ctrl-A h  this help    Ctrl-A Ctrl-A  send Ctrl-A\r\n"


class Output:
    """Writes what a guest prints. A terminal gets every byte at once, a pipe gets lines."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._terminal, self._last = stream, stream.isatty(), 0x0A

    def __call__(self, byte: int) -> None:
        self._last = byte
        self._stream.write(bytes((byte,)))
        if self._terminal or byte == 0x0A:
            self._stream.flush()

    def close(self) -> None:
        """Leave the terminal as a shell expects it, at the start of a line."""
        if self._terminal:
            self._stream.write(RESET + (b"" if self._last == 0x0A else b"\r\n"))
        self._stream.flush()


class Escape:
    """Takes our key out of what is typed. ended: Ctrl-A x was."""

    def __init__(self) -> None:
        self.ended = False
        self._pending = False

    def keys(self, typed: bytes) -> bytes:
        """What of it goes to the guest."""
        passed = bytearray()
        for byte in typed:
            key = bytes((byte,))
            if self._pending:
                self._pending = False
                passed += self._after(key)
            elif key == ESCAPE:
                self._pending = True
            else:
                passed += key
        return bytes(passed)

    def _after(self, key: bytes) -> bytes:
        if key.lower() == END:
            self.ended = True
        elif key.lower() == HELP:
            sys.stderr.write(HELP_TEXT)
            sys.stderr.flush()
        return key if key == ESCAPE else b""


class Keyboard(Protocol):
    """Single keys, as a context manager; outside it the terminal is as it was."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None: ...

    def poll(self, seconds: float) -> bytes:
        """What was typed, waiting at most so long for the first key."""
        ...


def keyboard() -> Keyboard:
    """The keyboard of this platform."""
    return WindowsKeyboard() if os.name == "nt" else PosixKeyboard()


class PosixKeyboard:
    """termios: no line editing, no echo, no signals; output is still processed, so a guest's newline starts a line."""

    def __init__(self) -> None:
        self._descriptor = sys.stdin.fileno()

    def __enter__(self) -> Self:
        import termios

        self._before = termios.tcgetattr(self._descriptor)
        raw = termios.tcgetattr(self._descriptor)
        raw[0] &= ~(termios.ICRNL | termios.IXON | termios.INLCR)
        raw[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN)
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, raw)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        import termios

        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    def poll(self, seconds: float) -> bytes:
        """What was typed, waiting at most so long for the first key."""
        import select

        ready, _, _ = select.select([self._descriptor], [], [], max(seconds, 0))
        return os.read(self._descriptor, 1024) if ready else b""


class WindowsKeyboard:
    """msvcrt: keys one by one, never echoed. There is nothing to wait on, so it looks a hundred times a second."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        pass

    def poll(self, seconds: float) -> bytes:
        """What was typed, waiting at most so long for the first key."""
        import msvcrt

        until, typed = time.monotonic() + seconds, bytearray()
        while not msvcrt.kbhit() and time.monotonic() < until:  # type: ignore[attr-defined,unused-ignore]
            time.sleep(min(0.01, max(seconds, 0)))
        while msvcrt.kbhit():  # type: ignore[attr-defined,unused-ignore]
            typed += msvcrt.getwch().encode()  # type: ignore[attr-defined,unused-ignore]
        return bytes(typed)


def _exit(status: int) -> None:
    raise SystemExit(status)


@contextmanager
def ended_by_signals(leave: Callable[[int], None] = _exit) -> Iterator[None]:
    """A polite kill, or a closed window, leaves through the same door as everything else, so that the terminal is given back.

    leave: what to call with the exit status, as a shell counts it.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        leave(128 + number)

    wanted = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before: list[Any] = [signal.signal(number, handle) for number in wanted]
    try:
        yield
    finally:
        for number, handler in zip(wanted, before, strict=True):
            signal.signal(number, handler)
