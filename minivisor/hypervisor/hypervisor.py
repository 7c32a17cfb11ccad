"""EL2: who runs, and until when. What is done about each exit is in `dispatch`.

    choose ─► world switch ─► ┌ enter (flush) ─► the guest runs ─► leave (fold) ─► exit ─► handler ─► outcome ┐ ─► choose
                              └──────────────── until its slice ends, it waits, or it is over ◄───────────────┘

Everything is driven by virtual time and by an input log stamped in it, so the same images, inputs and seed always give the
same run. What a guest does wrong is data: an outcome, an injected exception, a persona stopped with a report.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from minivisor.arch.esr import EC
from minivisor.drivers.serial_port import PORTS
from minivisor.errors import StageError
from minivisor.hypervisor.cost import CostModel
from minivisor.hypervisor.dispatch import Dispatch
from minivisor.hypervisor.interrupts import Interrupts
from minivisor.hypervisor.ownership import DEVICE, HYPERVISOR, Ownership
from minivisor.hypervisor.persona import UART, Persona, PersonaSettings
from minivisor.hypervisor.placement import BLOCK, place
from minivisor.hypervisor.reference import reference
from minivisor.hypervisor.report import report
from minivisor.hypervisor.stage2 import VTCR
from minivisor.hypervisor.vcpu import HCR_VSE, VirtualCpu
from minivisor.machine.board import Machine
from minivisor.machine.clock import clock_named
from minivisor.machine.core import AARCH32, FIXED_POINT, HORIZON, IRQ, SYNC
from minivisor.machine.gic import HYP_TIMER
from minivisor.machine.letters import Letters
from minivisor.machine.state import WORD
from minivisor.machine.timer import TICK_NS
from minivisor.platform.image import Image
from minivisor.platform.virtio.device import Arrival, Device
from minivisor.stages import Scheduler, Stages
from minivisor.trace.records import NOBODY, InputEvent, IrqEvent, PolicyEvent, StopReason, SwitchReason
from minivisor.trace.store import Metadata, Trace

__all__ = ["HCR_GUEST", "Hypervisor"]

# DDI 0487, HCR_EL2: VM 0, SWIO 1, FMO 3, IMO 4, AMO 5, TWI 13, TID3 18, TSC 19, TACR 21, TSW 22, RW 31
HCR_GUEST = 1 << 31 | 1 << 22 | 1 << 21 | 1 << 19 | 1 << 18 | 1 << 13 | 1 << 5 | 1 << 4 | 1 << 3 | 1 << 1 | 1
# MDCR_EL2.TPM, TPMCR: the cycle counter would tell host time. TDOSA: there is one OS lock, and it stays open for everybody
MDCR_GUEST = 1 << 10 | 1 << 6 | 1 << 5
PAGE = 4096
NEVER = 1 << 61


class Hypervisor:
    """The hypervisor of one machine.

    stages: a persona's parts, `reference` unless given. scheduler: policy, the reference parts' unless given.
    cost: what exits and switches charge. seed: for whatever a guest is told is random. clock: "virtual", or "host", which
    also keeps up with real time and is not reproducible.
    """

    def __init__(
        self,
        machine: Machine,
        stages: Callable[[Persona], Stages] = reference,
        scheduler: Scheduler | None = None,
        cost: CostModel | None = None,
        seed: int = 0,
        trace: Trace | None = None,
        clock: str = "virtual",
    ) -> None:
        self.machine, self.core, self.cost, self.seed = machine, machine.core, cost or CostModel(), seed
        self.personas: list[Persona] = []
        self.foreground: Persona | None = None
        self.clock = clock_named(clock, machine.core)
        metadata = Metadata(machine.board.name, self.cost.name, seed, machine.core.mmu, extra=self.clock.described)
        self.trace = Trace(metadata) if trace is None else trace  # one that is empty counts as false
        self.interrupts = Interrupts(machine, self.trace)
        self._serial = PORTS[machine.board.uart](machine)
        self._stages, self._scheduler = stages, scheduler
        self._loaded: VirtualCpu | None = None  # in the core
        self._running: VirtualCpu | None = None  # its slice is not over
        self._inside: VirtualCpu | None = None  # its list registers are filled
        self._since = self._event = 0
        self._inputs: list[tuple[int, int, Persona, Arrival]] = []
        self._sequence = 0
        self.preempt = self.events_changed = False
        self._dispatch, self._letters = Dispatch(self), Letters(self.core, self.trace)
        self._claim_hardware()

    def _claim_hardware(self) -> None:
        memory, board = self.machine.memory, self.machine.board
        window = board.gicv_base & -PAGE, 2 * PAGE
        self.ledger = Ownership([(memory.base, memory.size), window], scrub=self._scrub)
        self.ledger.claim(HYPERVISOR, memory.base, BLOCK)
        self.ledger.claim(DEVICE, *window)
        self.core.write("VTCR_EL2", VTCR)
        self.core.write("HCR_EL2", HCR_GUEST)
        self.core.write("MDCR_EL2", MDCR_GUEST)
        self.core.words[WORD["counter_cost"]] = self.cost.counter

    def _scrub(self, pa: int, size: int) -> None:
        self.machine.memory.span(pa, size)[:] = 0
        self.core.code_changed()

    def log(self, words: str) -> None:
        """A line on the board's own serial port, with the virtual time: EL2's voice, which no persona has."""
        for byte in f"[{self.now / 1e9:12.6f}] {words}\r\n".encode():
            self._serial.put(byte)

    # ── personas ──

    @property
    def now(self) -> int:
        """Virtual time in ns."""
        return self.core.now

    @property
    def vcpus(self) -> list[VirtualCpu]:
        """All vCPUs of all personas, by index."""
        return [vcpu for persona in self.personas for vcpu in persona.vcpus]

    def add(self, settings: PersonaSettings, image: Image, devices: Sequence[Device] = ()) -> Persona:
        """Make a persona: claim its RAM, build its stage 2, power it on. The first one is in front. devices: virtio."""
        used = {persona.vmid for persona in self.personas}
        placement = place(self.ledger, self.machine.memory, settings.memory, used, settings.name)
        first, stages = len(self.vcpus), self._stages
        persona = Persona(settings, image, self.machine, self.ledger, placement, stages, first, self.seed, self.trace, devices)
        persona.on_device_fault = lambda words: self.log(f"{persona.name}: {words}")
        for device in devices:
            device.post = partial(self.post, persona)
        self.personas.append(persona)
        self.trace.metadata = replace(self.trace.metadata, personas=tuple(vcpu.persona.name for vcpu in self.vcpus))
        if self._scheduler is None:
            self._scheduler = persona.stages.scheduler()
        self.start(persona)
        self.bring_to_front(self.foreground or persona)
        return persona

    def remove(self, persona: Persona) -> None:
        """Take a persona away for good: stage 2 unmapped, its translations invalidated, its RAM scrubbed and free."""
        self._take_out(persona)
        persona.power_off()
        persona.release()
        self._inputs = [entry for entry in self._inputs if entry[2] is not persona]
        heapq.heapify(self._inputs)
        self.personas.remove(persona)
        for index, vcpu in enumerate(self.vcpus):
            vcpu.index = index
        if self.foreground is persona:
            self.foreground = None
            if self.personas:
                self.bring_to_front(self.personas[0])

    def _take_out(self, persona: Persona) -> None:
        if self._loaded is not None and self._loaded.persona is persona:
            self.put_away()

    def start(self, persona: Persona) -> None:
        """Power a persona on, or on again, whatever it is doing."""
        self._take_out(persona)
        persona.power_on(self.now)
        self.preempt = True
        first = persona.vcpus[0]
        self.log(f"{persona.name}: {persona.settings.memory >> 20} MiB at PA {persona.pa:#x}, VMID {persona.vmid}, start")
        self.trace.start(self.now, first.index, persona.image.entry, first.state["X0"])

    def bring_to_front(self, persona: Persona) -> None:
        """Whose screen is shown and who gets the keys; its vCPUs count with their weight from now on."""
        if persona is not self.foreground:
            previous = self.foreground.vcpus[0].index if self.foreground else NOBODY
            self.foreground = persona
            self.preempt = True
            self.trace.foreground(self.now, persona.vcpus[0].index, previous)

    def key(self, persona: Persona, byte: int, at: int | None = None) -> None:
        """A key for a persona's console at a virtual time, now unless given: an entry of the input log."""
        self.post(persona, Arrival(partial(persona.take_key, byte), InputEvent.KEY, byte, at=at))

    def post(self, persona: Persona, arrival: Arrival) -> None:
        """Something from outside for a persona: an entry of the input log."""
        at = self.now + arrival.after if arrival.at is None else max(arrival.at, self.now)
        self._sequence += 1
        heapq.heappush(self._inputs, (at, self._sequence, persona, arrival))
        self.events_changed = True

    # ── the loop ──

    @property
    def alive(self) -> bool:
        """Is any persona still running?"""
        return any(persona.status == "running" for persona in self.personas)

    def run(self, until: int = NEVER) -> int:
        """Run all personas until virtual time `until` in ns, or until none is left. Returns the virtual time.

        A run in pieces is the same run: a slice that `until` cuts in two goes on with the next call, as if nothing had been.
        """
        with self.clock.ticking():
            while self.now < until and self.alive:
                if self._running is None:
                    self._deliver_inputs()
                    choice = self._choose()
                    if choice is None:
                        if not self._idle(until):
                            break
                        continue
                    self._begin_slice(*choice)
                self._go_on(until)
        return self.now

    def _choose(self) -> tuple[VirtualCpu, int] | None:
        vcpus = self.vcpus
        views = [vcpu.view(vcpu.persona is self.foreground) for vcpu in vcpus]
        if not any(view.runnable for view in views) or self._scheduler is None:
            return None
        choice = self._scheduler.next(self.now, views)
        if choice is None:
            return None
        index, slice_ = choice
        if not (0 <= index < len(vcpus) and views[index].runnable and slice_ > 0):
            raise StageError(f"scheduler: next() chose vCPU {index} for {slice_} ns; a runnable one, above 0, was expected")
        ready, why = sum(view.runnable << view.index for view in views), str(getattr(self._scheduler, "why", ""))
        slice_ = self.clock.slice(slice_, ready == 1 << index, vcpus[index].may_spin)
        self.trace.sched(self.now, index, slice_, ready, why=why)
        return vcpus[index], slice_

    def _switch_to(self, vcpu: VirtualCpu) -> None:
        """The world switch: everything of one vCPU out of the core, everything of the next one in."""
        if vcpu is self._loaded:
            return
        previous = self.put_away()
        vcpu.persona.stages.load(self.core, vcpu.state)
        self.core.write("HCR_EL2", HCR_GUEST | HCR_VSE * vcpu.serror)
        self.core.load_vmid(vcpu.persona.vmid)
        self.interrupts.load(vcpu)
        self._loaded = vcpu
        self.core.skip(self.cost.switch)
        reason = SwitchReason.WAKE if vcpu.consumed else SwitchReason.START
        if previous is not None:
            reason = SwitchReason.SLICE if previous.status == "ready" else SwitchReason.WAIT
        who, saved = (previous.index, previous.state) if previous else (NOBODY, {})
        self.trace.switch(self.now, vcpu.index, who, reason, self.core.retired, saved, vcpu.state)

    def pend_serror(self, vcpu: VirtualCpu) -> None:
        """Tell a vCPU of an error that is no instruction's fault: a virtual SError, taken when its PSTATE.A lets it."""
        vcpu.serror = True
        if vcpu is self._loaded:
            self.core.write("HCR_EL2", HCR_GUEST | HCR_VSE)
        elif vcpu.status == "waiting":
            vcpu.status, vcpu.since, self.preempt = "ready", self.now, True

    def put_away(self) -> VirtualCpu | None:
        """Take the loaded vCPU out of the core; its slice is over."""
        vcpu, self._running = self._loaded, None
        self._leave_guest()
        if vcpu is not None:
            vcpu.state = vcpu.persona.stages.save(self.core)
            vcpu.serror = bool(self.core.read("HCR_EL2") & HCR_VSE)
            self.interrupts.save(vcpu)
            self._loaded = None
        return vcpu

    def _begin_slice(self, vcpu: VirtualCpu, slice_: int) -> None:
        started = self.now
        self._switch_to(vcpu)
        self._running, self._since = vcpu, started  # the switch is on its account: short slices must not be free
        self.core.write("CNTHP_CVAL_EL2", (self.now + slice_) // TICK_NS)
        self.core.write("CNTHP_CTL_EL2", 1)
        self.machine.gic.deactivate(HYP_TIMER)
        self.preempt, self.events_changed = False, True

    def _go_on(self, until: int) -> None:
        """Run the vCPU whose slice it is, until the slice is over or `until` is reached."""
        vcpu = self._running
        assert vcpu is not None
        while vcpu.status == "ready" and not self.preempt:
            if self.events_changed:
                self._event, self.events_changed = self._next_event(), False
            reason = self._run_guest(vcpu, min(until, self._event))
            if reason == HORIZON and until <= self.now < self._event:
                self._charge(vcpu)
                return
            self._leave_guest()
            self._after(reason, vcpu)
            if len(vcpu.persona.vcpus) > 1:  # what it just did may be what another one waits for: an SGI, a line, a completion
                self._wake(vcpu.persona)
        self._leave_guest()
        self._charge(vcpu)
        self._running = None

    def _run_guest(self, vcpu: VirtualCpu, horizon: int) -> int:
        if self._inside is None:
            self.interrupts.enter(vcpu)
        flags = vcpu.persona.letters if self.interrupts.quiet or not self.clock.deterministic else None
        self._letters.offer(UART, flags, vcpu.index, self.cost.of_exit(EC.DABT_LOWER))
        try:
            reason = self.core.run(self.clock.horizon(horizon), resume=self._inside is not None)
        finally:  # whatever ends the run: what the guest has written is written
            self._letters.hand_over(vcpu.persona.uart)
        self._inside = vcpu
        self.clock.catch_up()
        return reason

    def _leave_guest(self) -> None:
        """EL2 has the core: what the guest did to its list registers goes back into the vGIC."""
        if self._inside is not None:
            self.interrupts.leave(self._inside)
            self._inside = None

    def _charge(self, vcpu: VirtualCpu) -> None:
        vcpu.consumed += self.now - self._since
        self._since = self.now

    def _after(self, reason: int, vcpu: VirtualCpu) -> None:
        """What the core came back for."""
        if reason == SYNC:
            self._dispatch.synchronous(vcpu)
        elif reason == IRQ:
            self._dispatch.interrupt(vcpu)
        elif reason == FIXED_POINT:
            self.stop(vcpu, StopReason.FIXED_POINT, "it takes the same exception at its own vector for ever")
        elif reason == AARCH32:
            self.stop(vcpu, StopReason.HANDLER, "it returned to AArch32, which this core does not have")
        else:
            self._deliver_inputs()
            self.events_changed = True

    def _wake(self, persona: Persona) -> None:
        for vcpu in persona.wake(self.now):
            first = persona.vgic.pending(vcpu.number)[0]
            self.trace.irq(self.now, vcpu.index, IrqEvent.RAISED, first.intid, first.priority)
            self.preempt = True

    def _next_event(self) -> int:
        """The next virtual time at which something outside the loaded vCPU happens."""
        times = [time for persona in self.personas if (time := persona.next_event(self.now)) is not None]
        times += [self._inputs[0][0]] if self._inputs else []
        return min(times, default=NEVER)

    def _deliver_inputs(self) -> None:
        """Whatever is due: what the input log has, timers and clocks of those who sleep."""
        while self._inputs and self._inputs[0][0] <= self.now:
            _time, _sequence, persona, arrival = heapq.heappop(self._inputs)
            if persona.status == "running":
                arrival.deliver()
                persona.update_lines()
            else:
                self.trace.policy(self.now, persona.vcpus[0].index, PolicyEvent.DROP, "inputs", "it is off", arrival.code)
            self.trace.input(self.now, persona.vcpus[0].index, *arrival.logged)
        for persona in self.personas:
            self._wake(persona)

    def _idle(self, until: int) -> bool:
        """Nobody wants the core. Time jumps to the next event; False when there is none before `until`."""
        for persona in self.personas:
            if persona.status == "running" and not persona.can_wake(self.now):
                self._switch_to(persona.vcpus[0])
                self.stop(persona.vcpus[0], StopReason.NEVER_WAKES, "it waits for an interrupt that no event source can raise")
        event = min(self._next_event(), until)
        if event >= NEVER or not self.alive:
            return False
        if event > self.now:
            self.clock.idle(event)
        return True

    # ── the end of a persona ──

    def stop(self, vcpu: VirtualCpu, reason: StopReason, words: str) -> None:
        """End a persona that did not ask for it, with a report. The others go on."""
        if vcpu.persona.status != "running":
            return
        core = self.core
        text = report(core, vcpu.persona.name, words)
        self.log(text.replace("\n", "\r\n"))
        pc, esr, far = (core.read(name) for name in ("PC", "ESR_EL1", "FAR_EL1"))
        self.trace.policy(self.now, vcpu.index, PolicyEvent.STOP, reason.name.lower().replace("_", " "), words)
        self.trace.stop(self.now, vcpu.index, reason, words, core.retired, pc, esr, far)
        self.put_away()
        vcpu.persona.power_off(text)
