"""A run again, from its trace: the same images and settings, and whatever came from outside at the moments it came.

Inputs are records of the trace like all others, so a trace is also the script of its run: keys, touch, frames, switches. The
replay runs to the virtual time at which the recording ended, and then its trace must be the recorded one: `divergence` says
where it is not. Inputs that the ring has lost are in the trace's log, so a long run can be repeated too.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from minivisor.errors import OptionError, TraceError, fault
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import Persona
from minivisor.phone.session import Step
from minivisor.phone.setup import difference
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
        if recorded.log_lost or "cut" in extra or not extra.get(END, "").isdecimal():
            expected = "one that --trace saved and that lost no input"
            raise OptionError(fault("--replay", "a trace that is not whole", expected))
        if extra.get("clock") != "virtual":
            raise OptionError(fault("--replay", f"a run on the {extra.get('clock')} clock", "one on the virtual clock"))
        self.end = int(extra[END])
        try:
            self.steps = [step for record, data in recorded.inputs() if (step := self._step(record, data)) is not None]
        except ValueError as problem:
            raise OptionError(fault("--replay", str(problem), "a trace that --trace saved")) from None

    @classmethod
    def load(cls, path: Path) -> Replay:
        """The recording in a file."""
        return cls(Trace.load(path))

    def _step(self, record: InputRecord | ForegroundRecord, data: bytes) -> Step | None:
        side = self._side(record.vcpu)
        if isinstance(record, ForegroundRecord):
            return None if record.previous == NOBODY else Step(record.time, act=partial(_to_front, side))
        if record.event is InputEvent.FRAME and not record.pieces:
            return None  # the guest that sent it sends it again
        return Step(record.time, act=partial(_arrive, side, record, data))

    def _side(self, vcpu: int) -> int:
        """The persona of a vCPU, by index: personas have their vCPUs side by side, and names of their own."""
        names = list(dict.fromkeys(self.recorded.metadata.personas))
        name = self.recorded.metadata.name(vcpu)
        if name not in names:
            raise TraceError(fault("--replay", f"an input for vCPU {vcpu}", f"one of {len(names)} personas"))
        return names.index(name)

    def check(self, hypervisor: Hypervisor) -> None:
        """Refuse, with OptionError, a hypervisor that is set up otherwise than the recorded one was."""
        found = difference(self.recorded, hypervisor.trace)
        if found is not None:
            what, now, was = found
            raise OptionError(fault("--replay", f"{what} {now}", f"{was}, as in the recording"))

    def compare(self, hypervisor: Hypervisor) -> Divergence | None:
        """None when the run that has just ended is the recorded one."""
        return divergence(self.recorded, hypervisor.trace)


def _persona(hypervisor: Hypervisor, side: int) -> Persona:
    if side >= len(hypervisor.personas):
        raise OptionError(fault("--replay", f"an input for persona {side}", f"one of {len(hypervisor.personas)}"))
    return hypervisor.personas[side]


def _to_front(side: int, hypervisor: Hypervisor) -> None:
    hypervisor.bring_to_front(_persona(hypervisor, side))


def _arrive(side: int, record: InputRecord, data: bytes, hypervisor: Hypervisor) -> None:
    """What came then comes now."""
    persona = _persona(hypervisor, side)
    if not record.slot:
        hypervisor.key(persona, record.code & 0xFF)
        return
    transports = persona.virtio.transports
    if record.slot > len(transports):
        raise OptionError(fault("--replay", f"an input for virtio slot {record.slot - 1}", f"one of {len(transports)}"))
    hypervisor.post(persona, transports[record.slot - 1].device.arrival(record.code, record.position, data))
