"""A run again, from its trace: the same images and settings, and whatever came from outside at the moments it came.

Keys and switches are records of the trace like all others, so a trace is also the script of its run. The replay runs to the
virtual time at which the recording ended, and then its trace must be the recorded one: `divergence` says where it is not.
"""

from __future__ import annotations

from dataclasses import replace

from minivisor.errors import OptionError, fault
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.phone.session import Step
from minivisor.trace.diff import Divergence, divergence
from minivisor.trace.records import NOBODY, ForegroundRecord, InputEvent, InputRecord
from minivisor.trace.store import Trace

__all__ = ["Replay", "mark_end"]

END = "end"  # in the trace's metadata: virtual ns at which the run was over


def mark_end(trace: Trace, now: int) -> None:
    """Note in a trace when its run was over, for a replay."""
    trace.metadata = replace(trace.metadata, extra={**trace.metadata.extra, END: str(now)})


class Replay:
    """What a recorded trace asks for. Raises OptionError for one that cannot be replayed."""

    def __init__(self, recorded: Trace) -> None:
        self.recorded = recorded
        extra = recorded.metadata.extra
        if recorded.lost or "cut" in extra or not extra.get(END, "").isdecimal():
            raise OptionError(
                fault("--replay", "a trace that is not whole", "one that --trace saved and that lost nothing")
            )
        if extra.get("clock") != "virtual":
            raise OptionError(fault("--replay", f"a run on the {extra.get('clock')} clock", "one on the virtual clock"))
        self.end = int(extra[END])
        self.steps = [step for record in recorded if (step := self._step(record)) is not None]

    def _step(self, record: object) -> Step | None:
        if isinstance(record, ForegroundRecord):
            return Step(record.time) if record.previous != NOBODY else None
        if not isinstance(record, InputRecord):
            return None
        if record.event is not InputEvent.KEY:
            raise OptionError(fault("--replay", f"an input of kind {record.event.name}", "keys and switches only"))
        return Step(record.time, bytes([record.code & 0xFF]), self._side(record.vcpu))

    def _side(self, vcpu: int) -> int:
        """The persona of a vCPU, by index: personas have their vCPUs side by side, and names of their own."""
        names = list(dict.fromkeys(self.recorded.metadata.personas))
        return names.index(self.recorded.metadata.name(vcpu))

    def check(self, hypervisor: Hypervisor) -> None:
        """Refuse a hypervisor that is set up otherwise than the recorded one was."""
        for name in ("board", "cost_model", "seed", "personas"):
            was, is_ = (getattr(trace.metadata, name) for trace in (self.recorded, hypervisor.trace))
            if was != is_:
                raise OptionError(fault("--replay", f"{name.replace('_', ' ')} {is_}", f"{was}, as in the recording"))

    def compare(self, hypervisor: Hypervisor) -> Divergence | None:
        """None when the run that has just ended is the recorded one."""
        return divergence(self.recorded, hypervisor.trace)
