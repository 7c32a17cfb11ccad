"""Where time comes from: what the guests did, or the host's clock as well.

Virtual time counts retired instructions, so a run is a function of its inputs. With the host's clock it also keeps up with
real time: whenever EL2 looks, time jumps forward to the host's, never back. That is for people who watch or measure a guest
against the wall; such a run is not reproducible, and its trace says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from minivisor.errors import OptionError
from minivisor.machine.core import Core

__all__ = ["CLOCKS", "HostClock", "VirtualClock", "clock_named"]

LOOK = 1_000_000  # ns of virtual time between two looks at the host's clock
LONGEST_SLEEP = 0.05  # s, so that keys and a request to stop are seen


class VirtualClock:
    """Time is what the guests did. Idle time passes at once."""

    name = "virtual"
    deterministic = True

    def __init__(self, core: Core) -> None:
        self._core = core

    def horizon(self, until: int) -> int:
        """How far the core may run before EL2 looks at the clock, in ns."""
        return until

    def catch_up(self) -> None:
        """Bring virtual time up to date."""

    def idle(self, until: int) -> None:
        """Nobody wants the core before `until` ns."""
        self._core.skip(until - self._core.now)


class HostClock:
    """Virtual time keeps up with the host's. monotonic, sleep: the host's clock in ns and its way to wait, in s.

    Instructions are counted all the same, because only the hook before a block can stop a guest safely: what another thread
    asks for takes effect behind any load, which is then repeated, though it may have overwritten its own address
    (tests/machine/test_engine.py).
    """

    name = "host"
    deterministic = False

    def __init__(
        self, core: Core, monotonic: Callable[[], int] = time.monotonic_ns, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._core, self._monotonic, self._sleep = core, monotonic, sleep
        self._origin = monotonic() - core.now

    def horizon(self, until: int) -> int:
        """How far the core may run before EL2 looks at the clock, in ns."""
        return min(until, self._core.now + LOOK)

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
