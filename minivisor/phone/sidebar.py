"""The numbers beside the phone: snapshots as rich text. Nothing here knows of the terminal or of the machine."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from minivisor.phone.meter import PersonaView, Snapshot

__all__ = ["KEYS", "clock", "console", "exits", "people", "spark"]

KEYS = "[b]Tab[/b] switch  [b]F1[/b] help  [b]F2[/b] picture  [b]F10[/b] end"
BARS = " ▁▂▃▄▅▆▇█"
POINTS = 8, 48  # of a share's history: at least, at most
OTHERS = 34  # columns that the rest of its line needs
STATUS = {"running": "bright_black", "stopped": "bold orange1", "off": "bright_black italic"}


def spark(history: tuple[float, ...], points: int) -> str:
    """A share's history, 0 to 1 each, as `points` bars; whatever is not nothing can be seen."""
    bars = [BARS[0 if share <= 0 else max(1, round(min(share, 1.0) * (len(BARS) - 1)))] for share in history[-points:]]
    return "".join(bars).rjust(points)


def _name(persona: PersonaView, width: int = 14) -> Text:
    text = Text("▐█▌ " if persona.foreground else " ▐▌ ", style=f"#{persona.colour:06x}")
    words = persona.name if len(persona.name) <= width else persona.name[: width - 1] + "…"
    return text.append(words, style="bold white" if persona.foreground else "white")


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 or share == 0 else "<0.1%"


def people(snapshot: Snapshot, columns: int) -> Table:
    """Who there is, who is in front, and who has the core, now and as far back as the columns reach."""
    points = min(max(columns - OTHERS, POINTS[0]), POINTS[1])
    table = Table.grid(padding=(0, 1), expand=True)
    for justify in ("left", "left", "right", "right"):
        table.add_column(justify=justify, no_wrap=True)
    for persona in snapshot.personas:
        state = "in front" if persona.foreground and persona.status == "running" else persona.status
        style = "bold green" if state == "in front" else STATUS[persona.status]
        history = Text(spark(persona.history, points), style=f"#{persona.colour:06x}")
        table.add_row(_name(persona), Text(state, style), history, _percent(persona.share))
    return table


def exits(snapshot: Snapshot) -> Table:
    """Exits to EL2 in a virtual second, by class."""
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="bright_black")
    table.add_column("exits per second", no_wrap=True, ratio=1)
    for persona in snapshot.personas:
        table.add_column(persona.name, justify="right", no_wrap=True, min_width=6, max_width=11)
    for name, rates in snapshot.exits:
        table.add_row(name, *(Text(f"{rate:,.0f}", "white" if rate >= 0.5 else "bright_black") for rate in rates))
    return table


def clock(snapshot: Snapshot) -> Text:
    """Virtual time, how fast it goes, and how often the core changes hands."""
    text = Text()
    parts = ((f"{snapshot.now / 1e9:.1f} s", "virtual"), (f"{snapshot.speed:.2f}×", "real time"))
    for value, unit in (*parts, (f"{snapshot.switches:,.0f}", "switches/s")):
        text.append(f"{value} ", "bold").append(f"{unit}  ", "bright_black")
    return text


def console(persona: PersonaView, lines: int) -> Text:
    """The last lines a persona printed."""
    prefix = f"{persona.name}: "
    shown = [line.removeprefix(prefix) for line in persona.console[-max(lines, 1) :]]
    return Text("\n".join(shown), style="grey70")
