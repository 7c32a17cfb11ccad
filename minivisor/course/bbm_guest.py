"""Break before make in a guest's own tables: its kernel is held to the same rules as the hypervisor (`bbm.py`).

The log is a `TableLog`'s: tables as walks find them, the guest's stores to them, its TLBIs. A core may walk ahead of what a
program needs, so every valid entry of a table that is in use counts as cached, read or not. What differs from stage 2:

    TLBI      VAE1 one address of one ASID · VAAE1 of every · VALE1, VAALE1 leaves, and no tables · ASIDE1 · VMALLE1
    ASID      a translation with nG belongs to one; global ones and TTBR1's tables go with any
    AF        an entry whose access flag is clear is in no TLB: it may be made young without a break
    relaxing  more rights than before need no TLBI: who still holds the old ones faults, and tries again

    DSB       one for stores between the store and the TLBI, one for all accesses between the TLBI and the next descriptor
    others    a TLBI without IS is for the CPU that executes it; who else has used the tables may hold what was in them

Judged are stores to tables that TTBR0 or TTBR1 leads to at that moment, with the ASID they were walked with, so a freed table
may become anything. An ASID that nobody has used since may be forgotten at any later time. Not judged: an
ISB; the order between a store of one CPU and the TLBI of another, which need more than a DSB; a DSB in code that cannot be
read; whether the CPU that shares a table by another root has used it.

Source: DDI 0487, D8.16 "TLB maintenance", D8.16.1 "Using break-before-make when updating translation table entries".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from minivisor.course.bbm import SOFTWARE, VALID, Entry, Replay, Violation, violations
from minivisor.machine.table_log import BarrierEvent, TableEvent, TableLog, TlbiEvent, UseEvent, WriteEvent

if TYPE_CHECKING:
    from minivisor.hypervisor.hypervisor import Hypervisor

__all__ = ["check", "guest_violations", "report"]

PAGE = 4096
AP_EL0, AP_READ_ONLY, ACCESS_FLAG, NOT_GLOBAL = 1 << 6, 1 << 7, 1 << 10, 1 << 11
NEVER_EXECUTE = 0b11 << 53
HIERARCHICAL = 0b11111 << 59
DIRTY_BIT_MODIFIER = 1 << 51
WITHOUT_BREAK = AP_EL0 | AP_READ_ONLY | ACCESS_FLAG | NEVER_EXECUTE | DIRTY_BIT_MODIFIER | SOFTWARE
STORES, ALL_ACCESSES, NON_SHAREABLE = 0b10, 0b11, 0b01  # DSB's CRm: bits 1:0, bits 3:2
LAST_LEVEL_FORMS, ALL, ASID_ALL, ANY_ASID = (5, 7), 0, 2, (3, 7)


@dataclass
class Broken:
    """A descriptor that is on its way out. cpu, pc: of the store. holders: CPUs that have not been told to forget it.

    ordered: a DSB has followed the store. hasty: the PC of a TLBI that came before. local: that of one for its own CPU alone.
    tlbi: what told the last holder.
    """

    entry: Entry
    cpu: int
    pc: int
    holders: set[int]
    ordered: bool = False
    hasty: int | None = None
    local: int | None = None
    tlbi: TlbiEvent | None = None


@dataclass
class GuestReplay(Replay):
    """One VMID's stage-1 tables; a guest knows them by IPA. ipas: of each place its IPA. roots: the BADDR that it hangs from.
    before: what memory said when the log began. users: the CPUs that have used the tables of a root. broken: by slot.
    since: the event at which a slot became stale; used: the last event at which an ASID came into use, current: by CPU."""

    stage: int = 1
    roots: dict[int, int] = field(default_factory=dict)
    ipas: dict[int, int] = field(default_factory=dict)
    before: Callable[[int], int] = lambda _slot: 0
    users: dict[int, set[int]] = field(default_factory=dict)
    broken: dict[int, Broken] = field(default_factory=dict)
    since: dict[int, int] = field(default_factory=dict)
    used: dict[int, int] = field(default_factory=dict)
    current: dict[int, int] = field(default_factory=dict)
    number: int = 0

    def child(self, entry: Entry) -> int | None:
        """The PA of the table that an entry leads to, where a walk has been there."""
        return next((page for page, ipa in self.ipas.items() if ipa == entry.leads_to), None)

    def name(self, table: int) -> int:
        """The IPA."""
        return self.ipas[table]

    def word(self, slot: int) -> int:
        """What a slot says now."""
        return self.words[slot] if slot in self.words else self.before(slot)

    def entry(self, slot: int, word: int) -> Entry:
        """A descriptor of a table that a walk can reach; global leaves belong to no ASID."""
        entry = super().entry(slot, word)
        leaf_for_all = entry.leads_to is None and word & VALID and not word & NOT_GLOBAL
        return Entry(entry.slot, entry.level, entry.start, word, None) if leaf_for_all else entry

    def needs_break(self, old: Entry, new: int) -> bool:
        """Size, output address, memory type, shareability, nG and the contiguous hint do; permissions and AF do not."""
        harmless = HIERARCHICAL | SOFTWARE if old.leads_to is not None else WITHOUT_BREAK
        return bool((old.word ^ new) & ~harmless)

    def needs_tlbi(self, old: Entry, new: int) -> bool:
        """Unless only rights were added."""
        if self.needs_break(old, new) or not new & VALID:
            return True
        taken = old.word & ~new & (AP_EL0 | ACCESS_FLAG)
        given_up = new & ~old.word & (AP_READ_ONLY | NEVER_EXECUTE | HIERARCHICAL * (old.leads_to is not None))
        return bool(taken | given_up)

    def link(self, table: int, parent: Entry) -> None:
        """Nothing: a table is known from the first walk that reads it (`found_table`)."""

    def found_table(self, event: TableEvent) -> None:
        """A walk has read a descriptor of this page."""
        page, upper = event.table & -PAGE, event.va >> 63
        self.places[page] = event.level, event.va - event.table % PAGE // 8 * _span(event.level), None if upper else event.asid
        self.roots[page], self.ipas[page] = event.root, event.ipa & -PAGE

    def store(self, number: int, event: WriteEvent) -> None:
        """A store to a page that was a table once; judged when it is one now."""
        page, self.pc, self.number = event.slot & -PAGE, event.pc, number
        if page in self.places and not (self.roots[page] in event.roots and _same(self.places[page][2], event.asid)):
            del self.places[page]
        holders = set(self.users.get(self.roots.get(page, 0), ())) or {event.cpu}
        before = event.slot in self.stale
        self.write(number, event.slot, event.new)
        if event.slot in self.stale and not before:
            self.broken[event.slot] = Broken(self.stale[event.slot], event.cpu, event.pc, holders)

    def _forgettable(self, old: Entry) -> None:
        super()._forgettable(old)
        self.since.setdefault(old.slot, self.number)

    def use(self, number: int, event: UseEvent) -> None:
        """From now on this CPU may hold what is in these tables."""
        self.used[event.asid & -2], self.current[event.cpu] = number, event.asid & -2
        for root in event.roots:
            self.users.setdefault(root, set()).add(event.cpu)

    def barrier(self, event: BarrierEvent) -> None:
        """Stores before it are in order with TLBIs behind it; TLBIs before it are complete, if it is one for all accesses."""
        several = len({cpu for users in self.users.values() for cpu in users}) > 1
        if several and event.kind >> 2 == NON_SHAREABLE:
            return
        for slot, broken in list(self.broken.items()):
            if broken.tlbi is None:
                broken.ordered |= broken.cpu == event.cpu and bool(event.kind & STORES)
            elif broken.tlbi.cpu == event.cpu and event.kind & ALL_ACCESSES == ALL_ACCESSES:
                del self.broken[slot]

    def reason(self, rule: str, entry: Entry) -> tuple[str, int | None, int | None]:
        """Why a TLBI that came was not enough."""
        broken = self.broken.get(entry.slot)
        if broken is None or rule == "live change":
            return super().reason(rule, entry)
        if broken.tlbi is not None:
            return "no DSB after", broken.pc, broken.tlbi.pc
        if broken.hasty is not None:
            return "no DSB before", broken.pc, broken.hasty
        if broken.local is not None:
            return "not broadcast", broken.pc, broken.local
        return super().reason(rule, entry)

    def _make(self, event: int, new: Entry) -> None:
        """What is stale conflicts with it, and what a TLBI has not been seen to remove."""
        super()._make(event, new)
        self._unfinished(event, new)

    def _unfinished(self, event: int, new: Entry | None) -> None:
        for slot, broken in list(self.broken.items()):
            if broken.tlbi is not None and (new is None or (broken.entry.meets(new) and self.conflicts(broken.entry, new))):
                self.report("no DSB after", event, broken.entry, new.word if new else None)
                del self.broken[slot]

    def finish(self, event: int) -> list[Violation]:
        """Nothing comes any more."""
        self.stale = {slot: entry for slot, entry in self.stale.items() if self._matters(entry)}
        super().finish(event)
        self._unfinished(event, None)
        return self.found

    def _matters(self, entry: Entry) -> bool:
        """Can somebody still come upon it? Not if the last one to use its ASID did so before, and is gone."""
        if entry.asid is None:
            return True
        asid = entry.asid & -2
        return asid in self.current.values() or self.used.get(asid, -1) > self.since.get(entry.slot, -1)

    def invalidate(self, event: TlbiEvent) -> None:
        """Forget what this TLBI reaches, and the tables of address spaces that nothing holds any more."""
        for entry in [entry for entry in self.stale.values() if _reaches(event, entry)]:
            if self._forgotten(entry, event):
                del self.stale[entry.slot]
        if event.op2 in (ALL, ASID_ALL):
            gone = [page for page, (_level, _va, asid) in self.places.items()
                    if self.roots[page] not in event.roots and (event.op2 == ALL or asid == event.asid)]  # fmt: skip
            for page in gone:
                del self.places[page]


    def _forgotten(self, entry: Entry, event: TlbiEvent) -> bool:
        """Does nobody hold it any more? What hangs below a broken entry goes with any TLBI that reaches it."""
        broken = self.broken.get(entry.slot)
        if broken is None:
            return True
        if broken.cpu == event.cpu and not broken.ordered:
            broken.hasty = event.pc
            return False
        broken.hasty = None
        broken.holders = set() if event.broadcast else broken.holders - {event.cpu}
        if broken.holders:
            broken.local = event.pc
            return False
        broken.tlbi = event
        return True


def _same(asid: int | None, other: int) -> bool:
    """One address space, in one half of the pair or the other; None is everybody's."""
    return asid is None or (asid ^ other) <= 1


