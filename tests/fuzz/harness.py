"""Running hostile programs beside a neighbour, and what must hold after each of their exits.

    registers of EL2    HCR, VTCR, MDCR unchanged; VTTBR and VMID those of the vCPU that is loaded
    ownership           every valid stage-2 mapping is of a page that the ledger gives to that persona
    interrupts          what flush is given comes out once: in a list register or spilled; what fold is given, too
    time                a boot that begins no new operation for half a millisecond is over; nothing else may hang
    the neighbour       lives again and again; each life has the same exits with the same values, and leaves the same memory,
                        as the one it had alone
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from minivisor import guests
from minivisor.hypervisor.hypervisor import HCR_GUEST, MDCR_GUEST, Hypervisor
from minivisor.hypervisor.persona import RAM, Persona, PersonaSettings
from minivisor.hypervisor.placement import TABLE_PAGES
from minivisor.hypervisor.reference import reference
from minivisor.hypervisor.scheduler import RoundRobin
from minivisor.hypervisor.stage2 import VTCR
from minivisor.machine.board import Machine
from minivisor.platform.image import load_image
from minivisor.stages import Handler, Irq, ListRegister, Outcome, Stages
from minivisor.trace.records import ExitCause, Kind
from minivisor.trace.store import Trace
from tests.fuzz.generate import Program

__all__ = ["Arena", "Violation"]

MAILBOX, FILES, CODE, HEAD = 0x4010_0000, 0x4014_0000, 0x4018_0000, 32
MEMORY, IMAGE, IMAGE_ROOM = 4 << 20, 0x4020_0000, 1 << 17
CHUNK = 500_000  # ns of virtual time in which a boot must begin a new operation; it also is one life of the neighbour
CHUNKS = 30  # and a boot is over after so many
SLICE = 2_000
EVERY = 64  # exits between two looks at what is costly to look at
SAME = ["pc", "esr", "far", "ipa", "value", "outcome"]


class Violation(AssertionError):
    """An invariant that a guest broke."""


class Arena:
    """One machine with the fuzz guest (vCPU 0) and a neighbour (vCPU 1), the `hello` guest."""

    def __init__(self, mmu: str = "minivisor") -> None:
        self.hypervisor = Hypervisor(Machine("a", mmu), self._stages, RoundRobin(SLICE), trace=Trace(limit=1 << 16))
        self.fuzz, self.neighbour = self._add("fuzz"), self._add("hello")
        self.exits, self.boots, self.operations, self.lives = 0, 0, 0, 0
        self.endings: Counter[str] = Counter()
        self._tables = b""
        self.fuzz.power_off()
        self._start_neighbour()
        self.hypervisor.run(self.hypervisor.now + CHUNK)
        self._alone = self._testimony()
        self._start_neighbour()

    def _add(self, guest: str) -> Persona:
        return self.hypervisor.add(PersonaSettings(guest, memory=MEMORY), load_image(guests.path(guest), RAM, MEMORY))

    # ── running ──

    def run(self, program: Program) -> int:
        """Run a whole program, booting again behind whatever ended the last boot. Returns operations carried out."""
        at = 0
        while at < len(program.operations):
            at = max(self._boot(program, at), at + 1)
        operations = sum(program.sizes)
        self.operations += operations
        return operations

    def _boot(self, program: Program, first: int) -> int:
        """One boot, from operation `first` on, until it ends or makes no more progress. Returns the next operation."""
        hypervisor = self.hypervisor
        if hypervisor._loaded is not None:
            hypervisor.put_away()
        hypervisor.start(self.fuzz)
        self._place(program, first)
        done, before = self.fuzz.span(MAILBOX + 8, 8).view(np.uint64), -1
        chunks = 0
        while self.fuzz.status == "running" and before < int(done[0]) <= len(program.operations) and chunks < CHUNKS:
            before, chunks = int(done[0]), chunks + 1
            self._live_again()
            hypervisor.run(hypervisor.now + CHUNK)
        self.look(thoroughly=True)
        self.boots += 1
        self.endings[self.fuzz.report.split("\n")[0] or self.fuzz.status] += 1
        return int(done[0]) if first < int(done[0]) <= len(program.operations) else first + 1

    def _live_again(self) -> None:
        """Look back at the neighbour's last life, and start the next."""
        if self.neighbour.status == "running":
            return
        if self._testimony() != self._alone:
            raise Violation("the neighbour's life was not what it is alone")
        self.lives += 1
        self._start_neighbour()

    def _start_neighbour(self) -> None:
        self._seen = self.hypervisor.trace.total
        self.hypervisor.start(self.neighbour)

    def _testimony(self) -> tuple[bytes, bytes, bytes]:
        """The neighbour's last life: its synchronous exits without times, its console, its memory."""
        rows = self.hypervisor.trace.rows(self._seen)
        mine = rows[(rows["kind"] == Kind.EXIT) & (rows["vcpu"] == 1) & (rows["detail"] == ExitCause.SYNC)]
        exits = b"".join(mine[name].tobytes() for name in SAME)
        console = bytes(self.neighbour.console)
        self.neighbour.console.clear()
        return exits, console, bytes(self.neighbour.span(IMAGE, IMAGE_ROOM))

    def _place(self, program: Program, first: int) -> None:
        mailbox = self.fuzz.span(MAILBOX, HEAD + 32 * len(program.operations)).view(np.uint64)
        mailbox[:4] = len(program.operations), first, int(program.mmu), 0
        mailbox[4:] = np.array(program.operations, np.uint64).ravel()
        self.fuzz.span(FILES, program.files.nbytes).view(np.uint64)[:] = program.files.ravel()
        self.fuzz.span(CODE, program.code.nbytes).view(np.uint32)[:] = program.code
        self.hypervisor.core.code_changed()

    # ── invariants ──

    def _stages(self, persona: Persona) -> Stages:
        """The reference parts, each watched."""
        parts = reference(persona)
        watched = {ec: self._watch(handler) for ec, handler in parts.handlers.items()}
        return replace(parts, handlers=watched, flush=_watch_flush(parts.flush), fold=_watch_fold(parts.fold))

    def _watch(self, handler: Handler) -> Handler:
        def watched(exit: Any, vcpu: Any) -> Outcome:
            self.exits += 1
            self.look(thoroughly=self.exits % EVERY == 0)
            return handler(exit, vcpu)

        return watched

    def look(self, thoroughly: bool) -> None:
        """Check what must hold whenever EL2 runs; Violation says what does not."""
        hypervisor, core = self.hypervisor, self.hypervisor.core
        loaded = hypervisor._loaded
        if loaded is not None and int(core.record.vmid) != loaded.persona.vmid:
            raise Violation(f"VMID {int(core.record.vmid)} is loaded for {loaded.persona.name}")
        if not thoroughly:
            return
        expected = {"HCR_EL2": HCR_GUEST, "VTCR_EL2": VTCR, "MDCR_EL2": MDCR_GUEST}
        if loaded is not None:
            expected["VTTBR_EL2"] = loaded.persona.vttbr
        for name, value in expected.items():
            if core.read(name) & ~0x80 != value & ~0x80:  # HCR_EL2.VI is the virtual interrupt line, ours to move
                raise Violation(f"{name} is {core.read(name):#x}, not {value:#x}")
        self._look_at_tables()

    def _look_at_tables(self) -> None:
        """The ledger against every valid mapping, whenever a table has changed since the last look."""
        memory, personas = self.hypervisor.machine.memory, self.hypervisor.personas
        pools = b"".join(bytes(memory.span(persona.tables.root, TABLE_PAGES << 12)) for persona in personas)
        digest = hashlib.blake2b(pools).digest()
        if digest == self._tables:
            return
        for persona in personas:
            for ipa, pa, size, prot in persona.stage2.mappings():
                self.hypervisor.ledger.check(persona.owner, pa, size, prot)
                if prot == "rwx" and not persona.inside(ipa):
                    raise Violation(f"{persona.name}: RAM mapped at {ipa:#x}")
        self._tables = digest


def _watch_flush(flush: Callable[..., Any]) -> Callable[..., Any]:
    def watched(pending: Sequence[Irq], registers: Sequence[ListRegister]) -> Any:
        listed, spilled = flush(pending, registers)
        after = sorted([register.intid for register in listed if register.state] + [irq.intid for irq in spilled])
        if after != sorted({irq.intid for irq in pending}):
            raise Violation(f"flush was given {[irq.intid for irq in pending]} and put away {after}")
        return listed, spilled

    return watched


def _watch_fold(fold: Callable[..., Any]) -> Callable[..., Any]:
    def watched(registers: Sequence[ListRegister]) -> Any:
        completed, pending = fold(registers)
        alive = sorted(register.intid for register in registers if register.state)
        both = set(completed) & set(alive) - {0}  # an empty list register looks like a completed SGI 0
        if sorted(irq.intid for irq in pending) != alive or both:
            raise Violation(f"fold was given {registers} and returned {completed}, {pending}")
        return completed, pending

    return watched
