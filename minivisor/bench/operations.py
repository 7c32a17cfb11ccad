"""Rows `eoi`, `mmio_read_vgic`, `mmio_read_user`, `timer`, `ipi`: what one operation of a guest costs.

The names are those of kvm-unit-tests' micro-bench, and so is what is done (guest-kernels/bench/operations.c). Time is the
host's, in steady state; exits and state bytes are counted over the same stretch. The peer runs the same guest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from minivisor.bench import qemu
from minivisor.bench.hosted import ENDLESS, Hosted
from minivisor.bench.pairs import Measured, Tell, interleave

__all__ = ["OPERATIONS", "Operation", "eoi", "ipi", "measure", "mmio_read_user", "mmio_read_vgic", "timer"]


@dataclass(frozen=True, slots=True)
class Operation:
    """batch: virtual ns of one sample of ours. turns: of one run of the peer. waited: ns that each waits on purpose."""

    batch: int
    turns: int
    cpus: int = 1
    waited: int = 0


OPERATIONS = {
    "eoi": Operation(4_000_000, 500_000),
    "mmio_read_vgic": Operation(40_000, 500_000),
    "mmio_read_user": Operation(40_000, 500_000),
    "timer": Operation(4_000_000, 2_000, waited=1_000),
    "ipi": Operation(400_000, 4_000, cpus=2),
}


def measure(name: str, rounds: int, quick: bool, tell: Tell) -> Measured:
    """Pairs in µs an operation."""
    operation = OPERATIONS[name]
    ours, shorter = Hosted(f"{name} {ENDLESS}", operation.cpus), 10 if quick else 1
    ours.boot()
    before, since = ours.counts(), ours.hypervisor.trace.total

    def mine() -> float:
        done = ours.operations
        seconds = ours.advance(operation.batch // shorter)
        if ours.operations == done:
            raise RuntimeError(f"{name}: the bench guest did nothing in {operation.batch // shorter} ns")
        return seconds / (ours.operations - done) * 1e6

    def other() -> float:
        turns = operation.turns // shorter
        return (qemu.run(f"{name} {turns}", operation.cpus).nanoseconds / turns - operation.waited) / 1e3

    mine()
    if qemu.installed():
        measured = Measured(interleave(mine, other, rounds, tell))
    else:
        measured = Measured([(mine(), None) for _ in range(rounds)], not_run=qemu.ABSENT)
    after = ours.counts()
    count = after.operations - before.operations
    by_class = ours.exits_by_class(since)
    measured.detail = {
        "operations": count,
        "exits_an_operation": round(by_class.total() / count, 4),
        "state_bytes_an_operation": round((after.state_bytes - before.state_bytes) / count, 1),
        "exits": dict(by_class),
    }
    return measured


eoi, mmio_read_vgic, mmio_read_user, timer, ipi = (partial(measure, name) for name in OPERATIONS)
