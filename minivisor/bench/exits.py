"""Row `exit`: HVC, decode, a Python handler, the trace, and back into the guest; in steady state.

The guest asks for a function that no hypervisor has, so each call is one exit, one handler and one answer in X0. The
peer is the least that a Python user of the engine can do: a callback that stops it, a look at PC, a restart. It decodes
nothing, writes no register, keeps no time and no record.
"""

from __future__ import annotations

from minivisor.bench.hosted import Hosted
from minivisor.bench.pairs import Measured, Tell, interleave, timed
from minivisor.bench.peers import BareExits

__all__ = ["measure"]

BATCH, QUICK_BATCH = 2_000, 200  # exits in one half of a pair: some 30 ms
TURNS = 10_000_000  # calls the guest would make: far more than are measured
SAMPLE = 20_000  # virtual ns, to see how many instructions there are to an exit


def measure(rounds: int, quick: bool, tell: Tell) -> Measured:
    """Pairs in µs an exit."""
    batch = QUICK_BATCH if quick else BATCH
    ours, bare = Hosted(f"hvc {TURNS}"), BareExits()
    ours.boot()
    trace, core = ours.hypervisor.trace, ours.hypervisor.core
    bare.run(batch)
    before, retired = ours.exits(), core.retired
    ours.advance(SAMPLE)
    insns = (core.retired - retired) / (ours.exits() - before)

    def mine() -> float:
        before = trace.total  # nearly every record of this guest is an exit
        seconds = ours.advance(round(batch * insns))
        return seconds / (trace.total - before) * 1e6

    first, started = trace.total, ours.counts()
    pairs = interleave(mine, lambda: timed(lambda: bare.run(batch)) / batch * 1e6, rounds, tell)
    taken, moved = ours.exits_by_class(first), ours.counts().state_bytes - started.state_bytes
    if bare.taken < batch * rounds:
        raise RuntimeError("exit: the peer's hook was not called for each of its exits")
    calls = taken["HVC"]
    state = round(moved / calls, 1)
    detail = {"exits": taken.total(), "instructions_an_exit": round(insns, 2), "state_bytes_an_operation": state}
    return Measured(pairs, {"operations": calls, "exits_an_operation": round(taken.total() / calls, 4), **detail})
