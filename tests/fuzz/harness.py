"""Running hostile programs beside a neighbour, and what must hold after each of their exits.

    registers of EL2    HCR, VTCR, MDCR unchanged; VTTBR and VMID those of the vCPU that is loaded
    ownership           every valid stage-2 mapping is of a page that the ledger gives to that persona
    interrupts          each one in the distributor, in a list register or taken, exactly once: `ledger`
    registers           a vCPU finds every one as it left it: `watch`
    time                no stay in the guest, and no run, past its budget: `watch`. A boot that begins no new operation for
                        a fifth of a millisecond is over
    the neighbour       lives again and again, and each life is the one it had alone: `neighbour`
"""

from __future__ import annotations

import hashlib
from collections import Counter
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
from minivisor.machine.state import WORD
from minivisor.platform.image import load_image
from minivisor.stages import Handler, Outcome, Stages
from minivisor.trace.store import Trace
from tests.fuzz.generate import Program
from tests.fuzz.ledger import Ledger, watch_flush, watch_fold
from tests.fuzz.neighbour import MEMORY, Neighbour, Violation
from tests.fuzz.watch import Budget, Registers

__all__ = ["Arena"]

MAILBOX, FILES, CODE, HEAD = 0x4010_0000, 0x4014_0000, 0x4018_0000, 48
DONE, EXECUTED = 1, 4  # words of the mailbox
CHUNK = 200_000  # ns of virtual time in which a boot must begin a new operation
CHUNKS = 75  # and a boot is over after so many
STORM = 2_000  # exits within a chunk after which a boot is over, too: it costs us more than it finds
RECORDS = 1 << 19  # that a trace keeps: more than a chunk can make, seed 50922 has made 134,127
SLICE = 5_000
LINES = 1 << 6 | 1 << 7  # HCR_EL2.VF and VI, the virtual interrupt lines: they follow the list registers
EVERY = 64  # exits between two looks at what is costly to look at


class Arena:
    """One machine with the fuzz guest (vCPU 0) and a neighbour (vCPU 1). gic: the fuzz guest's, the neighbour has a GICv2."""

    def __init__(self, mmu: str = "minivisor", gic: int = 2) -> None:
        self.registers: list[Registers] = []
        board = "a" if gic == 2 else "b"
        self.hypervisor = Hypervisor(Machine(board, mmu), self._stages, RoundRobin(SLICE), trace=Trace(limit=RECORDS))
        image = load_image(guests.path("fuzz"), RAM, MEMORY)
        self.fuzz = self.hypervisor.add(PersonaSettings("fuzz", memory=MEMORY, gic=gic), image)
        self.fuzz.power_off()
        self.neighbour = Neighbour(self.hypervisor)
        self.budget = Budget(self.hypervisor, SLICE)
        self.ledgers = [Ledger(persona.vgic) for persona in self.hypervisor.personas]
        self.exits, self.boots, self.operations, self._storm = 0, 0, 0, 0
        self.endings: Counter[str] = Counter()
        self._tables = b""
        self.neighbour.live_alone(CHUNK)

    # ── running ──

    def run(self, program: Program) -> int:
        """Run a whole program, booting again behind whatever ended the last boot.

        Returns operations carried out: instructions passed and edits, as the interpreter has counted them.
        """
        at, before = 0, self.operations
        while at < len(program.operations):
            at = max(self._boot(program, at), at + 1)
        return self.operations - before

    def _boot(self, program: Program, first: int) -> int:
        """One boot, from operation `first` on, until it ends or makes no more progress. Returns the next operation."""
        hypervisor = self.hypervisor
        hypervisor.start(self.fuzz)
        self._place(program, first)
        mailbox = self.fuzz.span(MAILBOX, HEAD).view(np.uint64)
        done, before = mailbox[DONE : DONE + 1], -1
        chunks = 0
        while self.fuzz.status == "running" and before < int(done[0]) <= len(program.operations) and chunks < CHUNKS:
            before, chunks, self._storm = int(done[0]), chunks + 1, 0
            self.budget.run_until(hypervisor.now + CHUNK)
            self.neighbour.look()
        self.look(thoroughly=True)
        self.boots += 1
        reached = int(done[0]) if first < int(done[0]) <= len(program.operations) else first + 1
        self.operations += min(int(mailbox[EXECUTED]), program.words(first, reached))  # both are in the guest's reach
        self.endings[self.fuzz.report.split("\n")[0] or self.fuzz.status] += 1
        return reached

    def _place(self, program: Program, first: int) -> None:
        mailbox = self.fuzz.span(MAILBOX, HEAD + 32 * len(program.operations)).view(np.uint64)
        mailbox[: HEAD // 8] = len(program.operations), first, int(program.mmu), 0, 0, 0
        mailbox[HEAD // 8 :] = np.array(program.operations, np.uint64).ravel()
        self.fuzz.span(FILES, program.files.nbytes).view(np.uint64)[:] = program.files.ravel()
        self.fuzz.span(CODE, program.code.nbytes).view(np.uint32)[:] = program.code
        self.hypervisor.core.code_changed()

    # ── invariants ──

    def _stages(self, persona: Persona) -> Stages:
        """The reference parts, each watched."""
        parts = reference(persona)
        registers = Registers(parts)
        self.registers.append(registers)
        return replace(
            parts,
            handlers={ec: self._watch(handler) for ec, handler in parts.handlers.items()},
            flush=watch_flush(parts.flush),
            fold=watch_fold(parts.fold),
            save=registers.save,
            load=registers.load,
        )

    def _watch(self, handler: Handler) -> Handler:
        def watched(exit: Any, vcpu: Any) -> Outcome:
            self.exits, self._storm = self.exits + 1, self._storm + 1
            self.look(thoroughly=self.exits % EVERY == 0)
            if self._storm > STORM and vcpu.persona == self.fuzz.name:
                return Outcome("stop", reason="a storm of exits")
            return handler(exit, vcpu)

        return watched

    def look(self, thoroughly: bool) -> None:
        """Check what must hold whenever EL2 runs; Violation says what does not."""
        hypervisor, core = self.hypervisor, self.hypervisor.core
        loaded = hypervisor._loaded
        if loaded is not None and core.words[WORD["vmid"]] != loaded.persona.vmid:
            raise Violation(f"VMID {core.words[WORD['vmid']]} is loaded for {loaded.persona.name}")
        if not thoroughly:
            return
        expected = {"HCR_EL2": HCR_GUEST, "VTCR_EL2": VTCR, "MDCR_EL2": MDCR_GUEST}
        if loaded is not None:
            expected["VTTBR_EL2"] = loaded.persona.vttbr
        for name, value in expected.items():
            found = core.read(name) & ~(LINES if name == "HCR_EL2" else 0)
            if found != value:
                raise Violation(f"{name} is {found:#x}, not {value:#x}")
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
