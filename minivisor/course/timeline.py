"""Who had the core when: a trace as one row of bars for each vCPU, as text and as an inline SVG.

A vCPU has the core from the world switch that brings it in to the one that takes it out; if it went to sleep in
between, to its last exit, and then nobody has the core until the next switch (`trace.usage.stays`).

    personal ██████████████     ██████████████      ██████████████
    Ada                    █████              █████

Everything is read from the trace's records, so a loaded trace draws the same picture as a live one.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from minivisor.phone.phone import Phone, parse_duration
from minivisor.trace.store import Trace
from minivisor.trace.usage import stays

__all__ = ["Segment", "Timeline", "segments", "who_ran"]

LABEL, WIDTH, ROW, BAR, FOOT = 110, 720, 30, 20, 20  # SVG pixels
ALL = LABEL + WIDTH + 60  # the share stands at the end
COLUMNS = 64  # of the text form
THINNEST = 1.5  # SVG pixels: a burst of a microsecond stays visible
COLOURS = ("#2e7d6b", "#3b5ba9", "#a9743b", "#8d4fa0")


@dataclass(frozen=True)
class Segment:
    """One stay on the core. start, end: virtual ns."""

    vcpu: int
    start: int
    end: int


def segments(trace: Trace, since: int = 0, until: int | None = None) -> list[Segment]:
    """Who had the core between two virtual times in ns, in order. until: the newest record's time unless given."""
    rows = trace.rows()
    last = int(rows["time"][-1]) if len(rows) else 0
    end = last if until is None else until
    found = sorted((a, b, vcpu) for vcpu, times in stays(rows, max(last, end)).items() for a, b in times)
    return [Segment(vcpu, max(a, since), min(b, end)) for a, b, vcpu in found if b >= since and a <= end]


class Timeline:
    """The picture. since, until: virtual ns. colours: a CSS colour for each vCPU index."""

    def __init__(
        self, trace: Trace, since: int = 0, until: int | None = None, colours: tuple[str, ...] = COLOURS
    ) -> None:
        self.segments = segments(trace, since, until)
        self.since = since
        self.until = until if until is not None else max((s.end for s in self.segments), default=since)
        self._names = {vcpu: trace.metadata.name(vcpu) for vcpu in sorted({s.vcpu for s in self.segments})}
        self._colours = colours

    def share(self, vcpu: int) -> float:
        """The part of the time shown in which a vCPU had the core, 0 to 1."""
        return sum(s.end - s.start for s in self.segments if s.vcpu == vcpu) / max(1, self.until - self.since)

    def _place(self, time: int, width: int) -> float:
        return (time - self.since) * width / max(1, self.until - self.since)

    def __repr__(self) -> str:
        longest = max(map(len, self._names.values()), default=0)
        lines = [f"{name:<{longest}} {self._bar(vcpu)} {self.share(vcpu):4.0%}" for vcpu, name in self._names.items()]
        return "\n".join([*lines, f"{'':<{longest}} {self.since / 1e6:g} ms … {self.until / 1e6:g} ms"])

    def _bar(self, vcpu: int) -> str:
        cells = [" "] * COLUMNS
        for segment in self.segments:
            if segment.vcpu == vcpu:
                first, last = (self._place(time, COLUMNS) for time in (segment.start, segment.end))
                for cell in range(int(first), max(int(first) + 1, round(last))):
                    cells[min(cell, COLUMNS - 1)] = "█"
        return "".join(cells)

    def _repr_html_(self) -> str:
        height = ROW * len(self._names) + FOOT
        rows = "".join(self._row(at, vcpu, name) for at, (vcpu, name) in enumerate(self._names.items()))
        return (
            f'<svg role="img" aria-label="who had the core when" viewBox="0 0 {ALL} {height}" width="100%" '
            f'style="max-width:{ALL}px;font:13px sans-serif" fill="currentColor">{rows}'
            f'<g style="font-size:11px" opacity=".75"><text x="{LABEL}" y="{height - 4}">{self.since / 1e6:g} ms</text>'
            f'<text x="{LABEL + WIDTH}" y="{height - 4}" text-anchor="end">{self.until / 1e6:g} ms</text></g></svg>'
        )

    def _row(self, at: int, vcpu: int, name: str) -> str:
        top = at * ROW + (ROW - BAR) // 2
        colour = escape(self._colours[vcpu % len(self._colours)], quote=True)
        bars = "".join(self._rect(s, top) for s in self.segments if s.vcpu == vcpu)
        return (
            f'<text x="0" y="{top + 15}">{escape(name[:16])}</text>'
            f'<rect x="{LABEL}" y="{top}" width="{WIDTH}" height="{BAR}" fill-opacity=".08"/>'
            f'<g fill="{colour}">{bars}</g><text x="{LABEL + WIDTH + 8}" y="{top + 15}">{self.share(vcpu):.0%}</text>'
        )

    def _rect(self, segment: Segment, top: int) -> str:
        left, right = self._place(segment.start, WIDTH), self._place(segment.end, WIDTH)
        words = f"{segment.start / 1e6:.3f} ms, for {(segment.end - segment.start) / 1e3:,.1f} µs"
        return (
            f'<rect x="{LABEL + left:.1f}" y="{top}" width="{max(right - left, THINNEST):.1f}" height="{BAR}">'
            f"<title>{words}</title></rect>"
        )


def who_ran(phone: Phone, last: int | str = "100ms") -> Timeline:
    """The newest stretch of a phone's time, ns or as "100ms", each persona in its own colour."""
    colours = tuple(f"#{vcpu.persona.settings.colour:06x}" for vcpu in phone.hypervisor.vcpus)
    return Timeline(phone.trace, max(0, phone.now - parse_duration(last)), phone.now, colours)