def _span(level: int) -> int:
    return 1 << 39 - 9 * level


def _reaches(event: TlbiEvent, entry: Entry) -> bool:
    """Does this TLBI remove what a TLB holds of the entry?"""
    if event.op2 == ALL:
        return True
    if event.op2 == ASID_ALL:
        return entry.asid == event.asid
    if event.op2 in LAST_LEVEL_FORMS and entry.leads_to is not None:
        return False
    mine = event.op2 in ANY_ASID or entry.asid is None or entry.asid == event.asid
    return mine and entry.start <= event.va < entry.end


def guest_violations(log: TableLog, read: Callable[[int], int]) -> list[Violation]:
    """Every rule that guests broke in their own tables, in order; the same run always gives the same list.

    read: the 64-bit word at a physical address now. "stale end" is what was still to be forgotten when the log ended.
    """
    events = log.events()
    first = log.initial(events)
    replays: dict[int, GuestReplay] = {}

    def before(slot: int) -> int:
        return first[slot] if slot in first else read(slot)

    for number, event in enumerate(events):
        replay = replays.get(event.vmid)
        if replay is None:
            replay = replays[event.vmid] = GuestReplay(vmid=event.vmid, before=before)
        if isinstance(event, TableEvent):
            replay.found_table(event)
        elif isinstance(event, WriteEvent):
            replay.store(number, event)
        elif isinstance(event, TlbiEvent):
            replay.invalidate(event)
        elif isinstance(event, BarrierEvent):
            replay.barrier(event)
        else:
            replay.use(number, event)
    found = [violation for replay in replays.values() for violation in replay.finish(len(events))]
    return sorted(found, key=lambda violation: (violation.event, violation.vmid or 0, violation.start))


def check(hypervisor: Hypervisor) -> list[Violation]:
    """What went wrong in a run of Machine(check_tables=True): stage 2 of each persona, then the guests' own stage 1."""
    machine, found = hypervisor.machine, list[Violation]()
    for persona in hypervisor.personas:
        found += violations(persona.table_log or [], persona.vmid)
    if machine.table_log is not None:
        found += guest_violations(machine.table_log, machine.memory.read)
    return found


def report(found: list[Violation], lost: int = 0, most: int = 20) -> str:
    """As text for a person. lost: events that came after the log was full. most: how many are told in full."""
    count = len(found)
    times = "once" if count == 1 else f"{count} times"
    lines = ["tables: break-before-make kept" + (f", except {times}" if count else "")]
    for violation in found[:most]:
        owner = "the hypervisor" if violation.stage == 2 else "the guest"
        lines.append(f"stage {violation.stage}, {owner}: {violation}")
    if count > most:
        lines.append(f"… and {count - most} more")
    if lost:
        lines.append(f"the log was full: {lost} later events were not looked at")
    return "\n".join(lines)
