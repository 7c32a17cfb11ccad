"""Who lives beside the fuzzer: the `persona` guest, booted, typed at and switched off, again and again.

A life is the same whatever the clock says, apart from the clock itself: what it asks EL2 for, and what it leaves behind. So
each life beside a fuzzer must be, to the byte, the one that the persona had alone:

    its synchronous exits    PC, syndrome, addresses, value and outcome of each, in order; not WFI, which ticks decide
    its console              boot lines, and each key once
    its screen               but for the clock and the tick counter
    its image                every piece that it does not write to

A key is typed when the one before has been dealt with: while it sleeps, or, after an 'S', while it computes at EL0. A life
takes it a few milliseconds. One that does not end in a hundred has lost an interrupt, or is kept from the core.
"""

from __future__ import annotations

import hashlib

import numpy as np

from minivisor import guests
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import RAM, PersonaSettings
from minivisor.platform.image import load_image
from minivisor.trace.records import ExitCause, Kind

__all__ = ["MEMORY", "Neighbour", "Violation"]

MEMORY = 4 << 20
KEYS = b"aFSbSO"  # 'F': floating-point state in its registers from then on; 'S', 'S': it computes; 'O': off
SAME = ["pc", "esr", "far", "ipa", "value", "outcome"]
WFX = 0x01
LONGEST = 100_000_000  # ns of virtual time in one life
CLOCK = (slice(46, 74), slice(84, 92))  # rows of the screen that show time


class Violation(AssertionError):
    """An invariant that a guest broke."""


class Neighbour:
    """One persona on the fuzzer's machine. lives: how many it has finished, the first of them alone."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        image = load_image(guests.path("persona"), RAM, MEMORY)
        self.hypervisor, self.lives = hypervisor, 0
        self.persona = hypervisor.add(PersonaSettings("home", memory=MEMORY), image)
        self.alone: dict[str, bytes] = {}
        self._begin()

    def live_alone(self, step: int) -> None:
        """The life that all later ones are compared with; nobody else may be running."""
        while not self.alone:
            self.hypervisor.run(self.hypervisor.now + step)
            self.look()

    def look(self) -> None:
        """To be called often: note what it did, type the next key, and after its last judge it and start anew."""
        self._note()
        if self.persona.status != "running":
            self._end()
        elif self.hypervisor.now > self._born + LONGEST:
            raise Violation(f"the neighbour has had {self._typed} of its keys, and waits: lost, or starved")
        elif self._wants_a_key():
            self.hypervisor.key(self.persona, KEYS[self._typed])
            self._typed += 1

    def _begin(self) -> None:
        self.hypervisor.start(self.persona)
        self.persona.console.clear()
        self._born = self.hypervisor.now
        self._typed, self._exits, self._seen = 0, hashlib.blake2b(), self.hypervisor.trace.total

    def _note(self) -> None:
        """Its exits since the last look, without times."""
        rows = self.hypervisor.trace.rows(self._seen)
        if len(rows) != self.hypervisor.trace.total - self._seen:
            raise Violation("the trace forgot exits of the neighbour's; its ring is too small")
        self._seen = self.hypervisor.trace.total
        mine = (rows["kind"] == Kind.EXIT) & (rows["vcpu"] == self.persona.vcpus[0].index)
        mine &= (rows["detail"] == ExitCause.SYNC) & (rows["esr"] >> 26 != WFX)
        fields = [rows[mine][name].astype(np.uint64) for name in SAME]
        self._exits.update(np.stack(fields, axis=1).tobytes())

    def _wants_a_key(self) -> bool:
        """Is the last key on the console, and whatever it led to done?"""
        vcpu = self.persona.vcpus[0]
        if self._typed == len(KEYS) or self.persona.console.count(b"key '") < self._typed:
            return False
        if vcpu.status == "waiting":
            return True
        if self.hypervisor._loaded is vcpu:
            self.hypervisor.put_away()
        return KEYS[:self._typed].count(b"S") == 1 and vcpu.state["PSTATE"] & 0xF == 0

    def _end(self) -> None:
        life = self._testimony()
        self.alone = self.alone or life
        different = [name for name, value in life.items() if value != self.alone[name]]
        if different:
            raise Violation(f"the neighbour's life was not what it is alone: {', '.join(different)}")
        self.lives += 1
        self._begin()

    def _testimony(self) -> dict[str, bytes]:
        screen = self.persona.pixels().copy()
        for rows in CLOCK:
            screen[rows] = 0
        unchanged = [
            bytes(found) == content
            for address, content, _size in self.persona.image.pieces
            for found in [self.persona.span(address, len(content))]
        ]
        return {
            "exits": self._exits.digest(),
            "console": bytes(self.persona.console) + self.persona.report.encode(),
            "screen": screen.tobytes(),
            "image": bytes(unchanged),
        }
