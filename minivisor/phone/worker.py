"""The thread that runs the phone while somebody watches.

The view puts commands into a queue and reads the newest snapshot; it waits for nothing. The compiled run loop releases
the interpreter's lock, so the terminal stays alive while the guests compute. A failure ends the thread and is kept, for
whoever has a clean terminal to show it on.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from minivisor.phone.meter import Meter, Snapshot
from minivisor.phone.pace import Pacer
from minivisor.phone.session import Session

__all__ = ["Worker"]

LOOK = 0.05  # host seconds between two snapshots
PATIENCE = 2.0  # seconds to wait for the last step; a part of the user's may never come back


class Worker(threading.Thread):
    """Runs a session at the host's pace up to `limit` (virtual ns).

    snapshot: the newest. problem: what ended the thread, or None. over: nothing will move any more.
    """

    def __init__(self, session: Session, limit: int | None = None) -> None:
        super().__init__(name="phone", daemon=True)
        self._session, self._pacer = session, Pacer(session, limit)
        self._meter = Meter(session.hypervisor)
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake, self._stopping = threading.Event(), False
        self._looked = 0.0
        self.snapshot: Snapshot = self._meter.look()
        self.problem: BaseException | None = None
        self.over = False

    def run(self) -> None:
        """The thread's body."""
        try:
            while not self._stopping:
                self._wake.clear()
                changed = self._obey()
                idle = self._pacer.step()
                self.over = self._pacer.finished
                self._look(changed or self.over)
                self._wake.wait(None if self.over else idle)
        except BaseException as problem:
            self.problem = problem

    def type(self, keys: bytes) -> None:
        """Keys for the persona in front."""
        self._do(lambda: self._session.type(keys))

    def switch(self) -> None:
        """The other persona to the front."""
        self._do(self._session.switch)

    def stop(self) -> None:
        """End the thread after its current step."""
        self._stopping = True
        self._wake.set()
        if self.is_alive():
            self.join(PATIENCE)

    def _do(self, command: Callable[[], None]) -> None:
        self._commands.put(command)
        self._wake.set()

    def _obey(self) -> bool:
        """Carry out what was asked for. Was there anything?"""
        some = False
        while not self._commands.empty():
            self._commands.get()()
            some = True
        return some

    def _look(self, now: bool) -> None:
        if now or time.perf_counter() - self._looked >= LOOK:
            self.snapshot, self._looked = self._meter.look(), time.perf_counter()
