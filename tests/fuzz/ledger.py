"""Every interrupt accounted for: none lost and none doubled between the distributor and the list registers.

Before the guest runs each pending reason (a latched edge, a sender of an SGI) either moves into a list register or stays.
The hardware then takes it, or does not, in steps that IHI 0048B, 3.2.4 allows. Afterwards it must be where those
steps left it, exactly once, and whatever was not listed must be as it was:

    listed      after the guest     the reason     active
    pending     pending             back           no
    pending     active              gone           yes
    pending     empty               gone           no       acknowledged and completed
    active      active, empty       as it was      yes, no
    both        pending             back           no       the first was completed
    both        active              gone           yes      and the second acknowledged
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any

from minivisor.hypervisor.vgic import Vgic
from minivisor.platform.interrupts import INTERRUPTS, Interrupt
from minivisor.stages import Irq, ListRegister
from tests.fuzz.neighbour import Violation

__all__ = ["Ledger", "watch_flush", "watch_fold"]

PENDING, ACTIVE = 1, 2
FIELDS = attrgetter(*Interrupt.__slots__)
STEPS = {0: {0}, 1: {0, 1, 2}, 2: {0, 2}, 3: {0, 1, 2, 3}}


class Ledger:
    """Stands between a persona's `Vgic` and those who call it, and keeps books. entries: world entries it has closed."""

    def __init__(self, vgic: Vgic) -> None:
        self.vgic, self.entries = vgic, 0
        self._enter, self._leave = vgic.enter, vgic.leave
        self._all = [[one for one in (vgic.interrupt(n, cpu) for n in range(INTERRUPTS)) if one] for cpu in range(vgic.cpus)]
        self._open: dict[int, tuple[dict[int, Interrupt], Sequence[ListRegister], Sequence[Irq]]] = {}
        vgic.enter, vgic.leave = self.enter, self.leave  # type: ignore[method-assign]

    def _alive(self, cpu: int) -> list[Interrupt]:
        """All that are pending or active, of all that there are. `Interrupt.pending` is written out: each exit comes here."""
        return [one for one in self._all[cpu] if one.latch or one.senders or one.active or (one.line and not one.edge)]

    def _state(self, cpu: int) -> dict[int, Interrupt]:
        return {one.intid: Interrupt(*FIELDS(one)) for one in self._alive(cpu)}

    def look(self) -> None:
        """Of each vCPU that the guest did not run with list registers: that its own list of interrupts leaves nothing out.

        That list is what decides if `enter` is called at all, which would compare it with all that there are itself.
        """
        for cpu in range(self.vgic.cpus):
            if cpu not in self._open:
                known = self.vgic._busy[cpu].keys() | self.vgic._busy[self.vgic.cpus].keys()
                left_out = [one.intid for one in self._alive(cpu) if one.intid not in known]
                if left_out:
                    raise Violation(f"ledger: interrupts {left_out} of vCPU {cpu} are pending or active, and on no list")

    def enter(self, cpu: int, count: int, groups: int = 0b11) -> Any:
        before = self._state(cpu)
        registers, spilled = self._enter(cpu, count, groups)
        self._open[cpu] = before, registers, spilled
        given = [register.intid for register in registers if register.state] + [irq.intid for irq in spilled]
        expected = sorted(one.intid for one in before.values() if self._wanted(one, cpu, groups))
        if sorted(given) != expected:
            raise Violation(f"ledger: vCPU {cpu} wants {expected} and was given {given}")
        return registers, spilled

    def _wanted(self, one: Interrupt, cpu: int, groups: int) -> bool:
        if one.active:
            return one.intid < 32 or one.holder == cpu
        mine = one.intid < 32 or one.targets & (1 << self.vgic.cpus) - 1 == 1 << cpu
        return mine and one.enabled and bool(self.vgic.enabled & groups & 1 << one.group)

    def leave(self, cpu: int, registers: Sequence[ListRegister], completed_outside: int = 0) -> None:
        before, listed, spilled = self._open.pop(cpu)
        outside = sorted((irq for irq in spilled if irq.active), key=lambda irq: irq.priority)
        self._leave(cpu, registers, completed_outside)
        expected = dict(before)
        for irq in outside[:completed_outside]:  # more are EOIs of what was deactivated by GICD_ICACTIVER before
            expected[irq.intid] = replace(expected[irq.intid], active=False)
        for was, now in zip(listed, registers, strict=True):
            _check_step(was, now)
            if was.state:
                expected[was.intid] = _after(before[was.intid], was, now)
        self._compare(cpu, expected)
        self.entries += 1

    def _compare(self, cpu: int, expected: dict[int, Interrupt]) -> None:
        found = self._state(cpu)
        for intid in sorted(found | expected):
            one = self.vgic.interrupt(intid, cpu)
            is_, must = _books(one), _books(expected.get(intid))
            if is_ != must and (intid in expected or intid in found):
                raise Violation(f"ledger: interrupt {intid} of vCPU {cpu} is {is_} after the guest ran, and must be {must}")


def _books(one: Interrupt | None) -> tuple[object, ...] | None:
    if one is None:
        return None
    return one.latch, one.senders, one.line, one.active, one.sender if one.active else 0


def _after(before: Interrupt, was: ListRegister, now: ListRegister) -> Interrupt:
    """The row of the table above."""
    active = bool(now.state & ACTIVE)
    changed = replace(before, active=active, sender=now.source if active else before.sender)
    if was.state & PENDING and not now.state & PENDING:
        return replace(changed, latch=False, senders=before.senders & ~(1 << was.source))
    return changed


def _check_step(was: ListRegister, now: ListRegister) -> None:
    """Only the hardware touched the list register meanwhile."""
    same = not was.state or (was.intid, was.priority, was.physical) == (now.intid, now.priority, now.physical)
    if now.state not in STEPS[was.state] or (now.state and not same):
        raise Violation(f"ledger: a list register went from {was} to {now}")


# ── the replaceable parts ────────────────────────────────────────────────────────────────────────────────────────────


def watch_flush(flush: Callable[..., Any]) -> Callable[..., Any]:
    """What flush is given comes out once: in a list register or spilled."""

    def watched(pending: Sequence[Irq], registers: Sequence[ListRegister]) -> Any:
        listed, spilled = flush(pending, registers)
        after = sorted([register.intid for register in listed if register.state] + [irq.intid for irq in spilled])
        if after != sorted({irq.intid for irq in pending}):
            raise Violation(f"flush was given {[irq.intid for irq in pending]} and put away {after}")
        return listed, spilled

    return watched


def watch_fold(fold: Callable[..., Any]) -> Callable[..., Any]:
    """What fold is given comes out once: completed or still there."""

    def watched(registers: Sequence[ListRegister]) -> Any:
        completed, pending = fold(registers)
        alive = sorted(register.intid for register in registers if register.state)
        both = set(completed) & set(alive) - {0}  # an empty list register looks like a completed SGI 0
        if sorted(irq.intid for irq in pending) != alive or both:
            raise Violation(f"fold was given {registers} and returned {completed}, {pending}")
        return completed, pending

    return watched
