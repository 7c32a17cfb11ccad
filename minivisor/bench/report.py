"""From pairs to a result: the medians, whether the bar holds, where it was measured; as JSON and as a table.

    {"api": 1, "quick": false, "environment": {…}, "rows": [{"name", "title", "value", "unit", "peer", "peer_value",
     "ratio", "bar", "holds", "cost_model", "mmu", "samples": [[ours, peer], …], "noise": {"of", "min", "max"},
     "not_run": null or which part was missing, "detail": {…}}]}

`value`, `peer_value` and `ratio` are medians; `ratio` is value to peer, pair by pair. `holds` is null where there is no
bar, nothing to hold against it (a part is absent), or a quick run, which is a test of the bench and no measurement.
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

from rich import box
from rich.table import Table

from minivisor.bench.pairs import PHASES, Measured, median_ratio, ratios
from minivisor.bench.rows import Row

__all__ = [
    "Result",
    "as_json",
    "environment",
    "judge",
    "legend",
    "load_average",
    "number",
    "phases",
    "place",
    "span",
    "table",
    "verdict",
]

API = 1
COST_MODEL, MMU = "zero", "minivisor"  # the defaults, which every row is measured with


@dataclass(frozen=True, slots=True)
class Result:
    """One row, measured. samples: (ours, peer). noise: the extremes of what the bar is about, or of the ratio."""

    name: str
    title: str
    value: float | None
    unit: str
    peer: str
    peer_value: float | None
    ratio: float | None
    bar: str | None
    holds: bool | None
    cost_model: str | None
    mmu: str | None
    samples: list[tuple[float, float | None]]
    noise: dict[str, Any]
    not_run: str | None
    detail: dict[str, Any]


def judge(row: Row, measured: Measured, quick: bool = False) -> Result:
    """What the pairs of a row come to."""
    ours = [mine for mine, _ in measured.pairs]
    peers = [peer for _, peer in measured.pairs if peer is not None]
    value, ratio = median(ours) if ours else None, median_ratio(measured.pairs)
    of = row.bar.of if row.bar else "ratio"
    judged: float | None = {"value": value, "ratio": ratio, "exits": measured.detail.get("exits_an_operation")}[of]
    spread = ours if of == "value" else ratios(measured.pairs)
    return Result(
        name=row.name,
        title=row.title,
        value=value,
        unit=row.unit,
        peer=row.peer,
        peer_value=median(peers) if peers else None,
        ratio=ratio,
        bar=None if row.bar is None else str(row.bar),
        holds=None if quick or row.bar is None or judged is None else row.bar.holds(judged),
        cost_model=COST_MODEL if row.guests else None,
        mmu=MMU if row.guests else None,
        samples=list(measured.pairs),
        noise={
            "of": "value" if of == "value" else "ratio",
            "min": min(spread, default=None),
            "max": max(spread, default=None),
        },
        not_run=measured.not_run,
        detail=dict(measured.detail),
    )


# ── where it was measured ────────────────────────────────────────────────────────────────────────────────────────────


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


def load_average() -> float | None:
    """Processes that wanted a core during the last minute; None on Windows."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def environment() -> dict[str, Any]:
    """What every result depends on."""
    versions = {name: _version(name) for name in ("minivisor", "unicorn", "numba", "numpy")}
    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
        "cost_model": COST_MODEL,
        "mmu": MMU,
        "load_average": load_average(),
    }


# ── out ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def as_json(results: list[Result], where: dict[str, Any], quick: bool) -> str:
    """All of it, readable by another program."""
    rows = [asdict(result) for result in results]
    whole = {"api": API, "quick": quick, "environment": where, "rows": rows}
    return json.dumps(whole, indent=1, ensure_ascii=False)


def number(value: float | None, unit: str = "") -> str:
    """A number as short as it can be without saying less."""
    if value is None:
        return "absent"
    digits = f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.1 else f"{value:.3f}"
    return f"{digits} {unit}".rstrip()


def _coloured(result: Result) -> str:
    return {"holds": "[green]holds[/]", "MISSED": "[bold red]MISSED[/]", "NOT RUN": "[yellow]NOT RUN[/]"}.get(
        said := verdict(result), said
    )


def verdict(result: Result) -> str:
    """holds, MISSED, NOT RUN (a part is missing), not judged, no bar."""
    if result.holds is not None:
        return "holds" if result.holds else "MISSED"
    if result.not_run is not None:
        return "NOT RUN"
    return "no bar" if result.bar is None else "not judged"


def span(result: Result) -> str:
    """The extremes of what the bar is about."""
    low, high = result.noise["min"], result.noise["max"]
    return "" if low is None else f"{number(low)} … {number(high)}" + ("×" if result.noise["of"] == "ratio" else "")


def place(where: dict[str, Any]) -> str:
    """Where and under what it was measured; no name of a machine."""
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    return (
        f"{where['cpu']}, {where['cores']} cores, {where['system']}, Python {where['python']}, {versions}; "
        f"cost model {where['cost_model']}, MMU {where['mmu']}; load average {where['load_average']}"
    )


def table(results: list[Result], where: dict[str, Any]) -> Table:
    """For people."""
    shown = Table(caption=place(where), caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("row", "ours", "peer", "ratio", "range", "bar", ""):
        shown.add_column(heading, justify="right" if heading in ("ours", "peer", "ratio", "range") else "left")
    for one in results:
        numbers = number(one.value, one.unit), number(one.peer_value), f"{one.ratio:.2f}×" if one.ratio else ""
        shown.add_row(one.name, *numbers, span(one), one.bar or "", _coloured(one))
    return shown


def phases(result: Result) -> list[str]:
    """What each phase of a row is made of, when it has any: instructions, virtual time, exits by class."""
    lines = []
    for phase, counts in result.detail.get(PHASES, {}).items():
        counted = ", ".join(f"{what} {count:,}" for what, count in counts.items() if count)
        lines.append(f"  [bold]{result.name}[/], {phase}: {counted}")
    return lines


def legend(results: list[Result]) -> list[str]:
    """What each row measures, and against what."""
    missing = [f"  [bold]{one.name}[/] NOT RUN: {one.not_run}" for one in results if one.not_run]
    counted = [line for one in results for line in phases(one)]
    return missing + [f"  [bold]{one.name}[/]: {one.title}; peer: {one.peer}" for one in results] + counted
