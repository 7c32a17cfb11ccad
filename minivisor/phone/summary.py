"""What a run amounts to: times, shares, exits, and how each persona is.

One object, three faces: text for the terminal, HTML for a notebook, plain data for `--json`. A result always names what
it was measured under, the cost model first, and carries the trace digest: two runs with one digest did the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import Persona
from minivisor.trace.records import Kind
from minivisor.trace.table import Table

__all__ = ["PersonaSummary", "Summary", "status", "summarize"]


def status(persona: Persona) -> str:
    """ "running", "off" when it wanted so, "stopped" when it did not (its report says why)."""
    return "stopped" if persona.report else persona.status


@dataclass(frozen=True, slots=True)
class PersonaSummary:
    """consumed: ns of virtual time on the core; cpu_share: its part of all virtual time, 0 to 1. report: or "".

    devices: what is wrong with devices that its driver has to reset.
    """

    name: str
    status: str
    foreground: bool
    consumed: int
    cpu_share: float
    report: str
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """virtual: ns. host: seconds. exits: a table, a column each vCPU. counted: records that exits and switches were
    counted in, fewer than `records` when the run was longer than the trace's ring."""

    virtual: int
    host: float
    instructions: int | None
    world_switches: int
    personas: tuple[PersonaSummary, ...]
    exits: Table
    records: int
    counted: int
    digest: str
    board: str
    mmu: str
    cost_model: str
    seed: int
    clock: str

    @property
    def stopped(self) -> tuple[PersonaSummary, ...]:
        """The personas that were stopped with a report."""
        return tuple(persona for persona in self.personas if persona.report)

    def as_dict(self) -> dict[str, Any]:
        """For JSON. Exits are {class: {column: count}}; two personas of one name share a column."""
        plain = {key: value for key, value in asdict(self).items() if key != "exits"}
        columns = self.exits.columns[1:]
        exits: dict[str, dict[str, int]] = {}
        for name, *counts in self.exits.rows:
            row = exits.setdefault(str(name), {})
            for column, count in zip(columns, counts, strict=True):
                row[column] = row.get(column, 0) + int(str(count))
        return plain | {"exits": exits}

    def _line(self) -> str:
        speed = (
            f" ({self.virtual / 1e9 / self.host:.2f}× real time)"
            if self.host > 0.001 and self.virtual >= 1_000_000
            else ""
        )
        return (
            f"{self.virtual / 1e9:.3f} s virtual in {self.host:.2f} s{speed}, {self._instructions()}, "
            f"{self.world_switches:,} world switches"
        )

    def _instructions(self) -> str:
        if self.instructions is None:
            return "instructions not counted (host clock)"
        return f"{self.instructions:,} instructions"

    def _conditions(self) -> str:
        ring = f", counted over the last {self.counted:,}" if self.counted < self.records else ""
        clock = "" if self.clock == "virtual" else f", clock {self.clock}: not reproducible"
        return (
            f"board {self.board}, mmu {self.mmu}, cost model {self.cost_model}, seed {self.seed}{clock}; "
            f"trace {self.digest[:16]}, {self.records:,} records{ring}"
        )

    def table(self) -> Table:
        """How each persona is, one a row."""
        rows = [(p.name, p.status, "yes" if p.foreground else "", f"{p.cpu_share:.2%}") for p in self.personas]
        return Table(("persona", "status", "in front", "CPU share"), tuple(rows))

    def __str__(self) -> str:
        parts = [f"{self._line()}\n{self._conditions()}", str(self.table()), str(self.exits)]
        devices = ["\n".join(f"{p.name}: {words}" for words in p.devices) for p in self.personas if p.devices]
        return "\n\n".join(parts + devices + [persona.report for persona in self.stopped])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        lines = f"<p>{escape(self._line())}<br>{escape(self._conditions())}</p>"
        reports = "".join(f"<p>{escape(f'{p.name}: {words}')}</p>" for p in self.personas for words in p.devices)
        reports += "".join(f"<pre>{escape(persona.report)}</pre>" for persona in self.stopped)
        return lines + self.table()._repr_html_() + self.exits._repr_html_() + reports


def summarize(hypervisor: Hypervisor, host: float) -> Summary:
    """The run so far. host: seconds the host has spent on it."""
    trace, now = hypervisor.trace, hypervisor.now
    return Summary(
        virtual=now,
        host=host,
        instructions=hypervisor.core.retired if hypervisor.core.counts else None,
        world_switches=len(trace.select(Kind.SWITCH)),
        personas=_personas(hypervisor.personas, hypervisor.foreground, now),
        exits=trace.exits_by_class(),
        records=trace.total,
        counted=len(trace),
        digest=trace.digest(),
        board=hypervisor.machine.board.name,
        mmu=hypervisor.core.mmu,
        cost_model=hypervisor.cost.name,
        seed=hypervisor.seed,
        clock=hypervisor.clock.name,
    )


def _personas(personas: Sequence[Persona], foreground: Persona | None, now: int) -> tuple[PersonaSummary, ...]:
    consumed = [sum(vcpu.consumed for vcpu in persona.vcpus) for persona in personas]
    return tuple(
        PersonaSummary(
            name=persona.name,
            status=status(persona),
            foreground=persona is foreground,
            consumed=spent,
            cpu_share=spent / max(now, 1),
            report=persona.report,
            devices=tuple(persona.virtio.reports),
        )
        for persona, spent in zip(personas, consumed, strict=True)
    )
