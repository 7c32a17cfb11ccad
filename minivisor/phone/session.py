"""A run in steps: virtual time goes on as far as asked, and on the way a script plays.

A script is what somebody would do at the phone, stamped in virtual time, so that a demonstration, a test and a bug
report are the same every time:

    hello@300ms             type "hello" at 0.3 s, for whoever is in front then
    work:P@1s               type P on the work persona's console, in front or not
    switch@500ms            Tab (this one is the option --switch 500ms)

Who is in front is asked when the moment comes, as for a person's keys.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass

from minivisor.errors import OptionError, fault
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import Persona
from minivisor.phone.units import parse_duration

__all__ = ["SIDES", "Session", "Step", "parse_typed"]

SIDES = ("personal", "work")
ESCAPES = {r"\n": "\r", r"\r": "\r", r"\t": "\t", r"\\": "\\"}  # Enter sends a carriage return, as on a real console


@dataclass(frozen=True, slots=True, order=True)
class Step:
    """at: virtual ns. text: keys, bytes as they are; None is Tab. side: whose console, by index; None is the front one's."""

    at: int
    text: str | bytes | None = None
    side: int | None = None


def parse_typed(text: str) -> Step:
    """A step from "[personal:|work:]TEXT[@TIME]". An @ that no time follows is a key like any other."""
    words, mark, moment = text.rpartition("@")
    if not mark or not re.match(r"\d", moment):
        words, moment = text, "0ms"
    who, colon, rest = words.partition(":")
    side = SIDES.index(who) if colon and who in SIDES else None
    keys = re.sub(r"\\[nrt\\]", lambda match: ESCAPES[match[0]], rest if side is not None else words)
    if not keys:
        raise OptionError(fault("--type", text, "[personal:|work:]TEXT[@TIME], as in 'hello@300ms'"))
    return Step(parse_duration(moment), keys, side)


class Session:
    """One hypervisor being run. host: seconds the host has spent in it. script: what is to come, soonest first."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self.hypervisor, self.host = hypervisor, 0.0
        self.script: list[Step] = []

    def plan(self, steps: Iterable[Step]) -> None:
        """Add to the script; steps of one moment keep their order."""
        self.script = sorted([*self.script, *steps], key=lambda step: step.at)

    def advance(self, until: int) -> None:
        """Let virtual time pass up to `until` in ns, less when nobody is left to run; play what is due on the way."""
        started = time.perf_counter()
        try:
            while self.script and self.script[0].at <= until and self.hypervisor.alive:
                self.hypervisor.run(self.script[0].at)
                self._play(self.script.pop(0))
            self.hypervisor.run(until)
        finally:
            self.host += time.perf_counter() - started

    def switch(self) -> None:
        """Tab: the next persona comes to the front."""
        personas, front = self.hypervisor.personas, self.front
        self.hypervisor.bring_to_front(personas[(personas.index(front) + 1) % len(personas)])

    def type(self, keys: bytes, persona: Persona | None = None, at: int | None = None) -> None:
        """Keys for one persona, the one in front unless given; now, or at a virtual time in ns."""
        for byte in keys:
            self.hypervisor.key(persona or self.front, byte, at)

    @property
    def front(self) -> Persona:
        """Whose screen is shown and who gets the keys."""
        assert self.hypervisor.foreground is not None
        return self.hypervisor.foreground

    def _play(self, step: Step) -> None:
        if step.text is None:
            self.switch()
        else:
            keys = step.text if isinstance(step.text, bytes) else step.text.encode()
            self.type(keys, None if step.side is None else self.hypervisor.personas[step.side])
