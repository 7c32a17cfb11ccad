"""Running hostile programs beside a neighbour, and what must hold after each of their exits.

    registers of EL2    they are those of the vCPU that is loaded: `look`, each time that EL2 has the core back
    ownership           every valid mapping is of a page that the ledger gives to that persona: `look`, too
    interrupts          each one in the distributor, in a list register or taken, exactly once: `ledger`, at each world entry
    registers           a vCPU finds every one as it left it: `watch`, at each world switch
    time                no stay in the guest, and no run, past its budget: `watch`. A boot that begins no new operation for
                        a fifth of a millisecond is over
    the neighbour       lives again and again, and each life is the one it had alone: `neighbour`

Letters on the serial port are answered in compiled code (`machine.letters`), as they are outside. EL2 does not run for those
exits, so there is nothing to look at before the return that follows, 256 letters later at most.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from minivisor import guests
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import RAM, Persona, PersonaSettings
from minivisor.hypervisor.reference import reference
from minivisor.hypervisor.scheduler import RoundRobin
from minivisor.hypervisor.vcpu import VirtualCpu
from minivisor.machine.board import Machine
from minivisor.machine.core import SYNC
from minivisor.machine.letters import COUNT
from minivisor.platform.image import load_image
from minivisor.stages import Stages
from minivisor.trace.records import StopReason
from minivisor.trace.store import Trace
from tests.fuzz.generate import Program
from tests.fuzz.ledger import Ledger, watch_flush, watch_fold
from tests.fuzz.look import Look
from tests.fuzz.neighbour import MEMORY, Neighbour
from tests.fuzz.watch import Budget, Registers

__all__ = ["Arena"]

MAILBOX, FILES, CODE, HEAD = 0x4010_0000, 0x4014_0000, 0x4018_0000, 48
DONE, EXECUTED = 1, 4  # words of the mailbox
CHUNK = 200_000  # ns of virtual time in which a boot must begin a new operation
CHUNKS = 75  # and a boot is over after so many
STORM = 2_000  # exits within a chunk after which a boot is over, too: it costs us more than it finds
EXITS = 50_000  # and a program after so many: most make 3,000, and seed 70009 would make half a million that say no more
RECORDS = 1 << 19  # that a trace keeps: more than a chunk can make, seed 50922 has made 134,127
SLICE = 5_000
ROWS = 2  # of a letter's exit, in the box that they come in: the device's and its own


class Arena:
    """One machine with the fuzz guest (vCPU 0) and a neighbour (vCPU 1). gic: the fuzz guest's, the neighbour has a GICv2.

    exits: of both, of every kind. letters: those among them that compiled code answered, by persona.
    """

    def __init__(self, mmu: str = "minivisor", gic: int = 2) -> None:
        self.registers: list[Registers] = []
        board = "a" if gic == 2 else "b"
        self.hypervisor = Hypervisor(Machine(board, mmu), self._stages, RoundRobin(SLICE), trace=Trace(limit=RECORDS))
        image = load_image(guests.path("fuzz"), RAM, MEMORY)
        self.fuzz = self.hypervisor.add(PersonaSettings("fuzz", memory=MEMORY, gic=gic), image)
        self.fuzz.power_off()
        self.neighbour = Neighbour(self.hypervisor)
        self.ledgers = [Ledger(persona.vgic) for persona in self.hypervisor.personas]
        self.look = Look(self.hypervisor, self.ledgers)
        self.budget = Budget(self.hypervisor, SLICE, self._returned)
        self._after, self.hypervisor._after = self.hypervisor._after, self._end_storms  # type: ignore[method-assign]
        self.exits, self.boots, self.operations, self._storm = 0, 0, 0, 0
        self.endings: Counter[str] = Counter()
        self.letters: Counter[str] = Counter()
        self.neighbour.live_alone(CHUNK)

    # ── running ──

    def run(self, program: Program) -> int:
        """Run a whole program, booting again behind whatever ended the last boot; or as much of it as EXITS allow.

        Returns operations carried out: instructions passed and edits, as the interpreter has counted them.
        """
        at, before, last = 0, self.operations, self.exits + EXITS
        while at < len(program.operations) and self.exits < last:
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

    # ── watching ──

    def _stages(self, persona: Persona) -> Stages:
        """The reference parts, some watched. None that a device's register is read or written by: letters stay on."""
        parts = reference(persona)
        registers = Registers(parts)
        self.registers.append(registers)
        watched = watch_flush(parts.flush), watch_fold(parts.fold)
        return replace(parts, flush=watched[0], fold=watched[1], save=registers.save, load=registers.load)

    def _returned(self) -> None:
        """EL2 has the core back. The exits that compiled code answered on the way are exits, too."""
        loaded = self.hypervisor._loaded
        letters = self.hypervisor._letters._box_words[COUNT] // ROWS
        self.exits += 1 + letters
        if loaded is not None and letters:
            self.letters[loaded.persona.name] += letters
        self.look()

    def _end_storms(self, reason: int, vcpu: VirtualCpu) -> None:
        """In front of whatever EL2 does about an exit."""
        if vcpu.persona is self.fuzz and reason == SYNC:
            self._storm += 1
            if self._storm > STORM:
                self.hypervisor.stop(vcpu, StopReason.LIMIT, "a storm of exits")
                return
        self._after(reason, vcpu)
