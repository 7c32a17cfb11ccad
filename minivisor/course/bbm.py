"""Break before make: which update of a live stage-2 table broke the rule, and which TLBI was missing.

A TLB may hold what a descriptor said until it is told to forget, and two cached translations of one address at once are a
conflict. So a live descriptor changes in three steps, with a barrier between them:

    break   write an invalid descriptor            DSB ISH
    forget  TLBI IPAS2E1IS, <IPA>; DSB ISH; TLBI VMALLE1IS; DSB ISH; ISB
    make    write the new descriptor

`violations` reads the log of a `MemoryTables` in which nothing but order matters, and replays it: for each descriptor, what
it said last, and whether a TLB may still hold what it said before. The report names the first rule that a step breaks:

    live change      valid to a different valid one, without an invalid descriptor between
    stale make       made again after it was broken, but not forgotten
    stale reuse      a table page was given out again while a TLB may still lead to it
    stale end        broken, and never forgotten by the end of the log

Source: DDI 0487, D8.16.1 "Using break-before-make when updating translation table entries"; D8.16 for what a TLBI by IPA
reaches: the translation that maps it, a block as a whole. A guest's own tables follow the same rules: `bbm_guest.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from minivisor.arch.descriptors import S2_TABLE, describe, span
from minivisor.hypervisor.walker import LAST_LEVEL, PAGE, START_LEVEL

__all__ = ["RULES", "Entry", "Replay", "Violation", "violations"]

RULES = {
    "live change": "a live descriptor was replaced by another valid one; write an invalid one and invalidate first",
    "stale make": "a descriptor was made again before the TLB had forgotten the one that was broken",
    "stale reuse": "a table page was reused while a TLB may still walk through it or hold what it mapped",
    "stale end": "a mapping was removed, and no TLBI followed: the guest can still use it",
    "no DSB before": "no DSB stands between the store and its TLBI: a walk may come between, and bring back what was broken",
    "not broadcast": "the TLBI was for one vCPU alone, and another has used these tables: it may hold what was broken",
    "no DSB after": "no DSB stands behind the TLBI: until it is known to be complete, what was broken may be used",
}
VALID, TABLE, ACCESS_FLAG = 0b01, 0b11, 1 << 10
PERMISSIONS = 0b11 << 6 | 0b11 << 53  # S2AP and XN: changing only these needs a TLBI, but no break
SOFTWARE = 0b1111 << 55  # the hardware does not look at these


@dataclass(frozen=True, slots=True)
class Violation:
    """event: position in the log of the step that broke the rule; the log's length for "stale end".

    table, index, level: of the descriptor; start, end: the IPAs (stage 2) or VAs (stage 1) it translates. old: what a TLB may
    hold; new: what was written, or None when nothing was. vmid, asid: whose translations, asid None for all; pc: of the store.
    tlbi: the PC of the TLBI that did not do, None when there was none.
    """

    rule: str
    event: int
    table: int
    index: int
    level: int
    start: int
    end: int
    old: int
    new: int | None
    stage: int = 2
    vmid: int | None = None
    asid: int | None = None
    pc: int | None = None
    tlbi: int | None = None

    @property
    def missing(self) -> str:
        """The invalidation that should have come first, as a hypervisor or a kernel writes it."""
        if self.rule == "no DSB before":
            return f"DSB ISHST, before the TLBI at PC {self.tlbi:#x}"
        if self.rule == "no DSB after":
            return f"DSB ISH, after the TLBI at PC {self.tlbi:#x}"
        first = "DSB ISHST" if self.stage == 1 else "DSB ISH"
        break_ = f"write 0; {first}; " if self.rule == "live change" else ""
        if self.stage == 2:
            return f"{break_}TLBI IPAS2E1IS, {self.start:#x}; DSB ISH; TLBI VMALLE1IS; DSB ISH"
        last = "" if self.level < LAST_LEVEL and self.old & TABLE == TABLE else "L"  # VALE1 leaves tables alone
        form, asid = (f"VAA{last}E1IS", "") if self.asid is None else (f"VA{last}E1IS", f", ASID {self.asid}")
        return f"{break_}TLBI {form}, {self.start:#x}{asid}; DSB ISH; ISB"

    def __str__(self) -> str:
        was = describe(self.old, self.level, self.stage)
        now = "" if self.new is None else f"\n  new  {self.new:#018x}  {describe(self.new, self.level, self.stage)}"
        space = "IPA" if self.stage == 2 else "VA"
        whose = "" if self.vmid is None else f", VMID {self.vmid}"
        whose += "" if self.asid is None else f", ASID {self.asid}"
        by = "" if self.pc is None else f"\n  by the store at PC {self.pc:#x}"
        by += "" if self.tlbi is None else f", the TLBI at PC {self.tlbi:#x}"
        return (
            f"{self.rule}: {RULES[self.rule]}\n"
            f"  entry {self.index} of the level-{self.level} table at {self.table:#x}, "
            f"{space} {self.start:#x} to {self.end:#x}{whose}\n"
            f"  old  {self.old:#018x}  {was}{now}{by}\n  missing: {self.missing}"
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """One descriptor: where it stands, and what it says or said. asid: whose it is, None for all."""

    slot: int
    level: int
    start: int
    word: int
    asid: int | None = None

    @property
    def end(self) -> int:
        return self.start + span(self.level)

    @property
    def leads_to(self) -> int | None:
        """The table it points to."""
        table = self.level < LAST_LEVEL and self.word & TABLE == TABLE
        return S2_TABLE.Table.decode(self.word) if table else None

    @property
    def cached(self) -> bool:
        """May a TLB hold it? An entry that is invalid, or whose access flag is clear, never gets there (D8.16)."""
        return bool(self.word & VALID) and (self.leads_to is not None or bool(self.word & ACCESS_FLAG))

    def meets(self, other: Entry) -> bool:
        """Do both translate some address for the same ASID?"""
        same = self.asid is None or other.asid is None or self.asid == other.asid
        return same and self.start < other.end and other.start < self.end


@dataclass
class Replay:
    """The log so far. words: what each slot says. places: (level, first address, ASID) of each table that a walk can reach.
    stale: by slot, what a TLB may still hold although its descriptor says otherwise. vmid: for the report. pc: of the store."""

    words: dict[int, int] = field(default_factory=dict)
    places: dict[int, tuple[int, int, int | None]] = field(default_factory=dict)
    stale: dict[int, Entry] = field(default_factory=dict)
    found: list[Violation] = field(default_factory=list)
    vmid: int | None = None
    stage: int = 2
    pc: int | None = None

    def entry(self, slot: int, word: int) -> Entry:
        """A descriptor of a table that a walk can reach."""
        level, base, asid = self.places[slot & -PAGE]
        return Entry(slot, level, base + slot % PAGE // 8 * span(level), word, asid)

    def child(self, entry: Entry) -> int | None:
        """The PA of the table that an entry leads to."""
        return entry.leads_to

    def name(self, table: int) -> int:
        """The address by which whoever wrote a table knows it."""
        return table

    def word(self, slot: int) -> int:
        """What a slot says now."""
        return self.words.get(slot, 0)

    def needs_break(self, old: Entry, new: int) -> bool:
        """Does this change of a live descriptor need an invalid one in between?"""
        harmless = SOFTWARE if old.leads_to is not None else SOFTWARE | PERMISSIONS
        return bool((old.word ^ new) & ~harmless)

    def needs_tlbi(self, old: Entry, new: int) -> bool:
        """Does what a TLB may hold matter after this change?"""
        return bool((old.word ^ new) & ~SOFTWARE)

    def report(self, rule: str, event: int, entry: Entry, new: int | None) -> None:
        table, index = entry.slot & -PAGE, entry.slot % PAGE // 8
        place = self.name(table), index, entry.level, entry.start, entry.end
        rule, pc, tlbi = self.reason(rule, entry)
        self.found.append(Violation(rule, event, *place, entry.word, new, self.stage, self.vmid, entry.asid, pc, tlbi))

    def reason(self, rule: str, _entry: Entry) -> tuple[str, int | None, int | None]:
        """The rule that was broken, more exactly if that is known; the PCs of the store and of the TLBI."""
        return rule, None if rule == "stale end" else self.pc, None

    def write(self, event: int, slot: int, word: int) -> None:
        """A descriptor is stored. In a table that no walk can reach yet, nobody can have cached what was there."""
        before, self.words[slot] = self.word(slot), word
        if slot & -PAGE not in self.places or before == word:
            return
        old, new = self.entry(slot, before), self.entry(slot, word)
        if not old.cached:
            if word & VALID:
                self._make(event, new)
        elif word & VALID and self.needs_break(old, word):
            self.report("live change", event, old, word)
        if old.cached and self.needs_tlbi(old, word):
            self._forgettable(old)
        if new.leads_to is not None and new.leads_to != old.leads_to:
            self.link(new.leads_to, new)

    def _make(self, event: int, new: Entry) -> None:
        """Two cached translations of one address: whatever is stale in the new one's range conflicts with it.

        But one that comes back with other permissions alone did not need the break: it is stale still, and no conflict.
        """
        for entry in [entry for entry in self.stale.values() if entry.meets(new)]:
            if self.conflicts(entry, new):
                self.report("stale make", event, entry, new.word)
            elif self.needs_tlbi(entry, new.word):
                continue
            del self.stale[entry.slot]

    def conflicts(self, old: Entry, new: Entry) -> bool:
        """Is it more than what may change while the old one is live?"""
        return old.slot != new.slot or self.needs_break(old, new.word)

    def link(self, table: int, parent: Entry) -> None:
        """From now on a walk can reach this table, and those that it leads to."""
        self.places[table] = parent.level + 1, parent.start, parent.asid
        for slot in range(table, table + PAGE, 8):
            entry = self.entry(slot, self.word(slot))
            if entry.leads_to is not None:
                self.link(entry.leads_to, entry)

    def _forgettable(self, old: Entry) -> None:
        """From now on the TLB's copy of this is stale; of a table, so is all that it mapped."""
        self.stale.setdefault(old.slot, old)
        table = self.child(old)
        if table not in self.places:
            return
        for slot in range(table, table + PAGE, 8):
            entry = self.entry(slot, self.word(slot))
            if entry.cached:
                self._forgettable(entry)
        del self.places[table]

    def tlbi(self, ipa: int) -> None:
        """What was cached of every descriptor on the way to this IPA is gone."""
        self.stale = {slot: entry for slot, entry in self.stale.items() if not entry.start <= ipa < entry.end}

    def finish(self, event: int) -> list[Violation]:
        """Nothing comes any more: what is stale now stays so."""
        for entry in self.stale.values():
            self.report("stale end", event, entry, None)
        return self.found

    def alloc(self, event: int, table: int) -> None:
        """A zeroed page."""
        for entry in self.stale.values():
            if entry.leads_to == table:
                self.report("stale reuse", event, entry, None)
        for slot in range(table, table + PAGE, 8):
            self.words.pop(slot, None)


def violations(log: Iterable[tuple[Any, ...]], vmid: int | None = None) -> list[Violation]:
    """Every broken rule, in the order of the log; the same log always gives the same list.

    log: as `MemoryTables` keeps it: ("alloc", pa), ("write", pa, descriptor), ("tlbi", ipa), and ("tlbi_vmid",) for all of it.
    Its first allocation is the root. vmid: whose tables they are, for the report.
    """
    replay, length = Replay(vmid=vmid), 0
    for event, (kind, *rest) in enumerate(log):
        address, *word = rest or [0]
        length = event + 1
        if kind == "tlbi_vmid":
            replay.stale.clear()
        elif kind == "alloc":
            replay.alloc(event, address)
            if event == 0:
                replay.places[address] = START_LEVEL, 0, None
        elif kind == "write":
            replay.write(event, address, word[0])
        elif kind == "tlbi":
            replay.tlbi(address)
    return replay.finish(length)
