"""What EL2 does about an exit: decode it once, ask the handler, carry out its outcome.

    ESR_EL2, FAR_EL2, HPFAR_EL2 ─► decode ─► Exit ─► handlers[EC](exit, vcpu) ─► Outcome ─► one of the methods below

A handler only says what should happen; everything that happens to a vCPU or a persona is done here, in one place.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING

from minivisor.errors import MinivisorError, StageError
from minivisor.hypervisor.vcpu import HCR_VSE, VirtualCpu
from minivisor.machine.gic import HYP_TIMER, MAINTENANCE
from minivisor.stages import Abort, DataAbort, Exit, Hvc, Outcome, Smc, Vcpu
from minivisor.trace.records import ExitCause, StopReason, TimerEvent
from minivisor.trace.records import Outcome as TraceOutcome

if TYPE_CHECKING:
    from minivisor.hypervisor.hypervisor import Hypervisor

__all__ = ["Dispatch"]

NO_PROGRESS_LIMIT = 1000  # exits in a row without an instruction retired
EXTERNAL_ABORT, WNR = 0x10, 1 << 6  # ISS of a data abort: DFSC "synchronous external abort", WnR


class Dispatch:
    """The exits of one hypervisor."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self.hypervisor = hypervisor
        self.core, self.trace, self.cost = hypervisor.core, hypervisor.trace, hypervisor.cost
        self._stuck_at, self._stuck = -1, 0

    def interrupt(self, vcpu: VirtualCpu) -> None:
        """A physical interrupt: EL2's timer ends the slice, maintenance refills list registers, the rest is the guest's."""
        intid = self.hypervisor.machine.gic.acknowledge()
        self.hypervisor.interrupts.attention = True
        if intid == HYP_TIMER:
            self.core.write("CNTHP_CTL_EL2", 0)
            self.hypervisor.preempt = True
        if intid in (HYP_TIMER, MAINTENANCE):  # the guest's own timers stay active until its EOI
            self.hypervisor.machine.gic.deactivate(intid)
        else:  # one of the guest's own timers
            self.trace.timer(self.core.now, vcpu.index, TimerEvent.FIRED, intid)
        self.core.skip(self.cost.exit)
        self.trace.exit(self.core.now, vcpu.index, self.core.retired, self.core.read("PC"), 0, value=intid, cause=ExitCause.IRQ)

    def synchronous(self, vcpu: VirtualCpu) -> None:
        """A synchronous exception: decode once, handle, apply."""
        core, time, began = self.core, self.core.now, perf_counter_ns()
        pc = core.read("PC")
        exit_, view, outcome = self._handle(vcpu, pc)
        code, action = _OUTCOMES[outcome.kind]
        core.skip(self.cost.of_exit(exit_.ec))
        for name, value in outcome.writes.items():
            core.write(name, value)
        if "PC" in outcome.writes:
            core.retire_one()  # EL2 carried the instruction out
        retired, abort = core.retired, isinstance(exit_, Abort)
        far, ipa = (exit_.far, exit_.ipa) if isinstance(exit_, Abort) else (0, 0)
        value, host = _value(exit_, view, outcome), perf_counter_ns() - began
        self.trace.exit(time, vcpu.index, retired, pc, exit_.esr, far, ipa, code, value, host)
        if not abort and isinstance(exit_, (Hvc, Smc)):
            self._note_call(vcpu, view, outcome)
        self._watch_progress(vcpu, core.progress)
        if action is not None:
            action(self, vcpu, exit_, outcome)
        if abort:
            vcpu.persona.update_lines()
            self.hypervisor.events_changed |= vcpu.persona.bus.rescheduled()

    def _handle(self, vcpu: VirtualCpu, pc: int) -> tuple[Exit, Vcpu, Outcome]:
        """Ask the replaceable parts. Whatever they raise is theirs, and is said to be."""
        core, persona = self.core, vcpu.persona
        try:
            exit_ = persona.decode(*core.syndrome)
            view = vcpu.view_inside(core.general(), pc)
            outcome = persona.stages.handlers[exit_.ec](exit_, view)
            if outcome.kind not in _OUTCOMES:
                raise StageError(f"stages: outcome {outcome.kind!r}; one of {', '.join(_OUTCOMES)} was expected")
        except MinivisorError:
            raise
        except Exception as problem:
            what = f"{type(problem).__name__}: {problem}"
            raise StageError(f"stages: exit {core.syndrome[0]:#x} at PC {pc:#x} made a part raise {what}") from problem
        return exit_, view, outcome

    def _note_call(self, vcpu: VirtualCpu, view: Vcpu, outcome: Outcome) -> None:
        """An SMCCC call: which function, with what, and what it returns in X0; 0 if it never does."""
        x, result = view.x, outcome.writes.get("X0", 0)
        self.trace.psci(self.core.now, vcpu.index, x[0] & 0xFFFF_FFFF, x[1], x[2], x[3], result)

    def _watch_progress(self, vcpu: VirtualCpu, progress: int) -> None:
        """A guest, or a part, that makes exits without end and without an instruction retired must not hang the phone."""
        if progress != self._stuck_at:
            self._stuck_at, self._stuck = progress, 0
            return
        self._stuck += 1
        if self._stuck > NO_PROGRESS_LIMIT:
            self.hypervisor.stop(vcpu, StopReason.LIMIT, f"{NO_PROGRESS_LIMIT} exits in a row without one instruction retired")

    def _wait(self, vcpu: VirtualCpu, _exit: Exit, _outcome: Outcome) -> None:
        self.hypervisor.interrupts.look(vcpu)
        if not vcpu.persona.vgic.signals(vcpu.number) and not self.core.read("HCR_EL2") & HCR_VSE:
            vcpu.status = "waiting"
            self.hypervisor.put_away()

    def _undefined(self, _vcpu: VirtualCpu, _exit: Exit, _outcome: Outcome) -> None:
        self.core.inject(0, 0)

    def _abort(self, vcpu: VirtualCpu, exit_: Exit, _outcome: Outcome) -> None:
        if not isinstance(exit_, Abort):
            raise StageError(f"stages: outcome 'abort' for exit {exit_.esr:#x}, which has no address; an abort was expected")
        write = WNR if isinstance(exit_, DataAbort) and exit_.write else 0
        kind = "x" if not isinstance(exit_, DataAbort) else "w" if write else "r"
        self.hypervisor.machine.record_walk(self.trace, self.core.now, vcpu.index, exit_.far, kind)
        self.core.inject(exit_.ec, EXTERNAL_ABORT | write, exit_.far)

    def _serror(self, vcpu: VirtualCpu, _exit: Exit, _outcome: Outcome) -> None:
        self.hypervisor.pend_serror(vcpu)

    def _on(self, vcpu: VirtualCpu, _exit: Exit, outcome: Outcome) -> None:
        number, entry, context = outcome.argument
        if not 0 <= number < len(vcpu.persona.vcpus):
            raise StageError(f"stages: outcome 'on' for vCPU {number}; 0 to {len(vcpu.persona.vcpus) - 1} was expected")
        target = vcpu.persona.vcpus[number]
        target.reset(entry, context, self.core.now)
        self.hypervisor.preempt = True
        self.trace.start(self.core.now, target.index, entry, context)

    def _off(self, vcpu: VirtualCpu, _exit: Exit, _outcome: Outcome) -> None:
        self.hypervisor.put_away()
        vcpu.status = "off"
        self.trace.stop(self.core.now, vcpu.index, StopReason.OFF, "CPU_OFF", self.core.retired)
        if all(each.status == "off" for each in vcpu.persona.vcpus):
            vcpu.persona.power_off()

    def _shutdown(self, vcpu: VirtualCpu, _exit: Exit, outcome: Outcome) -> None:
        self.hypervisor.put_away()
        vcpu.persona.power_off()
        self.hypervisor.log(f"{vcpu.persona.name}: {outcome.reason or 'power off'}")
        self.trace.stop(self.core.now, vcpu.index, StopReason.SHUTDOWN, outcome.reason or "SYSTEM_OFF", self.core.retired)

    def _reset(self, vcpu: VirtualCpu, _exit: Exit, _outcome: Outcome) -> None:
        self.hypervisor.put_away()
        self.trace.stop(self.core.now, vcpu.index, StopReason.RESET, "SYSTEM_RESET", self.core.retired)
        self.hypervisor.start(vcpu.persona)

    def _stop_for(self, vcpu: VirtualCpu, _exit: Exit, outcome: Outcome) -> None:
        self.hypervisor.stop(vcpu, StopReason.HANDLER, outcome.reason or "a handler stopped it")


def _value(exit_: Exit, view: Vcpu, outcome: Outcome) -> int:
    """What a trace shows of an exit: the word written to a device, the word read, or the result of a call."""
    if isinstance(exit_, DataAbort) and exit_.valid:
        register = exit_.register
        return (*view.x, 0)[register] if exit_.write else outcome.writes.get(f"X{register}", 0)
    return outcome.writes.get("X0", 0)


Action = Callable[[Dispatch, VirtualCpu, Exit, Outcome], None]
_ACTIONS: dict[str, Action | None] = {
    "resume": None,
    "wait": Dispatch._wait,
    "undefined": Dispatch._undefined,
    "abort": Dispatch._abort,
    "serror": Dispatch._serror,
    "on": Dispatch._on,
    "off": Dispatch._off,
    "shutdown": Dispatch._shutdown,
    "reset": Dispatch._reset,
    "stop": Dispatch._stop_for,
}
_OUTCOMES = {kind: (int(TraceOutcome[kind.upper()]), action) for kind, action in _ACTIONS.items()}
