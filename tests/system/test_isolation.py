"""No guest reaches what is not its own: every region of its address space is tried, in every way it can try.

The `probe` guest takes a list of addresses and tries each one: by load, by store, by instruction fetch, as a descriptor of
its own stage-1 tables, and by AT. Beside it sits a second persona with known contents. What is not mapped must answer with
a synchronous external abort; what is mapped must be the probe's own; and the other persona's memory must not have changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import pytest

from minivisor import guests
from minivisor.arch.esr import ESR_EL1
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import RAM, Persona, PersonaSettings
from minivisor.hypervisor.scheduler import RoundRobin
from minivisor.machine.board import Machine
from minivisor.platform.image import load_image

READ, WRITE, FETCH, WALK, TRANSLATE = range(5)
KINDS = ("read", "write", "fetch", "walk", "AT")
MAILBOX, FIRST = 0x4010_0000, 0x20
BATCH = 4096
GIB, MIB2, PAGE = 1 << 30, 1 << 21, 1 << 12
TABLE_SPACE = 1 << 36  # what the probe's TCR_EL1.IPS lets a descriptor name; above is an address size fault of its own
DEVICES = ((0x0800_0000, 0x1000), (0x0801_0000, 0x2000), (0x0900_0000, 0x1000), (0x0901_0000, 0x1000), (0x0A00_0000, 0x4000))
EC_INSTRUCTION_ABORT, EC_DATA_ABORT = 0x21, 0x25
EXTERNAL_ABORT = 0x10
SECRET = 0xC0FFEE


def regions() -> list[int]:
    """The first byte, the last word and both sides of every boundary of each region that stage 2 can tell apart.

    Level 0: all 32 of the core's 44-bit space. Level 1: all 512. Level 2: all of the two GiB that have tables, devices and
    RAM, and the first and last of every other GiB.
    """
    starts = {number << 39 for number in range(1, 32)}
    starts |= {number * GIB for number in range(512)}
    starts |= {number * MIB2 for number in range(1024)}
    starts |= {number * GIB + GIB - MIB2 for number in range(512)}
    starts |= {base + size for base, size in DEVICES} | {base for base, _ in DEVICES}
    addresses = {start + offset for start in starts for offset in (-4, 0, MIB2 - 4) if start + offset >= 0}
    return sorted(addresses)


def is_mapped(address: int, memory: int) -> bool:
    """What the virtual platform says is there."""
    return RAM <= address < RAM + memory or any(base <= address < base + size for base, size in DEVICES)


def machine(mmu: str) -> tuple[Hypervisor, Persona, Persona]:
    """A probe and a victim on one machine; the victim is asleep, its memory full of a pattern."""
    hypervisor = Hypervisor(Machine("a", mmu), scheduler=RoundRobin(1_000_000))
    small = PersonaSettings("probe", memory=8 << 20)
    probe = hypervisor.add(small, load_image(guests.path("probe"), RAM, small.memory))
    other = PersonaSettings("other", memory=8 << 20)
    victim = hypervisor.add(other, load_image(guests.path("hello"), RAM, other.memory))
    victim.power_off()
    victim.span(RAM, other.memory).view(np.uint64)[:] = SECRET
    return hypervisor, probe, victim


def attempts(memory: int) -> list[tuple[int, int]]:
    """(address, kind) of everything to try: unmapped addresses in all five ways, devices by read alone."""
    tries = []
    for address in regions():
        if not is_mapped(address, memory):
            tries += [(address, kind) for kind in (READ, WRITE, FETCH)]
            if address < TABLE_SPACE and address % PAGE == 0:
                tries += [(address, kind) for kind in (WALK, TRANSLATE)]
        elif address >= RAM:
            tries.append((address, READ))
    return tries


def outcomes(hypervisor: Hypervisor, probe: Persona, tries: list[tuple[int, int]]) -> Iterator[tuple[int, int, int, int]]:
    """Run the probe over all attempts in batches of a mailbox; yields (address, kind, esr, detail)."""
    for first in range(0, len(tries), BATCH):
        batch = tries[first : first + BATCH]
        hypervisor.start(probe)
        mailbox = probe.span(MAILBOX, FIRST + 32 * len(batch)).view(np.uint64)
        mailbox[0] = len(batch)
        entries = mailbox[FIRST // 8 :].reshape(-1, 4)
        entries[:, :2] = np.array(batch, np.uint64)
        hypervisor.run(hypervisor.now + 1_000_000_000)
        assert probe.report == "" and probe.status == "off", probe.report
        assert int(mailbox[1]) == len(batch), "the probe did not come back from one of its attempts"
        yield from (tuple(int(value) for value in entry) for entry in entries)


@pytest.mark.parametrize("mmu", ["minivisor", "unicorn"])
def test_nothing_outside_its_own_answers(mmu: str) -> None:
    hypervisor, probe, victim = machine(mmu)
    before = hashlib.blake2b(victim.span(RAM, victim.settings.memory)).hexdigest()
    elsewhere = hashlib.blake2b(_everything_but(hypervisor, probe)).hexdigest()
    tries = attempts(probe.settings.memory)
    assert len(tries) > 6_000
    seen = dict.fromkeys(range(5), 0)
    for address, kind, esr, detail in outcomes(hypervisor, probe, tries):
        what = f"{KINDS[kind]} of {address:#x}: ESR_EL1 {esr:#x}, detail {detail:#x}"
        if is_mapped(address, probe.settings.memory):
            assert esr == 0 and detail != SECRET, what
            continue
        seen[kind] += 1
        decoded = ESR_EL1(esr)
        assert decoded.EC == (EC_INSTRUCTION_ABORT if kind == FETCH else EC_DATA_ABORT), what
        assert decoded.ISS & 0x3F == EXTERNAL_ABORT, what
        assert kind in (WALK, TRANSLATE) or detail == address, what
    assert all(seen.values()), seen
    assert hashlib.blake2b(victim.span(RAM, victim.settings.memory)).hexdigest() == before
    assert hashlib.blake2b(_everything_but(hypervisor, probe)).hexdigest() == elsewhere


def _everything_but(hypervisor: Hypervisor, persona: Persona) -> bytes:
    """The machine's whole RAM but the persona's own, and but the table pages the hypervisor made for it."""
    memory = hypervisor.machine.memory
    start = persona.pa - memory.base
    return bytes(memory.bytes[persona.tables.root - memory.base + (64 << 12) : start]) + bytes(
        memory.bytes[start + persona.settings.memory : start + persona.settings.memory + (16 << 20)]
    )


def test_the_probe_would_notice_a_hole() -> None:
    """The check can fail: with one page of the victim mapped into the probe, the probe reads the secret."""
    hypervisor, probe, victim = machine("minivisor")
    hole = 0x8000_0000
    probe.stage2._check = lambda _pa, _size, _prot: None
    probe.stage2.map(hole, victim.pa, PAGE, "rw")
    ((_address, _kind, esr, detail),) = outcomes(hypervisor, probe, [(hole, READ)])
    assert (esr, detail) == (0, SECRET)


def test_ownership_refuses_the_hole() -> None:
    """Through the front door the same mapping is refused before a descriptor is written."""
    from minivisor.hypervisor.ownership import OwnershipError

    _hypervisor, probe, victim = machine("minivisor")
    with pytest.raises(OwnershipError, match="belongs to other"):
        probe.stage2.map(0x8000_0000, victim.pa, PAGE, "rw")
