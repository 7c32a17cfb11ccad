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
reaches: the translation that maps it, a block as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from minivisor.arch.descriptors import S2_TABLE, describe, span
from minivisor.hypervisor.walker import LAST_LEVEL, PAGE, START_LEVEL

__all__ = ["RULES", "Violation", "violations"]

RULES = {
    "live change": "a live descriptor was replaced by another valid one; write an invalid one and invalidate first",
    "stale make": "a descriptor was made again before the TLB had forgotten the one that was broken",
    "stale reuse": "a table page was reused while a TLB may still walk through it or hold what it mapped",
    "stale end": "a mapping was removed, and no TLBI followed: the guest can still use it",
}
VALID, TABLE = 0b01, 0b11
PERMISSIONS = 0b11 << 6 | 0b11 << 53  # S2AP and XN: changing only these needs a TLBI, but no break
SOFTWARE = 0b1111 << 55  # the hardware does not look at these


@dataclass(frozen=True, slots=True)
class Violation:
    """event: position in the log of the step that broke the rule; the log's length for "stale end".

    table, index, level: of the descriptor; start, end: the IPAs it translates. old: what a TLB may hold; new: what was written,
    or None when nothing was.
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

    @property
    def missing(self) -> str:
        """The invalidation that should have come first, as a hypervisor writes it."""
        break_ = "write 0; DSB ISH; " if self.rule == "live change" else ""
        return f"{break_}TLBI IPAS2E1IS, {self.start:#x}; DSB ISH; TLBI VMALLE1IS; DSB ISH"

    def __str__(self) -> str:
        was = describe(self.old, self.level, 2)
        now = "" if self.new is None else f"\n  new  {self.new:#018x}  {describe(self.new, self.level, 2)}"
        return (
            f"{self.rule}: {RULES[self.rule]}\n"
            f"  entry {self.index} of the level-{self.level} table at {self.table:#x}, IPA {self.start:#x} to {self.end:#x}\n"
            f"  old  {self.old:#018x}  {was}{now}\n  missing: {self.missing}"
        )


@dataclass(frozen=True, slots=True)
class _Entry:
    """One descriptor: where it stands, and what it says or said."""

    slot: int
    level: int
    start: int
    word: int

    @property
    def end(self) -> int:
        return self.start + span(self.level)

    @property
    def leads_to(self) -> int | None:
        """The table it points to."""
        table = self.level < LAST_LEVEL and self.word & TABLE == TABLE
        return S2_TABLE.Table.decode(self.word) if table else None


@dataclass
class _Replay:
    """The log so far. words: what each slot says. places: (level, first IPA) of each table that a walk can reach. stale: by
    slot, what a TLB may still hold although its descriptor says otherwise."""

    words: dict[int, int] = field(default_factory=dict)
    places: dict[int, tuple[int, int]] = field(default_factory=dict)
    stale: dict[int, _Entry] = field(default_factory=dict)
    found: list[Violation] = field(default_factory=list)

    def _entry(self, slot: int, word: int) -> _Entry:
        level, base = self.places[slot & -PAGE]
        return _Entry(slot, level, base + slot % PAGE // 8 * span(level), word)

    def report(self, rule: str, event: int, entry: _Entry, new: int | None) -> None:
        table, index = entry.slot & -PAGE, entry.slot % PAGE // 8
        self.found.append(Violation(rule, event, table, index, entry.level, entry.start, entry.end, entry.word, new))

    def write(self, event: int, slot: int, word: int) -> None:
        """A descriptor is stored. In a table that no walk can reach yet, nobody can have cached what was there."""
        before, self.words[slot] = self.words.get(slot, 0), word
        if slot & -PAGE not in self.places or before == word:
            return
        old, new = self._entry(slot, before), self._entry(slot, word)
        if before & word & VALID:
            harmless = SOFTWARE if old.leads_to is not None else SOFTWARE | PERMISSIONS
            if (before ^ word) & ~harmless:
                self.report("live change", event, old, word)
        elif word & VALID:
            self._make(event, new)
        if before & VALID and (before ^ word) & ~SOFTWARE:
            self._forgettable(old)
        if new.leads_to is not None and new.leads_to != old.leads_to:
            self._link(new.leads_to, new.level + 1, new.start)

    def _make(self, event: int, new: _Entry) -> None:
        """Two cached translations of one address: whatever is stale in the new one's range conflicts with it."""
        for entry in [entry for entry in self.stale.values() if entry.start < new.end and new.start < entry.end]:
            self.report("stale make", event, entry, new.word)
            del self.stale[entry.slot]

    def _link(self, table: int, level: int, base: int) -> None:
        self.places[table] = level, base
        for slot in range(table, table + PAGE, 8):
            entry = self._entry(slot, self.words.get(slot, 0))
            if entry.leads_to is not None:
                self._link(entry.leads_to, level + 1, entry.start)

    def _forgettable(self, old: _Entry) -> None:
        """From now on the TLB's copy of this is stale; of a table, so is all that it mapped."""
        self.stale.setdefault(old.slot, old)
        table = old.leads_to
        if table not in self.places:
            return
        for slot in range(table, table + PAGE, 8):
            if self.words.get(slot, 0) & VALID:
                self._forgettable(self._entry(slot, self.words[slot]))
        del self.places[table]

    def tlbi(self, ipa: int) -> None:
        """What was cached of every descriptor on the way to this IPA is gone."""
        self.stale = {slot: entry for slot, entry in self.stale.items() if not entry.start <= ipa < entry.end}

    def alloc(self, event: int, table: int) -> None:
        """A zeroed page."""
        for entry in self.stale.values():
            if entry.leads_to == table:
                self.report("stale reuse", event, entry, None)
        for slot in range(table, table + PAGE, 8):
            self.words.pop(slot, None)


def violations(log: Iterable[tuple[Any, ...]]) -> list[Violation]:
    """Every broken rule, in the order of the log; the same log always gives the same list.

    log: as `MemoryTables` keeps it: ("alloc", pa), ("write", pa, descriptor), ("tlbi", ipa). Its first allocation is the root.
    """
    replay, length = _Replay(), 0
    for event, (kind, address, *word) in enumerate(log):
        length = event + 1
        if kind == "alloc":
            replay.alloc(event, address)
            if event == 0:
                replay.places[address] = START_LEVEL, 0
        elif kind == "write":
            replay.write(event, address, word[0])
        elif kind == "tlbi":
            replay.tlbi(address)
    for entry in replay.stale.values():
        replay.report("stale end", length, entry, None)
    return replay.found
