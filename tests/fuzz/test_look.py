"""The arena's looks: a breach that lasts for one exit, or one world switch, is noticed, whichever it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minivisor.errors import MinivisorError
from minivisor.hypervisor.hypervisor import HCR_GUEST
from minivisor.hypervisor.vcpu import HCR_VSE
from minivisor.machine.letters import Letters
from minivisor.machine.state import WORD
from minivisor.trace.records import ExitCause, Kind
from tests.fuzz.generate import RUN, Program, generate
from tests.fuzz.harness import Arena
from tests.fuzz.neighbour import Violation

EL1H, UART = 0x3C5, 0x0900_0000
HVC, LOAD_FLAGS, STORE_LETTER = 0xD400_0002, 0xB940_1822, 0x3900_0020  # hvc #0; ldr w2, [x1, #0x18]; strb w0, [x1]
Undo = Callable[[], object]


def program(*words: int) -> Program:
    """These words, and the end. X1 is the serial port's address, X0 a letter."""
    code, files = np.zeros(64, np.uint32), np.zeros((1, 32), np.uint64)
    code[: len(words)], files[0, :2] = words, (ord("m"), UART)
    return Program([(RUN, 0, 0, EL1H)], code, files, True)


# ── breaches of one exit ─────────────────────────────────────────────────────────────────────────────────────────────


def write(name: str) -> Callable[[Arena], Undo]:
    def breach(arena: Arena) -> Undo:
        core, before = arena.hypervisor.core, arena.hypervisor.core.read(name)
        core.write(name, before ^ 1 << 13)
        return lambda: core.write(name, before)

    return breach


def wrong_vmid(arena: Arena) -> Undo:
    core = arena.hypervisor.core
    core.words[WORD["vmid"]] += 1
    return lambda: core.load_vmid(arena.fuzz.vmid)


def map_the_neighbours(arena: Arena) -> Undo:
    stage2 = arena.fuzz.stage2
    stage2._check = lambda _pa, _size, _prot: None
    stage2.map(0x8000_0000, arena.neighbour.persona.pa, 4096, "rw")
    return lambda: stage2.unmap(0x8000_0000, 4096)


def give_a_page_away(arena: Arena) -> Undo:
    ledger, fuzz, home = arena.hypervisor.ledger, arena.fuzz, arena.neighbour.persona
    ledger.transfer(fuzz.owner, home.owner, fuzz.pa + 0x5000, 4096)
    return lambda: ledger.transfer(home.owner, fuzz.owner, fuzz.pa + 0x5000, 4096)


def forget_an_interrupt(who: Callable[[Arena], Any]) -> Callable[[Arena], Undo]:
    """It is pending, and not on the list that the world entry asks."""

    def breach(arena: Arena) -> Undo:
        interrupt = who(arena).vgic.interrupt(77, 0)
        interrupt.latch = True
        return lambda: setattr(interrupt, "latch", False)

    return breach


def remember_the_neighbours(arena: Arena) -> Undo:
    """A translation in the TLB, which is looked at when another vCPU has the core: it is there until then."""
    tlb = arena.hypervisor.core.record
    slot = int(np.flatnonzero(tlb.tlb_context == 0)[0])
    tlb.tlb_pa[slot], tlb.tlb_context[slot] = arena.neighbour.persona.pa, 1 << 32 | 12 << 24 | arena.fuzz.vmid
    return lambda: None


@pytest.mark.parametrize(
    ("breach", "words"),
    [
        (write("HCR_EL2"), "HCR_EL2"),
        (write("VTCR_EL2"), "VTCR_EL2"),
        (write("MDCR_EL2"), "MDCR_EL2"),
        (write("VTTBR_EL2"), "VTTBR_EL2"),
        (wrong_vmid, "VMID"),
        (map_the_neighbours, "belongs to home"),
        (give_a_page_away, "belongs to home"),
        (remember_the_neighbours, "belongs to home"),
        (forget_an_interrupt(lambda arena: arena.fuzz), r"interrupts \[77\]"),
        (forget_an_interrupt(lambda arena: arena.neighbour.persona), r"interrupts \[77\]"),
    ],
    ids=["HCR", "VTCR", "MDCR", "VTTBR", "VMID", "mapping", "ledger", "TLB", "interrupt", "the neighbour's interrupt"],
)
def test_a_breach_of_one_exit_is_noticed(breach: Callable[[Arena], Undo], words: str) -> None:
    """Made before one stay in the guest, some hundred exits in, and undone by EL2 as soon as it is back."""
    arena = Arena()
    stay, handle, first = arena.budget._run, arena._end_storms, arena.exits + 101
    undone: list[Undo] = []

    def breached(horizon: int, resume: bool = False) -> int:
        entered = any(ledger._open for ledger in arena.ledgers)  # then the ledger looks at it, and says it in other words
        if arena.hypervisor._loaded is arena.fuzz.vcpus[0] and arena.exits >= first and not undone and not entered:
            undone.append(breach(arena))
        return stay(horizon, resume=resume)

    def mended(reason: int, vcpu: Any) -> None:
        if undone:
            undone[0]()
        handle(reason, vcpu)

    arena.budget._run, arena.hypervisor._after = breached, mended  # type: ignore[method-assign]
    with pytest.raises((Violation, MinivisorError), match=words):
        for seed in range(3):
            arena.run(generate(seed, 500))
    assert len(undone) == 1


