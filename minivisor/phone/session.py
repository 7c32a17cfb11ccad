"""A run in steps: virtual time goes on as far as asked, and on the way a script plays.

A script is what somebody would do at the phone, stamped in virtual time, so that a demonstration, a test and a bug
report are the same every time:

    hello@300ms             type "hello" at 0.3 s, for whoever is in front then
    work:P@1s               type P on the work persona's console, in front or not
    switch@500ms            Tab (this one is the option --switch 500ms)
    80,120@1s               a finger on the panel (the option --tap); on the strip it is Tab

Who is in front is asked when the moment comes, as for a person's keys.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from minivisor.errors import OptionError, fault
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import Persona
from minivisor.phone.screen import STRIP, inset
from minivisor.phone.units import parse_duration
from minivisor.platform.virtio.device import Device
from minivisor.platform.virtio.input import Keyboard, Touch

__all__ = ["SIDES", "Session", "Step", "parse_press", "parse_tap", "parse_typed"]

SIDES = ("personal", "work")
TAP = 50_000_000  # ns a finger stays
ESCAPES = {r"\n": "\r", r"\r": "\r", r"\t": "\t", r"\\": "\\"}  # Enter sends a carriage return, as on a real console


@dataclass(frozen=True, slots=True)
class Step:
    """at: virtual ns. text: keys, bytes as they are; None is Tab. side: whose console, by index; None is the front one's.

    act: what to do instead.
    """

    at: int
    text: str | bytes | None = None
    side: int | None = None
    act: Callable[[Hypervisor], object] | None = None


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


def _placed(option: str, text: str, expected: str) -> tuple[str, int]:
    """What stands before an @, and the virtual ns after it; 0 without one."""
    words, mark, moment = text.rpartition("@")
    if not mark or not re.match(r"\d", moment):
        words, moment = text, "0ms"
    if not words:
        raise OptionError(fault(option, text, expected))
    return words, parse_duration(moment)


def parse_tap(text: str) -> Step:
    """A step from "X,Y[@TIME]": a tap on the panel."""
    expected = "X,Y[@TIME] in pixels of the panel, as in 80,120@300ms"
    place, at = _placed("--tap", text, expected)
    found = re.fullmatch(r"(\d{1,5}),(\d{1,5})", place)
    if not found:
        raise OptionError(fault("--tap", text, expected))
    x, y = map(int, found.groups())
    return Step(at, act=lambda hypervisor: tap(hypervisor, x, y))


def parse_press(text: str) -> Step:
    """A step from "TEXT[@TIME]": the keys of a text, pressed and released on the keyboard of whoever is in front."""
    words, at = _placed("--press", text, "TEXT[@TIME], as in 'hello@300ms'")
    return Step(at, act=lambda hypervisor: press(hypervisor, words))


def tap(hypervisor: Hypervisor, x: int, y: int) -> str:
    """A finger on the panel for a moment: on the strip it switches, below it is for whoever is in front. Says what it did."""
    front = hypervisor.foreground
    assert front is not None
    if y < STRIP:
        switch(hypervisor)
        return f"{hypervisor.foreground.name if hypervisor.foreground else ''} was brought to the front"
    left, top = inset(hypervisor.machine.panel, front.pixels())
    for touch in _devices(front, Touch):
        touch.touch(x - left, y - top, True)
        touch.touch(x - left, y - top, False, at=hypervisor.now + TAP)
        return f"tapped at {x}, {y}"
    return f"tapped at {x}, {y}, where {front.name} has no touch screen"


def press(hypervisor: Hypervisor, text: str) -> None:
    """The keys of a text on the virtio keyboard of whoever is in front, if there is one."""
    assert hypervisor.foreground is not None
    for keyboard in _devices(hypervisor.foreground, Keyboard):
        keyboard.type(text)


def switch(hypervisor: Hypervisor) -> None:
    """The next persona comes to the front."""
    personas, front = hypervisor.personas, hypervisor.foreground
    assert front is not None
    hypervisor.bring_to_front(personas[(personas.index(front) + 1) % len(personas)])


Kind = TypeVar("Kind", bound=Device)


def _devices(persona: Persona, kind: type[Kind]) -> list[Kind]:
    found = (transport.device for transport in persona.virtio.transports)
    return [device for device in found if isinstance(device, kind)]


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
        switch(self.hypervisor)

    def tap(self, x: int, y: int) -> str:
        """A tap at a point of the panel, in pixels; what came of it in words."""
        return tap(self.hypervisor, x, y)

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
        if step.act is not None:
            step.act(self.hypervisor)
        elif step.text is None:
            self.switch()
        else:
            keys = step.text if isinstance(step.text, bytes) else step.text.encode()
            self.type(keys, None if step.side is None else self.hypervisor.personas[step.side])
