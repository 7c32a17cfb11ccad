"""The rows as data. A new row is an entry here and a function that measures it.

The bars are promises of the design: they are not chosen after the fact, and a row that misses its bar says so. What a number
may claim, and what it may not, belongs to the row as much as its peer does: docs/numbers.md prints both.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from minivisor.bench.pairs import Measured, Tell
from minivisor.errors import OptionError, fault

__all__ = ["ROWS", "Bar", "Measure", "Row", "chosen"]

Measure = Callable[[int, bool, Tell], Measured]
"""(rounds, quick, tell) -> pairs."""


@dataclass(frozen=True, slots=True)
class Bar:
    """What must hold: of the median ratio to the peer, of the median value itself, or of the exits for one operation."""

    of: Literal["ratio", "value", "exits"]
    relation: Literal["≥", "≤"]
    limit: float

    def holds(self, number: float) -> bool:
        return number >= self.limit if self.relation == "≥" else number <= self.limit

    def __str__(self) -> str:
        return f"{self.relation} {self.limit:g}" + {"ratio": "×", "value": "", "exits": " exits"}[self.of]


@dataclass(frozen=True, slots=True)
class Row:
    """unit: of value and peer. peer: its name. measure: "module:function" in this package. rounds: pairs, unless told.

    may, may_not: what the number says, and what it must not be taken to say. isolated: measured in a child process, so that
    nothing of the caller's is in its time or its memory. guests: do guests run in it, so that a cost model and an MMU engine
    belong to the result?
    """

    name: str
    title: str
    unit: str
    peer: str
    bar: Bar | None
    measure: str
    rounds: int
    may: str
    may_not: str
    isolated: bool = True
    guests: bool = True

    def load(self) -> Measure:
        module, function = self.measure.split(":")
        found: Measure = getattr(importlib.import_module(f"minivisor.bench.{module}"), function)
        return found


BARE = "bare Unicorn: one RWX mapping, no hooks, MMU off"
QEMU = "qemu-system-aarch64, its clock"
SAME_ON_QEMU = "the same guest on qemu-system-aarch64, without a hypervisor"
AN_OPERATION = "what one of these costs the host of the hypervisor, and how many exits and bytes of registers it takes"
NOT_THE_GUEST = (
    "what it costs a guest: that is the cost model's to say. QEMU has no EL2 here, so the ratio is the price"
)


ROWS = {
    row.name: row
    for row in (
        Row(
            "guest",
            "544 million mixed instructions of C under the hypervisor, in virtual time",
            "MIPS",
            BARE,
            Bar("ratio", "≥", 1.8),
            "guest:virtual",
            rounds=5,
            may="that a guest under this hypervisor is faster than the plain use of its engine. The reason is dull: an entry "
            "that is writable and executable puts every store on Unicorn's slow path, and ours never are both (W^X)",
            may_not="to be faster than Unicorn can be made to be",
        ),
        Row(
            "guest-host",
            "the same with the host's clock",
            "MIPS",
            BARE,
            Bar("ratio", "≥", 2.5),
            "guest:host",
            rounds=5,
            may="what counting instructions costs: here nobody counts, and another thread stops the guest when its time is up",
            may_not="to be reproducible; such a run is not, and its trace says so",
        ),
        Row(
            "guest-qemu",
            "the same in virtual time, against another emulator",
            "MIPS",
            QEMU,
            Bar("ratio", "≥", 0.45),
            "guest:virtual_qemu",
            rounds=7,
            may="how far a hypervisor in Python over Unicorn is from an emulator written for speed, in this mix",
            may_not="anything about QEMU with a hypervisor inside it, or about its `-icount`, which counts as we do",
        ),
        Row(
            "guest-host-qemu",
            "the same with the host's clock, against another emulator",
            "MIPS",
            QEMU,
            Bar("ratio", "≥", 0.7),
            "guest:host_qemu",
            rounds=7,
            may="the same as `guest-qemu`, with nothing counted on either side; what is left is mostly floating point, where "
            "Unicorn's build calls the C library three times for an addition",
            may_not="the same; and a guest that makes many exits is another matter (`exit`)",
        ),
        Row(
            "exit",
            "HVC to a Python handler and back",
            "µs",
            "bare Unicorn: Python interrupt hook, stop, restart",
            Bar("ratio", "≤", 3.0),
            "exits:measure",
            rounds=25,
            may="what an exit costs the host: taken, decoded, handled by a Python function of the seam, recorded, answered",
            may_not="what it costs a guest; that is the cost model's, in virtual time. The peer decodes nothing and keeps "
            "neither time nor a record",
        ),
        Row(
            "svc",
            "SVC from EL0 to EL1 and back, which never reaches EL2",
            "calls/s",
            "bare Unicorn: a Python interrupt hook that enters EL1 with reg_write",
            Bar("ratio", "≥", 20.0),
            "svc:measure",
            rounds=15,
            may="that an exception which is the guest's own affair stays in compiled code",
            may_not="that Unicorn itself is so slow: a hook in C would be as fast as ours",
        ),
        Row(
            "tlb",
            "a TLB miss through both stages, and the load behind it",
            "ns",
            "the same guest and hypervisor on Unicorn's own MMU",
            Bar("ratio", "≤", 2.0),
            "tlb:measure",
            rounds=15,
            may="what it costs that the walk which students read is the one that runs, with an architectural TLB behind it",
            may_not="the cost of a walk alone: most of the time is the engine's own filling of its TLB, which both sides pay",
        ),
        Row(
            "walk",
            "walks through both stages in a batch, on one core",
            "M/s",
            "the same walk, walk cache included, in plain C, -O3, on one core",
            Bar("ratio", "≥", 0.8),
            "walks:against_c",
            rounds=15,
            may="that Numba makes of the source which one can step through something like what a C compiler makes of C",
            may_not="that C could not be written faster; `walk.c` is straightforward. Random pages of 64 MiB: a walk "
            "cache answers for all but the last level, as it would for a sweep, and never in a space of terabytes",
        ),
        Row(
            "walk-naive",
            "walks through both stages in a batch, on all cores",
            "M/s",
            "the naive oracle of the tests, in Python",
            Bar("ratio", "≥", 1000.0),
            "walks:against_python",
            rounds=9,
            may="what compiling, all cores and a walk cache are worth against Python that was written to be obvious",
            may_not="what the same source costs uncompiled: the oracle is other source, with an exception for each fault",
        ),
        Row(
            "eoi",
            "the spurious id to GICC_EOIR",
            "µs",
            SAME_ON_QEMU,
            Bar("exits", "≤", 0.0),
            "operations:eoi",
            rounds=7,
            may="that a guest reaches its CPU interface without the hypervisor, as on hardware with a virtual one",
            may_not="the cost of completing a real interrupt: that is a part of `timer` and `ipi`",
        ),
        Row(
            "mmio_read_vgic",
            "a load from the virtual distributor",
            "µs",
            SAME_ON_QEMU,
            None,
            "operations:mmio_read_vgic",
            rounds=7,
            may=AN_OPERATION,
            may_not=f"{NOT_THE_GUEST} of a stage-2 abort and of a distributor in Python together",
        ),
        Row(
            "mmio_read_user",
            "a load from a virtual device, the PL031",
            "µs",
            SAME_ON_QEMU,
            None,
            "operations:mmio_read_user",
            rounds=7,
            may=AN_OPERATION,
            may_not=f"{NOT_THE_GUEST} of a stage-2 abort and of a device in Python together",
        ),
        Row(
            "timer",
            "the virtual timer armed, waited for in WFI, taken and completed",
            "µs",
            SAME_ON_QEMU,
            None,
            "operations:timer",
            rounds=7,
            may=f"{AN_OPERATION}. The microsecond that the timer is armed for passes at once here, and is taken off the peer's",
            may_not="the precision of a timer: in virtual time it is exact, and the peer is woken by the host's scheduler",
        ),
        Row(
            "ipi",
            "an SGI to the other vCPU, which sleeps in WFI",
            "µs",
            f"{SAME_ON_QEMU}, two CPUs",
            None,
            "operations:ipi",
            rounds=7,
            may=f"{AN_OPERATION}. Two vCPUs share one core, so there is a world switch in each",
            may_not="the latency between cores: the peer's CPUs are two threads of the host, ours are one after the other",
        ),
        Row(
            "switch",
            "world switch between two vCPUs, beyond what the slice costs anyway",
            "µs",
            "bare Unicorn: context_update and context_restore",
            None,
            "switch:measure",
            rounds=25,
            may="what it costs that the next slice is another vCPU's: registers out and in, the other VMID, the engine's "
            "translations dropped and filled again. Slices are 10 µs of virtual time, far shorter than any scheduler's",
            may_not="how fast a switch could be: registers go by name through `stages.py`, so that a student can replace "
            "`save` and `load`; the peer copies its bytes without looking and has no second guest to keep out",
        ),
        Row(
            "trace",
            "an exit with its record, in a guest that does nothing else",
            "µs",
            "the same with a trace that keeps nothing",
            Bar("ratio", "≤", 1.3),
            "recording:measure",
            rounds=25,
            may="what recording costs at most: one record for each HVC, hashed and kept",
            may_not="the size of a trace; 80 bytes a record, and the oldest are forgotten after half a million",
        ),
        Row(
            "linux",
            "Debian's arm64 Linux, from the start of the process to its shell",
            "s",
            "qemu-system-aarch64, TCG, the same kernel and initrd",
            Bar("ratio", "≤", 2.5),
            "linux:against_qemu",
            rounds=3,
            may="what the hypervisor and the deterministic clock cost a whole operating system that starts, "
            "beside an emulator without either",
            may_not="anything about a Linux that runs on: starting is mostly new code, which both must translate "
            "first",
        ),
        Row(
            "linux-host",
            "the same with time by the host's clock",
            "s",
            "qemu-system-aarch64, TCG, the same kernel and initrd",
            Bar("ratio", "≤", 2.0),
            "linux:by_the_hosts_clock",
            rounds=3,
            may="the same where nothing is counted, as in a terminal",
            may_not="anything about a Linux that runs on; nor that two runs are alike",
        ),
        Row(
            "linux-smp",
            "the same on two vCPUs",
            "s",
            "the same on one",
            Bar("ratio", "≤", 2.5),
            "linux:against_one",
            rounds=3,
            may="what time-slicing two vCPUs of one guest on one core costs it while they wait for each other",
            may_not="that a second vCPU makes anything quicker: there is one core",
        ),
        Row(
            "linux-idle",
            "its shell, while nobody types, by the host's clock",
            "% of a core",
            "qemu-system-aarch64, TCG, the same kernel and initrd",
            Bar("value", "≤", 5.0),
            "linux:idle",
            rounds=1,
            may="what a guest with nothing to do takes from a laptop's battery",
            may_not="a difference of less than half a percent: the system counts a process's time in steps of 10 ms",
        ),
        Row(
            "start-warm",
            "process start to the first frame, hot loops compiled before",
            "s",
            "process start and import of numpy, llvmlite.binding and unicorn",
            Bar("value", "≤", 3.0),
            "start:warm",
            rounds=5,
            may="how long one waits for the home screen of the persona in front, after an earlier start",
            may_not="the first start after an installation or an edit of a hot source: that is `start-cold`",
            isolated=False,
        ),
        Row(
            "start-cold",
            "the same with an empty cache of compiled code",
            "s",
            "the same, warm",
            Bar("value", "≤", 30.0),
            "start:cold",
            rounds=1,
            may="how long the first start takes; `minivisor warm` does this ahead of time",
            may_not="the same on a busy machine: compiling is two processors' work, and `cpu_seconds` says how much",
            isolated=False,
        ),
        Row(
            "help",
            "minivisor --help",
            "s",
            "process start and import of click",
            Bar("value", "≤", 0.3),
            "start:usage",
            rounds=9,
            may="that a question about the command does not wait for Numba",
            may_not="anything about a command that does something",
            isolated=False,
            guests=False,
        ),
        Row(
            "memory",
            "peak resident memory of one second with two personas of 64 MiB",
            "MB",
            "process with numpy, llvmlite.binding and unicorn imported",
            Bar("value", "≤", 400.0),
            "start:memory",
            rounds=1,
            may="what a phone takes (10⁶ bytes), after an earlier start compiled everything",
            may_not="the same of guests that fill their 64 MiB: RAM that no guest touched is not resident",
            isolated=False,
        ),
    )
}


def chosen(names: tuple[str, ...]) -> list[Row]:
    """The rows of these names, all when there are none. Raises OptionError for a name that is not there."""
    for name in names:
        if name not in ROWS:
            raise OptionError(fault("bench row", name, f"one of {', '.join(ROWS)}", "docs/numbers.md"))
    return [row for name, row in ROWS.items() if not names or name in names]
