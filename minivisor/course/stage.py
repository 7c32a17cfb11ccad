"""A student's file, or an engineer's, as parts of the hypervisor, beside the reference parts, and watched.

    def on_hvc(exit, vcpu):                       parts = load_stage("starter.py")
        …                                         Phone(stages=parts)
        return Outcome(writes={"X0": answer})     parts.calls            what it was asked, what was answered

It is the same loader, and so the same contract, as `minivisor run --handlers FILE` (`minivisor.phone.parts`): a mistake
in the file is a StageError of one line with its own line number, never a traceback of ours. What is added here is the
record of calls, from which a check can say where in the guest an answer went wrong.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from minivisor.errors import MinivisorError
from minivisor.hypervisor.reference import Guest
from minivisor.phone.parts import HANDLERS, blame, load_handlers, stages_with
from minivisor.stages import Exit, Handler, Outcome, Stages, Vcpu

__all__ = ["Call", "Parts", "load_stage"]

KEPT = 10_000  # calls remembered: a guest may ask for ever
CLASSES = {name: classes[0] for name, classes in HANDLERS.items()}


@dataclass(frozen=True)
class Call:
    """One exit of a class that the file handles. outcome: what was answered, by the reference where the file passed."""

    exit: Exit
    vcpu: Vcpu
    outcome: Outcome


class Parts:
    """The handlers in one file. Called with a persona it gives that persona's `Stages`: it goes where `reference` goes.

    handlers: by exception class. calls: the newest exits of those classes, oldest first.
    """

    def __init__(self, path: Path, handlers: Mapping[int, Handler]) -> None:
        self.path, self.handlers = path, dict(handlers)
        self.calls: deque[Call] = deque(maxlen=KEPT)
        self._assemble = stages_with(self.handlers)

    def __call__(self, guest: Guest) -> Stages:
        stages = self._assemble(guest)
        watched = {ec: self._watched(stages.handlers[ec]) for ec in self.handlers}
        return replace(stages, handlers={**stages.handlers, **watched})

    def where(self, name: str) -> str:
        """File and line of one of its functions, such as "on_hvc", as `starter.py:12`."""
        code = getattr(inspect.unwrap(self.handlers[CLASSES[name]]), "__code__", None)
        return f"{self.path.name}:{code.co_firstlineno}" if code else self.path.name

    def _watched(self, handler: Handler) -> Handler:
        """Remember each call; name the file's line when it raises."""

        def handle(exit: Exit, vcpu: Vcpu) -> Outcome:
            try:
                outcome = handler(exit, vcpu)
            except MinivisorError:
                raise
            except Exception as problem:
                raise blame(problem, self.path) or problem from problem
            self.calls.append(Call(exit, vcpu, outcome))
            return outcome

        return handle


def load_stage(file: str | Path) -> Parts:
    """The handlers in a Python file: on_hvc, on_wfi, … of (exit, vcpu). StageError, one line, when it has none."""
    return Parts(Path(file), load_handlers(str(file), "load_stage"))
