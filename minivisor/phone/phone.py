"""The phone: two personas on one core, as ten lines of Python use it.

from minivisor import Phone

phone = Phone(work={"name": "Ada at work", "colour": 0xAA3355})
phone.run("500ms")
phone                      # in a notebook: the picture
phone.trace.exits_by_class()
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from minivisor import guests
from minivisor.errors import OptionError
from minivisor.hypervisor.cost import CostModel, cost_model
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import FRAMEBUFFER_ROOM, RAM, Persona, PersonaSettings
from minivisor.hypervisor.placement import BLOCK
from minivisor.hypervisor.reference import reference
from minivisor.hypervisor.scheduler import FairShare
from minivisor.machine.board import Machine
from minivisor.machine.steps import Walk
from minivisor.phone.screen import compose, picture
from minivisor.phone.session import Session
from minivisor.phone.summary import Summary, summarize
from minivisor.phone.units import parse_colour, parse_duration
from minivisor.platform.image import Image as KernelImage
from minivisor.platform.image import load_image, with_initrd
from minivisor.platform.virtio.device import Device
from minivisor.stages import Scheduler
from minivisor.trace.store import Trace

__all__ = ["Phone", "parse_duration"]

PERSONAL = {"name": "personal", "colour": 0x2E7D6B}
WORK = {"name": "work", "colour": 0x3B5BA9}
DEFAULT_SLICE = "5ms"


class Phone:
    """Two personas under one hypervisor.

    personal, work: settings of each (`PersonaSettings`: name, colour, memory, …), "guest" and "initrd" for a kernel of its
    own, and "devices", virtio devices. guest: a kernel for both. slice: of the scheduler, ns or "5ms".
    scheduler: a policy of your own. cost: a model or its name. mmu: "minivisor" or "unicorn". clock: "virtual" or
    "host". Raises MinivisorError for what cannot be built.
    """

    def __init__(
        self,
        personal: Mapping[str, Any] | None = None,
        work: Mapping[str, Any] | None = None,
        *,
        slice: int | str = DEFAULT_SLICE,
        scheduler: Scheduler | None = None,
        cost: CostModel | str = "zero",
        board: str = "a",
        mmu: str = "minivisor",
        seed: int = 0,
        guest: str | Path | None = None,
        stages: Any = reference,
        list_registers: int | None = None,
        clock: str = "virtual",
    ) -> None:
        sides = [
            _side({"guest": guest, **default, **(given or {})})
            for default, given in ((PERSONAL, personal), (WORK, work))
        ]
        ram = BLOCK + sum(settings.memory for settings, _, _ in sides)
        self.machine = Machine(board, mmu, list_registers=list_registers, ram=ram)
        policy = scheduler or FairShare(parse_duration(slice))
        model = cost_model(cost) if isinstance(cost, str) else cost
        self.hypervisor = Hypervisor(self.machine, stages, policy, model, seed, clock=clock)
        for settings, image, devices in sides:
            self.hypervisor.add(settings, image, devices)
        self.session = Session(self.hypervisor)

    # ── people ──

    @property
    def personas(self) -> tuple[Persona, ...]:
        """Personal first, then work."""
        return tuple(self.hypervisor.personas)

    @property
    def personal(self) -> Persona:
        """The employee's own side."""
        return self.hypervisor.personas[0]

    @property
    def work(self) -> Persona:
        """The side that IT manages."""
        return self.hypervisor.personas[1]

    @property
    def foreground(self) -> Persona:
        """Whose screen is shown and who gets the keys."""
        return self.session.front

    def switch(self) -> Persona:
        """Bring the other persona to the front."""
        self.session.switch()
        return self.foreground

    def type(self, text: str, persona: Persona | None = None, at: int | None = None) -> None:
        """Keys for the persona in front, or for the one named, now or at a virtual time in ns."""
        self.session.type(text.encode(), persona, at)

    def tap(self, x: int, y: int) -> str:
        """A finger on the panel for a moment, in its pixels: on the strip it switches. What came of it, in words."""
        return self.session.tap(x, y)

    # ── running ──

    @property
    def now(self) -> int:
        """Virtual time in ns."""
        return self.hypervisor.now

    @property
    def alive(self) -> bool:
        """Is any persona still running?"""
        return self.hypervisor.alive

    @property
    def trace(self) -> Trace:
        """Every exit, switch, interrupt and decision so far."""
        return self.hypervisor.trace

    def run(self, duration: int | str) -> Phone:
        """Let virtual time pass; less when both personas end. Returns the phone: a notebook shows its picture."""
        self.session.advance(self.now + parse_duration(duration))
        return self

    def summary(self) -> Summary:
        """What the run amounts to so far: text, HTML in a notebook, `.as_dict()` for programs."""
        return summarize(self.hypervisor, self.session.host)

    # ── looking ──

    def walk(self, va: int, persona: Persona | None = None, kind: str = "r", el: int = 1, cpu: int = 0) -> Walk:
        """How the MMU translates `va` now for a vCPU of a persona, by default the one in front: every step, and it shows.

        kind: "r", "w" or "x". el: 0 or 1. The registers are the core's when that vCPU is on it, else those kept of it.
        """
        vcpu, core = (persona or self.foreground).vcpus[cpu], self.machine.core
        vttbr = vcpu.persona.vttbr
        on_core = (core.read("VTTBR_EL2"), core.read("VMPIDR_EL2")) == (vttbr, vcpu.state.get("VMPIDR_EL2"))
        return self.machine.walk(va, kind, el, None if on_core else {**vcpu.state, "VTTBR_EL2": vttbr})

    def screen(self) -> np.ndarray:
        """uint8[height, width, 3]: what a person sees now."""
        return compose(self.machine.panel, self.foreground)

    def picture(self, scale: int = 2) -> Image.Image:
        """The screen as an image, every pixel `scale` times as large."""
        return picture(self.machine.panel, self.foreground, scale)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.picture().save(buffer, "PNG")
        return buffer.getvalue()

    def __repr__(self) -> str:
        sides = ", ".join(f"{persona.name} {persona.status}" for persona in self.personas)
        return f"<Phone at {self.now / 1e9:.3f} s: {sides}; {self.foreground.name} in front>"


def _side(given: Mapping[str, Any]) -> tuple[PersonaSettings, KernelImage, Sequence[Device]]:
    """A persona's settings, what it boots, and its virtio devices."""
    kernel, initrd = given.get("guest") or guests.path("persona"), given.get("initrd")
    own = ("guest", "initrd", "devices")
    settings = _settings({name: value for name, value in given.items() if name not in own})
    image = load_image(kernel, RAM, settings.memory)
    if initrd:
        image = with_initrd(image, initrd, RAM, settings.memory - FRAMEBUFFER_ROOM)
    return settings, image, given.get("devices", ())


def _settings(given: Mapping[str, Any]) -> PersonaSettings:
    try:
        return PersonaSettings(**{**given, "colour": parse_colour(given["colour"])})
    except TypeError:
        known = ", ".join(PersonaSettings.__dataclass_fields__)
        raise OptionError(f"persona: settings {', '.join(sorted(given))}; known are {known}") from None
