"""One of each diagram, on real runs; what tests of all of them go through."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from minivisor import Phone, guests
from minivisor.views import (
    ListRegisters,
    PageOwnership,
    PhoneView,
    RegisterExplorer,
    Scheduler,
    Timeline,
    TwoStageWalk,
    View,
    WorldSwitch,
)
from minivisor.views.code import elf_reader
from minivisor.views.phone import picture
from tests.trace.traces import real_run

__all__ = ["EXAMPLES", "crowded", "example"]

KERNEL = 0xFFFF_FF80_4020_2D80  # where the persona's kernel waits for interrupts


@cache
def crowded(list_registers: int = 1) -> Phone:
    """A persona that is at work on keys when its timer fires: two interrupts at once."""
    phone = Phone(list_registers=list_registers)
    for tick in (10_000_000, 20_000_000):  # somewhere in here it fires: a key every few microseconds meets it
        for at in range(tick, tick + 400_000, 4_000):
            phone.type("a", phone.personal, at=at)
    phone.run("30ms")
    return phone


@cache
def contended(slice: str = "100us") -> Phone:
    """Both personas busy with starting up."""
    phone = Phone(slice=slice, cost="kvm-arm-2016")
    phone.run("1ms")
    return phone


def frames() -> PhoneView:
    phone = Phone()
    shown = [picture(phone.run("100ms"), "switched on")]
    phone.type("hello")
    shown.append(picture(phone.run("100ms"), "typed hello"))
    phone.switch()
    return PhoneView([*shown, picture(phone.run("100ms"), "work was brought to the front")])


def owned() -> PageOwnership:
    """The personas' memory, and the hypervisor's own."""
    phone = crowded()
    ledger, base = phone.hypervisor.ledger, phone.machine.memory.base
    pages = ledger.count(ledger.names.index("hypervisor"))
    return PageOwnership(phone.trace, fixed=[(base, pages * 4096, "hypervisor")])


EXAMPLES: dict[str, Callable[[], View]] = {
    "timeline": lambda: Timeline(real_run(), code=elf_reader(guests.path("persona"))),
    "walk": lambda: TwoStageWalk([crowded().walk(KERNEL, kind="x"), crowded().walk(0x4008_0000)]),
    "lists": lambda: ListRegisters(crowded().trace),
    "scheduler": lambda: Scheduler(contended().trace),
    "world": lambda: WorldSwitch(contended().trace),
    "pages": owned,
    "register": lambda: RegisterExplorer("HCR_EL2", 0x8000_0001),
    "phone": frames,
}


@cache
def example(name: str) -> View:
    """A view that tests share: they do not move it."""
    return EXAMPLES[name]()
