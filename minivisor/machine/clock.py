"""Where time comes from: what the guests did, or the host's clock.

Virtual time counts retired instructions, so a run is a function of its inputs. The host's clock is for people who watch or
measure a guest against the wall: time is what went by for the host, guests are faster because nobody counts what they do, and
such a run is not reproducible, as its trace says. `watch.py` is how a guest is stopped then. Where that cannot be had,
instructions are counted all the same and time jumps forward to the host's whenever EL2 looks; it never goes back.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from minivisor.errors import OptionError
from minivisor.machine.core import Core
from minivisor.machine.state import WORD
from minivisor.machine.watch import Watch, follow_host_clock, host_time

__all__ = ["CLOCKS", "HostClock", "VirtualClock", "clock_named"]

LOOK = 1_000_000  # ns of virtual time between two looks at the host's clock, where instructions are counted
LONGEST_SLEEP = 0.05  # s, so that keys and a request to stop are seen
SPIN = 20_000  # ns: how long a guest may spin for a vCPU that does not have the core
ALONE = 20_000_000  # ns by the host's clock of a slice that nobody else waits for


class VirtualClock:
    """Time is what the guests did. Idle time passes at once."""

    name = "virtual"
    deterministic = True

    def __init__(self, core: Core) -> None:
        self._core = core
        self.described = {"clock": self.name}

    def ticking(self) -> AbstractContextManager[None]:
        """Around a run."""
        return nullcontext()

    def horizon(self, until: int) -> int:
        """How far the core may run before EL2 looks at the clock, in ns."""
        return until

    def slice(self, asked: int, _alone: bool, may_spin: bool) -> int:
        """How much of a slice a vCPU gets, in ns. may_spin: for one that does not have the core; then turns are short.

        alone: nobody else is ready.
        """
        return min(asked, SPIN) if may_spin else asked

    def catch_up(self) -> None:
        """Bring virtual time up to date."""

    def idle(self, until: int) -> None:
        """Nobody wants the core before `until` ns."""
        self._core.skip(until - self._core.now)


class HostClock:
    """Virtual time keeps up with the host's.

    monotonic, sleep: the host's clock in ns and its way to wait, in s. With a clock that is given instructions are counted,
    since compiled code cannot read it; also where `follow_host_clock` says so.
    """

    name = "host"
    deterministic = False

    def __init__(
        self, core: Core, monotonic: Callable[[], int] | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._core, self._sleep = core, sleep
        self._watch = Watch(core) if monotonic is None and follow_host_clock(core) else None
        self._monotonic = host_time if self._watch else monotonic or time.monotonic_ns
        self._origin = core.words[WORD["host_origin"]] if self._watch else self._monotonic() - core.now
        self.described = {"clock": self.name, "instructions": "counted" if core.counts else "not counted"}

    def ticking(self) -> AbstractContextManager[None]:
        """Around a run: somebody looks at the clock meanwhile."""
        return self._watch or nullcontext()

    def horizon(self, until: int) -> int:
        """How far the core may run before EL2 looks at the clock, in ns."""
        return until if self._watch else min(until, self._core.now + LOOK)

    def slice(self, asked: int, alone: bool, _may_spin: bool) -> int:
        """How much of a slice a vCPU gets, in ns. To end one takes the host several times SPIN, so no turn is shorter than
        asked; who is alone goes on until somebody else is ready, which ends any slice."""
        return max(asked, ALONE) if alone else asked

    def catch_up(self) -> None:
        """Bring virtual time up to the host's; a guest that ran ahead just waits."""
        behind = self._monotonic() - self._origin - self._core.now
        if behind > 0:
            self._core.skip(behind)

    def idle(self, until: int) -> None:
        """Nobody wants the core before `until` ns: the host sleeps, at most LONGEST_SLEEP at a time."""
        self._sleep(min(max(until - self._core.now, 0) / 1e9, LONGEST_SLEEP))
        self.catch_up()


CLOCKS: dict[str, type[VirtualClock] | type[HostClock]] = {clock.name: clock for clock in (VirtualClock, HostClock)}


def clock_named(name: str, core: Core) -> VirtualClock | HostClock:
    """A clock for this core by its name. Raises OptionError for one that is not there."""
    if name not in CLOCKS:
        raise OptionError(f"clock: {name!r} is unknown; there is {', '.join(CLOCKS)} (minivisor/machine/clock.py)")
    return CLOCKS[name](core)