def test_so_is_a_register_that_is_not_switched_once() -> None:
    """At the fourteenth switch, and at no other."""
    arena = Arena()
    watched = arena.registers[0]
    load, before, switches = watched._load, watched.checked, 0

    def forgetful(core: Any, state: Any) -> None:
        nonlocal switches
        switches += state is watched._state
        load(core, {**state, "TPIDR_EL1": state["TPIDR_EL1"] + 8} if switches == 14 else state)

    watched._load = forgetful
    with pytest.raises(Violation, match="TPIDR_EL1 came back changed"):
        for seed in range(3):
            arena.run(generate(seed, 2_000))
    assert (switches, watched.checked) == (14, before + 13)


def test_memory_of_the_neighbours_that_changes_is_noticed() -> None:
    arena = Arena()
    arena.run(program(HVC))
    arena.neighbour.persona.span(0x4020_0000, 4)[:] = 1
    with pytest.raises(Violation, match="alone: image"):
        for _ in range(40):
            arena.run(program(HVC))


@pytest.mark.parametrize("line", [6, 7], ids=["VF", "VI"])
def test_an_interrupt_line_may_be_up_and_only_that(line: int) -> None:
    """Seed 20188: a guest that asked for FIQs (GICV_CTLR.FIQEn) had one pending while EL2 looked."""
    arena = Arena()
    core = arena.hypervisor.core
    arena.hypervisor.put_away()
    core.write("HCR_EL2", HCR_GUEST | 1 << line)
    core._write_back()
    arena.look()
    core.write("VTCR_EL2", core.read("VTCR_EL2") ^ 1 << line)
    core._write_back()
    with pytest.raises(Violation, match="VTCR_EL2"):
        arena.look()


def test_a_virtual_serror_is_pending_where_el2_said_so() -> None:
    arena = Arena()
    arena.hypervisor.run(arena.hypervisor.now + 1)
    loaded, core = arena.hypervisor._loaded, arena.hypervisor.core
    assert loaded is not None
    arena.hypervisor.pend_serror(loaded)
    core._write_back()
    arena.look()
    loaded.serror = False
    with pytest.raises(Violation, match=f"HCR_EL2 is {HCR_GUEST | HCR_VSE:#x}"):
        arena.look()


# ── every exit ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_there_is_a_look_at_each_exit_of_every_kind() -> None:
    """But for letters, all that the trace has, and the returns at a horizon, which are nobody's exits."""
    arena = Arena()
    looks, look = 0, arena.look

    def counted() -> None:
        nonlocal looks
        looks += 1
        look()

    arena.look = counted  # type: ignore[assignment]
    first, before, letters = arena.hypervisor.trace.total, arena.exits, arena.letters.total()
    arena.run(generate(3, 2_000))
    rows = arena.hypervisor.trace.rows(first)
    exits = rows[rows["kind"] == Kind.EXIT]
    letters = arena.letters.total() - letters
    assert set(exits["detail"].tolist()) == {ExitCause.SYNC, ExitCause.IRQ}
    assert looks == arena.exits - before - letters >= len(exits) - letters > 500


def test_a_storm_of_exits_ends_a_boot_and_not_the_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.harness.STORM", 20)
    arena = Arena()
    for _ in range(20):
        arena.run(program(*[HVC] * 24))
    assert arena.endings == {"persona 'fuzz' stopped: a storm of exits": 20}
    assert arena.neighbour.persona.status == "running"


# ── letters ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def printed(letters: bool, *programs: Program) -> Arena:
    with pytest.MonkeyPatch.context() as patch:
        if not letters:
            patch.setattr(Letters, "offer", lambda *_what: None)
        arena = Arena()
        for each in programs:
            arena.run(each)
    return arena


def test_letters_are_answered_in_the_arena_and_nobody_can_tell() -> None:
    """Both guests' are, the trace says so, and it is the one that EL2 would have left: the neighbour's life above all."""
    programs = generate(5, 1_500), *[program(*[LOAD_FLAGS, STORE_LETTER] * 11)] * 30
    ours, theirs = printed(True, *programs), printed(False, *programs)
    assert ours.letters["fuzz"] > 600 and ours.letters["home"] > 300 and ours.neighbour.lives > 1
    rows = ours.hypervisor.trace.rows()
    exits = rows[(rows["kind"] == Kind.EXIT) & (rows["detail"] == ExitCause.SYNC)]
    assert np.count_nonzero(exits["host"] == 0) == ours.letters.total()
    assert not theirs.letters and ours.exits == theirs.exits
    assert ours.neighbour.alone == theirs.neighbour.alone and ours.neighbour.lives == theirs.neighbour.lives
    assert ours.hypervisor.trace.digest() == theirs.hypervisor.trace.digest()
