"""The seam: every part of the hypervisor that can be replaced, and the plain data it speaks.

A student's chapter file, an engineer's idea and our own reference plug in here in the same way. A part is a function
or a small class over the frozen dataclasses below: plain data in, plain data out, no reference to the engine, no hidden
state. That is why the same part can run in this process or behind a pipe, and why two runs with the same parts leave the
same trace.

    guest traps ─► decode(esr, far, hpfar) ─► Exit ─► handlers[ec](exit, vcpu) ─► Outcome ─► guest resumes

This module holds only the types and the list of parts; the parts we ship are in `minivisor.hypervisor`, and
`minivisor.hypervisor.reference` fills a `Stages` with them. It imports nothing of the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = [
    "API",
    "Abort",
    "Access",
    "Core",
    "DataAbort",
    "Exit",
    "Handler",
    "Hvc",
    "InstructionAbort",
    "Irq",
    "ListRegister",
    "Outcome",
    "Scheduler",
    "Smc",
    "Stages",
    "State",
    "SysregTrap",
    "Tables",
    "UnknownExit",
    "Vcpu",
    "Wfx",
]

API = 1
"""Version of this seam. A file written for one API is never run under another without saying so."""


# ── exits ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Exit:
    """One exception taken to EL2, decoded once. `esr` is ESR_EL2 as the hardware wrote it (DDI 0487, ESR_EL2)."""

    esr: int
    ec: int
    iss: int


@dataclass(frozen=True, slots=True)
class Hvc(Exit):
    """EC 0x16. The preferred return address is already the next instruction."""

    immediate: int


@dataclass(frozen=True, slots=True)
class Smc(Exit):
    """EC 0x17, trapped by HCR_EL2.TSC. The preferred return address is the SMC itself."""

    immediate: int


@dataclass(frozen=True, slots=True)
class Wfx(Exit):
    """EC 0x01: WFI, or WFE when `event`. The preferred return address is the instruction itself."""

    event: bool


@dataclass(frozen=True, slots=True)
class SysregTrap(Exit):
    """EC 0x18: a trapped MRS, MSR or system instruction. The preferred return address is the instruction itself.

    `register` is (op0, op1, CRn, CRm, op2); `rt` is the general register, 31 for XZR.
    """

    register: tuple[int, int, int, int, int]
    rt: int
    is_read: bool


@dataclass(frozen=True, slots=True)
class Abort(Exit):
    """A stage-2 abort. `far` is the virtual address, `ipa` the intermediate physical address of the access in bytes.

    When `s1ptw`, the fault was on the guest's own page-table walk and only the page of `ipa` is meaningful.
    """

    far: int
    ipa: int
    status: int  # DFSC / IFSC
    s1ptw: bool


@dataclass(frozen=True, slots=True)
class InstructionAbort(Abort):
    """EC 0x20, from a lower exception level."""


@dataclass(frozen=True, slots=True)
class DataAbort(Abort):
    """EC 0x24, from a lower exception level. The instruction fields mean something only when `valid` (ISS.ISV)."""

    write: bool
    valid: bool
    size: int  # bytes: 1, 2, 4, 8
    sign_extend: bool
    register: int  # ISS.SRT, 31 is XZR
    sixty_four: bool  # ISS.SF: the register is 64 bits wide
    cache_maintenance: bool


@dataclass(frozen=True, slots=True)
class UnknownExit(Exit):
    """Any exception class without a dataclass of its own; the default handler reports it and stops the vCPU."""


# ── what a handler sees and answers ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Vcpu:
    """A read-only view of one virtual CPU, for handlers and schedulers.

    x: X0..X30. pc: the preferred return address. Times are virtual, in nanoseconds (one retired instruction is one).
    consumed: time it has run. since: when it last became runnable. weight: its share when in the background is 1.
    """

    index: int
    persona: str
    x: tuple[int, ...] = (0,) * 31
    pc: int = 0
    runnable: bool = True
    online: bool = True
    foreground: bool = False
    weight: int = 1
    consumed: int = 0
    since: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What EL2 does next. `writes` are register writes by name (X0..X30, SP, V0..V31, PC), done before the guest goes on.

    kind:
      "resume"     go back to the guest (write "PC" to step over a trapped instruction)
      "wait"       the vCPU sleeps until an interrupt is pending for it
      "undefined"  inject an Undefined Instruction exception at the preferred return address
      "abort"      inject a synchronous external abort (the address does not answer)
      "serror"     pend a virtual SError (HCR_EL2.VSE): the guest takes it as soon as its PSTATE.A lets it
      "off"        this vCPU is off (PSCI CPU_OFF)        "on"   start another vCPU: `argument` = (target, entry, context)
      "shutdown"   the persona powers off                 "reset" the persona starts again from its image
      "stop"       the persona is stopped with a report; `reason` says why
    """

    kind: str = "resume"
    writes: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""
    argument: Any = None


