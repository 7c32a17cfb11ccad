"""Rows `guest`, `guest-host`, `guest-qemu`, `guest-host-qemu`: a whole C workload under the whole hypervisor.

Ours has its MMU on (two stages, our walk), a clock, a timer, preemption every 10 ms and a console; time is virtual, or keeps
up with the host's. The first peer, bare Unicorn with the same object code, has none of it: no translation, one mapping that
is readable, writable and executable, no hooks. The second is QEMU's system emulator with the same image and its MMU on. All
must come to the same checksum.
"""

from __future__ import annotations

import re
from functools import partial

from minivisor import guests
from minivisor.bench import qemu
from minivisor.bench.hosted import Hosted
from minivisor.bench.pairs import Measured, Tell, around, timed
from minivisor.bench.peers import BareGuest

__all__ = ["HostedGuest", "against_bare", "against_qemu", "host", "host_qemu", "virtual", "virtual_qemu"]

ROUNDS = 26  # of the workload: the guest's own default
HALF = 10_000_000  # virtual ns in which half a round is done, nearly


class HostedGuest(Hosted):
    """bench.elf under the hypervisor, from its first instruction to its end."""

    def __init__(self, rounds: int, clock: str = "virtual") -> None:
        super().__init__(f"mixed {rounds}", clock=clock)
        self._half = rounds * HALF

    def first_half(self) -> None:
        self.hypervisor.run(self._half)

    def second_half(self) -> None:
        """And whatever is left, to the guest's own end."""
        self.hypervisor.run()

    @property
    def checksum(self) -> int:
        return _checksum(self.persona.console.decode())


def _checksum(console: str) -> int:
    found = re.search(r"checksum (0x[0-9a-f]+)", console)
    if found is None:
        raise RuntimeError(f"the bench guest reported no checksum; its console says {console[-200:]!r}")
    return int(found[1], 16)


def _instructions(work: int) -> tuple[int, int, Hosted]:
    """How many the workload has, by a run in virtual time; the checksum it comes to; the hypervisor that ran it."""
    ours = HostedGuest(work)
    ours.hypervisor.run()
    return ours.hypervisor.core.retired, ours.checksum, ours


def _same(checksum: int, expected: int, where: str) -> None:
    if checksum != expected:
        raise RuntimeError(f"guest: checksum {checksum:#x} {where}, {expected:#x} was expected")


def _detail(count: int, checksum: int, ours: Hosted) -> dict[str, object]:
    record = ours.hypervisor.core.record
    counters = {"tlb_fills": int(record.fills), "walks": int(record.walks)}
    return {"instructions": count, "checksum": f"{checksum:#x}", "exits": dict(ours.exits_by_class()), **counters}


def against_bare(clock: str, rounds: int, quick: bool, tell: Tell) -> Measured:
    """Pairs in million instructions a second, of one count for both: what a run in virtual time retires."""
    work, pairs = 1 if quick else ROUNDS, []
    count, checksum, ours = _instructions(work)
    for number in range(rounds):
        ours, bare = HostedGuest(work, clock), BareGuest(guests.path("bench-bare"), work)
        mine, other = around((ours.first_half, ours.second_half), bare.run)
        _same(ours.checksum, checksum, "here")
        _same(bare.checksum, checksum, "on bare Unicorn")
        pairs.append((count / mine / 1e6, count / other / 1e6))
        tell((number + 1) / rounds)
    return Measured(pairs, _detail(count, checksum, ours))


def against_qemu(clock: str, rounds: int, quick: bool, tell: Tell) -> Measured:
    """The same pairs with QEMU. Its process starts outside its time; who goes first alternates."""
    work, pairs = 1 if quick else ROUNDS, list[tuple[float, float | None]]()
    count, checksum, ours = _instructions(work)

    def mine() -> float:
        nonlocal ours
        ours = HostedGuest(work, clock)
        seconds = timed(ours.hypervisor.run)
        _same(ours.checksum, checksum, "here")
        return count / seconds / 1e6

    def other() -> float | None:
        if not qemu.installed():
            return None
        done = qemu.run(f"mixed {work}")
        _same(_checksum(done), checksum, f"on {qemu.NAME}")
        return count / done.nanoseconds * 1e3

    for number in range(rounds):
        first = other() if number % 2 else None
        value = mine()
        pairs.append((value, first if number % 2 else other()))
        tell((number + 1) / rounds)
    return Measured(pairs, _detail(count, checksum, ours), None if qemu.installed() else qemu.ABSENT)


virtual, host = partial(against_bare, "virtual"), partial(against_bare, "host")
virtual_qemu, host_qemu = partial(against_qemu, "virtual"), partial(against_qemu, "host")
