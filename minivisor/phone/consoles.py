"""Two serial lines and one terminal: guests that have no screen of ours, Linux for one, side by side on the phone.

headless    every line that either prints, with its name in front:       work │ [    0.000000] Booting Linux …
live        the terminal is the serial line of whoever is in front; Tab brings the other one there, with the last of what
            it printed. Ctrl-A Tab sends a Tab, Ctrl-A x ends the run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from minivisor.hypervisor.persona import Persona
from minivisor.phone.console import RESET, Escape, ended_by_signals, keyboard
from minivisor.phone.pace import Pacer
from minivisor.phone.session import Session

__all__ = ["Named", "Switched", "show"]

TAB = b"\t"
KEPT = 8192  # bytes of what a line printed that are shown again
CLEAR = b"\x1b[2J\x1b[H"
DIM = b"\x1b[2m"
LONGEST = 4096  # bytes of a line that never ends


class Named:
    """Whole lines of every persona into one stream, each with the name of who printed it."""

    def __init__(self, stream: BinaryIO, personas: list[Persona]) -> None:
        self._stream = stream
        self._width = max(len(persona.name) for persona in personas)
        for persona in personas:
            persona.on_output = self._listener(persona.name)

    def _listener(self, name: str) -> Callable[[int], None]:
        line = bytearray()

        def byte(value: int) -> None:
            if value != 0x0A:
                line.append(value)
            if value == 0x0A or len(line) >= LONGEST:
                self._stream.write(f"{name:>{self._width}} │ ".encode() + bytes(line).rstrip(b"\r") + b"\n")
                line.clear()

        return byte


class Switched:
    """The terminal as the serial line of whoever is in front."""

    def __init__(self, stream: BinaryIO, session: Session) -> None:
        self._stream, self._session = stream, session
        for persona in session.hypervisor.personas:
            persona.on_output = self._listener(persona)

    def _listener(self, persona: Persona) -> Callable[[int], None]:
        def byte(value: int) -> None:
            if persona is self._session.front:
                self._stream.write(bytes((value,)))
                self._stream.flush()

        return byte

    def redraw(self) -> None:
        """Whose line it is, and the last of what it printed."""
        front = self._session.front
        header = f"── {front.name} ── Tab: the other one   Ctrl-A x: end ──\r\n"
        kept = bytes(front.console[-KEPT:])
        start = kept.find(b"\n") + 1 if len(front.console) > KEPT else 0
        self._stream.write(RESET + CLEAR + DIM + header.encode() + RESET + kept[start:])
        self._stream.flush()

    def close(self) -> None:
        """Leave the terminal as a shell expects it."""
        self._stream.write(RESET + b"\r\n")
        self._stream.flush()


class PhoneEscape(Escape):
    """Ctrl-A Tab is a Tab for the guest; a Tab alone is the phone's."""

    @property
    def pending(self) -> bool:
        """Was Ctrl-A the last key?"""
        return self._pending

    def _after(self, key: bytes) -> bytes:
        return key if key == TAB else super()._after(key)


def show(session: Session, limit: int | None, stream: BinaryIO) -> None:
    """Run at the user's own pace, with keys, until the end."""
    switched, escape, pacer = Switched(stream, session), PhoneEscape(), Pacer(session, limit)
    with ended_by_signals(), keyboard() as keys:
        try:
            switched.redraw()
            idle = 0.0
            while not (pacer.finished or escape.ended):
                play(session, switched, escape, keys.poll(idle))
                idle = pacer.step()
        finally:
            switched.close()


def play(session: Session, switched: Switched, escape: PhoneEscape, typed: bytes) -> None:
    """Keys as they were typed: those before a Tab are for one persona, those after it for the other."""
    for value in typed:
        key = bytes((value,))
        if key == TAB and not escape.pending:
            session.switch()
            switched.redraw()
        else:
            session.type(escape.keys(key))