@dataclass(frozen=True, slots=True)
class Access:
    """One access to an emulated device, decoded. `value` is what a write stores, already cut to `width` bytes."""

    ipa: int
    width: int
    write: bool
    register: int
    value: int = 0
    sign_extend: bool = False
    sixty_four: bool = False


@dataclass(frozen=True, slots=True)
class Irq:
    """A virtual interrupt that wants a list register. Lower priority numbers are more urgent (IHI 0048, 3.3).

    source: requesting CPU of an SGI. physical: the physical interrupt it deactivates (LR.HW), or None.
    level: it is level sensitive and its line is high now, so it is pending again after completion.
    """

    intid: int
    priority: int
    source: int = 0
    physical: int | None = None
    level: bool = False
    active: bool = False
    pending: bool = True


@dataclass(frozen=True, slots=True)
class ListRegister:
    """One GICH_LR<n> (IHI 0048, 5.3.8). state: 0 invalid, 1 pending, 2 active, 3 pending and active.

    group: 1 is an IRQ; set by the vGIC after `flush`, which need not care.
    """

    state: int = 0
    intid: int = 0
    priority: int = 0
    source: int = 0
    physical: int | None = None
    eoi_maintenance: bool = False
    group: int = 0


State = Mapping[str, int]
"""The saved registers of a vCPU by architectural name: what a world switch moves."""


class Core(Protocol):
    """The physical core as a world switch sees it: registers by architectural name."""

    def read(self, name: str) -> int: ...

    def write(self, name: str, value: int) -> None: ...

    def read_many(self, names: Sequence[str]) -> Mapping[str, int]: ...

    def write_many(self, values: Mapping[str, int]) -> None: ...


class Tables(Protocol):
    """What a stage-2 builder may do: read and write descriptors, get a zeroed table page, invalidate a page's entries."""

    root: int

    def read(self, pa: int) -> int: ...

    def write(self, pa: int, descriptor: int) -> None: ...

    def alloc(self) -> int: ...

    def tlbi(self, ipa: int) -> None: ...


class Scheduler(Protocol):
    """Policy only. Returns the index of the vCPU to run and its slice in ns, or None when nobody is runnable.

    If it has an attribute `why`, a few words of a small set, the trace records them with each choice.
    """

    def next(self, now: int, vcpus: Sequence[Vcpu]) -> tuple[int, int] | None: ...


# ── the parts ────────────────────────────────────────────────────────────────────────────────────────────────────────

Handler = Callable[[Any, Vcpu], Outcome]


@dataclass(frozen=True)
class Stages:
    """One assembly of the hypervisor: every replaceable part by its name. See COURSE for who writes which.

    decode(esr, far, hpfar) -> Exit                      access(exit, registers) -> Access
    handlers: exception class -> handler(exit, vcpu) -> Outcome; "psci" is psci(function, arguments, vcpu) -> Outcome
    descriptor(pa, level, prot) -> int                   map_page(tables, ipa, pa, prot), unmap(tables, ipa)
    target(irq, vcpus) -> int                            vtimer(cval, ctl, offset, now) -> (level, deadline or None)
    flush(pending, list_registers) -> (list_registers, spilled)
    fold(list_registers) -> (completed, pending)
    save(core) -> State, load(core, state)
    scheduler() -> Scheduler                             uart(transmit) -> a device: read(offset, width), write(…, value)
    """

    decode: Callable[[int, int, int], Exit]
    handlers: Mapping[int, Handler]
    access: Callable[[DataAbort, Sequence[int]], Access]
    psci: Callable[[int, Sequence[int], Vcpu], Outcome]
    descriptor: Callable[[int, int, str], int]
    map_page: Callable[[Tables, int, int, str], None]
    unmap: Callable[[Tables, int], None]
    target: Callable[[Irq, Sequence[Vcpu]], int]
    flush: Callable[
        [Sequence[Irq], Sequence[ListRegister]], tuple[tuple[ListRegister, ...], tuple[Irq, ...]]
    ]
    fold: Callable[[Sequence[ListRegister]], tuple[tuple[int, ...], tuple[Irq, ...]]]
    vtimer: Callable[[int, int, int, int], tuple[bool, int | None]]
    save: Callable[[Core], State]
    load: Callable[[Core, State], None]
    scheduler: Callable[[], Scheduler]
    uart: Callable[[Callable[[int], None]], Any]
