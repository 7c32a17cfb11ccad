"""Phone: whose screen is this, and who says so? In a notebook the picture is alive: keys, and the other persona."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from minivisor.views.view import View

__all__ = ["PhoneView", "Picture", "picture"]

STRIP = 16  # rows that belong to the hypervisor
COLOURS = 255
MOST_FRAMES = 60
Picture = dict[str, Any]


class Handset(Protocol):
    """What this view needs of a phone: `minivisor.Phone` has it."""

    @property
    def now(self) -> int: ...

    @property
    def foreground(self) -> Any: ...

    @property
    def personas(self) -> Sequence[Any]: ...

    def screen(self) -> np.ndarray: ...

    def switch(self) -> Any: ...

    def type(self, text: str) -> None: ...

    def tap(self, x: int, y: int) -> str: ...

    def run(self, duration: int | str) -> Any: ...


def picture(phone: Handset, what: str = "", record: int = -1) -> Picture:
    """What a phone shows now, as plain data: runs of (colour, length - 1), two bytes each, row by row from the top left."""
    panel = phone.screen()
    height, width, _ = panel.shape
    words = panel.reshape(-1, 3).astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colours, flat = np.unique(words, return_inverse=True)
    if len(colours) > COLOURS:
        colours, flat = np.unique(words & 0xE0E0E0, return_inverse=True)
    starts = np.flatnonzero(np.diff(flat, prepend=-1))
    lengths = np.diff(starts, append=len(flat))
    runs = b"".join(_run(int(flat[at]), int(long)) for at, long in zip(starts, lengths, strict=True))
    sides = [{"name": persona.name, "status": persona.status} for persona in phone.personas]
    return {
        "time": phone.now,
        "front": phone.foreground.name,
        "personas": sides,
        "what": what,
        "record": record,
        "width": width,
        "height": height,
        "strip": STRIP,
        "runs": b64encode(runs).decode(),
        "colours": [f"{colour:06x}" for colour in colours.tolist()],
    }


def _run(colour: int, length: int) -> bytes:
    """A run as pairs of bytes; a long one takes several."""
    whole, rest = divmod(length, 256)
    return bytes((colour, 255)) * whole + (bytes((colour, rest - 1)) if rest else b"")


class PhoneView(View):
    """Frames of the panel; a step is a frame. With a phone it is alive in a notebook: `step` ns pass after each event.

    frames: pictures taken before, or a phone. pause: virtual time that passes after an event, as "100ms".
    """

    name = "phone"

    def __init__(self, frames: Sequence[Picture] | Handset, pause: str = "100ms", *, step: int = -1) -> None:
        self._phone = None if isinstance(frames, Sequence) else frames
        self._pause, self._taken = pause, 0
        shown = list(frames) if isinstance(frames, Sequence) else [picture(frames)]
        super().__init__({"frames": shown, "live": False}, step)

    def _moved(self, step: int, ui: Mapping[str, Any]) -> None:
        super()._moved(step, ui)
        new = [event for event in ui.get("events", ()) if event["number"] > self._taken]
        if self._phone is not None and new:
            self._taken = new[-1]["number"]
            self._play(self._phone, new)

    def _play(self, phone: Handset, events: Sequence[Mapping[str, Any]]) -> None:
        """Carry out what a reader did, let time pass, and show what came of it."""
        said = [words for event in events if (words := _carry_out(phone, event))]
        phone.run(self._pause)
        frames = [*self.state["frames"], picture(phone, ", ".join(said))][-MOST_FRAMES:]
        self.state = {**self.state, "frames": frames}
        self._step = len(frames) - 1
        with self.widget.hold_sync():
            self.widget.state, self.widget.step = self.live_state(), self._step

    def live_state(self) -> dict[str, Any]:
        """The state in a notebook: there is somebody to tell."""
        return {**self.state, "live": self._phone is not None}


def _carry_out(phone: Handset, event: Mapping[str, Any]) -> str:
    """One event of a reader's, and what to call it."""
    name = event.get("name")
    if name == "switch":
        return f"{phone.switch().name} was brought to the front"
    if name == "typed":
        text = str(event.get("text", ""))[:100]
        phone.type(text)
        return f"typed {text!r}"
    if name == "tap":
        return phone.tap(int(event["x"]), int(event["y"]))
    return ""
