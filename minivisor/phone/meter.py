"""What the live view shows, measured from the trace between two looks.

`Meter.look` is called by the thread that runs the phone, at a moment when nothing moves, and answers with a `Snapshot`
that nobody changes any more. So the view, in another thread, needs no lock and never touches the machine.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import Persona
from minivisor.phone.screen import compose
from minivisor.phone.summary import status
from minivisor.trace.records import Kind, exit_class

__all__ = ["Meter", "PersonaView", "Snapshot"]

WINDOW = 1.0  # host seconds that rates are taken over
HISTORY = 0.5  # host seconds between two points of a share's history
POINTS = 64
LINES = 24  # of each console, at most
TAIL = 4096  # bytes of a console that are looked at


@dataclass(frozen=True, slots=True)
class PersonaView:
    """share: of the core, 0 to 1, lately; history: the same over time, oldest first. console: its last lines."""

    name: str
    colour: int
    status: str
    foreground: bool
    share: float
    history: tuple[float, ...]
    console: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """picture: uint8[height, width, 3]. now: virtual ns. speed: virtual seconds in a host second.

    Rates are in a virtual second. exits: (class, one rate a persona), most frequent first.
    """

    picture: np.ndarray
    now: int
    speed: float
    switches: float
    exits: tuple[tuple[str, tuple[float, ...]], ...]
    personas: tuple[PersonaView, ...]

    @property
    def front(self) -> PersonaView:
        """Whose screen this is."""
        return next(persona for persona in self.personas if persona.foreground)


@dataclass(frozen=True, slots=True)
class _Sample:
    """Totals at one moment."""

    host: float
    now: int
    consumed: tuple[int, ...]
    switches: int
    exits: Counter[tuple[str, int]]


class Meter:
    """Counts what a hypervisor's trace gains, and turns it into rates."""

    def __init__(self, hypervisor: Hypervisor, clock: Callable[[], float] = time.perf_counter) -> None:
        self._hypervisor, self._clock = hypervisor, clock
        self._seen = hypervisor.trace.total
        self._exits: Counter[tuple[str, int]] = Counter()
        self._switches = 0
        self._samples: deque[_Sample] = deque([self._sample()])
        self._history: list[deque[float]] = [deque(maxlen=POINTS) for _ in hypervisor.personas]
        self._remembered = self._samples[0]

    def look(self) -> Snapshot:
        """Everything the view needs, now."""
        self._count()
        sample = self._sample()
        while len(self._samples) > 1 and sample.host - self._samples[0].host > WINDOW:
            self._samples.popleft()
        self._samples.append(sample)
        self._remember(sample)
        return self._snapshot(self._samples[0], sample)

    def _count(self) -> None:
        """Add the trace's new records to the totals."""
        trace = self._hypervisor.trace
        rows, self._seen = trace.rows(self._seen), trace.total
        owner = self._owners()
        for cause, esr, vcpu in rows[rows["kind"] == Kind.EXIT][["detail", "esr", "vcpu"]].tolist():
            self._exits[exit_class(cause, esr), owner[vcpu]] += 1
        self._switches += int(np.count_nonzero(rows["kind"] == Kind.SWITCH))

    def _owners(self) -> list[int]:
        """The number of the persona of each vCPU."""
        return [number for number, persona in enumerate(self._hypervisor.personas) for _ in persona.vcpus]

    def _sample(self) -> _Sample:
        consumed = tuple(sum(vcpu.consumed for vcpu in persona.vcpus) for persona in self._hypervisor.personas)
        return _Sample(self._clock(), self._hypervisor.now, consumed, self._switches, self._exits.copy())

    def _remember(self, sample: _Sample) -> None:
        if sample.host - self._remembered.host >= HISTORY:
            for points, share in zip(self._history, _shares(self._remembered, sample), strict=True):
                points.append(share)
            self._remembered = sample

    def _snapshot(self, old: _Sample, new: _Sample) -> Snapshot:
        hypervisor = self._hypervisor
        assert hypervisor.foreground is not None
        seconds = max(new.now - old.now, 1) / 1e9
        return Snapshot(
            picture=compose(hypervisor.machine.panel, hypervisor.foreground).copy(),
            now=new.now,
            speed=(new.now - old.now) / 1e9 / max(new.host - old.host, 1e-9),
            switches=(new.switches - old.switches) / seconds,
            exits=_rates(old.exits, new.exits, len(hypervisor.personas), seconds),
            personas=tuple(map(self._view, hypervisor.personas, _shares(old, new), self._history)),
        )

    def _view(self, persona: Persona, share: float, history: deque[float]) -> PersonaView:
        foreground = persona is self._hypervisor.foreground
        colour, lines = persona.settings.colour, _last_lines(persona.console)
        if persona.report:
            lines = (*lines, persona.report.partition("\n")[0])  # the rest of it comes with the summary
        return PersonaView(persona.name, colour, status(persona), foreground, share, tuple(history), lines)


def _shares(old: _Sample, new: _Sample) -> tuple[float, ...]:
    elapsed = max(new.now - old.now, 1)
    return tuple(min((after - before) / elapsed, 1.0) for before, after in zip(old.consumed, new.consumed, strict=True))


def _rates(
    old: Counter[tuple[str, int]], new: Counter[tuple[str, int]], personas: int, seconds: float
) -> tuple[tuple[str, tuple[float, ...]], ...]:
    """Classes keep their line once they were seen, the most frequent of the whole run first, so that nothing jumps."""
    totals: Counter[str] = Counter()
    for (name, _owner), count in new.items():
        totals[name] += count
    return tuple(
        (name, tuple((new[name, owner] - old[name, owner]) / seconds for owner in range(personas)))
        for name, _total in totals.most_common()
    )


def _last_lines(console: bytearray) -> tuple[str, ...]:
    """The end of a console as printable lines; what a guest prints must not drive the terminal."""
    text = bytes(console[-TAIL:]).decode("utf-8", "replace").replace("\r", "")
    lines = [line for line in text.split("\n") if line][-LINES:]
    return tuple("".join(char if char.isprintable() else "·" for char in line) for line in lines)
