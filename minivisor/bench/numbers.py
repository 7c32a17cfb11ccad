"""docs/numbers.md, written by `make bench`: the numbers of one run, how they were measured, and what each may claim.

Nothing in that file is typed by hand, so no number in it can be older than the code that measured it.
"""

from __future__ import annotations

from typing import Any

from minivisor.bench.report import Result, number, place, span, verdict
from minivisor.bench.rows import ROWS

__all__ = ["as_markdown"]

HOW = """\
# Numbers

    make bench                          # all rows, some minutes; writes this page
    minivisor bench exit switch         # these two, to the terminal
    minivisor bench --json > today      # every sample, and where it was measured
    minivisor bench --check             # exit status 1 when a bar does not hold

## How they are measured

Every row has a **peer**: something an engineer could have used instead, measured in the same run. What is ours and what is the
peer's are taken in turns as short as the row allows, and who goes first alternates; where the peer's work takes seconds and
cannot be divided, it runs between the two halves of ours. Each pair gives one ratio. `ratio` is the median of those, `range`
their extremes; `ours` and `peer` are medians too, for orientation: on a machine that others use, only ratios mean anything.
Where the bar is an absolute number (seconds, megabytes) the range is that number's. A bar is decided before the first
measurement, and a row that misses its bar says MISSED; without `--check` that is no error, but a reason to look.

A row whose peer is not installed says NOT RUN, and why. Rows about guests run in a child process each, so that nothing of the
command's own is in the way; rows about starting and memory start a process for each sample. Exits are counted in the trace, and
state bytes by the core: nothing here knows how many there should be. The cost model is `zero`: virtual time is retired
instructions. `--quick` does everything once and small; it tests the bench, its numbers mean nothing, and no bar judges them.
"""
TABLE = "| row | ours | peer | ratio | range | bar | |\n|---|---:|---:|---:|---:|---|---|\n"
OPERATIONS = "| row | exits | state bytes | µs |\n|---|---:|---:|---:|\n"
EXITS, STATE = "exits_an_operation", "state_bytes_an_operation"


def as_markdown(results: list[Result], where: dict[str, Any]) -> str:
    """The page."""
    measured = f"## Measured\n\n{place(where)}, {where['load_average_after']} after.\n\n"
    counted = [result for result in results if STATE in result.detail]
    operations = (
        "\n## One operation\n\nIn steady state. State bytes are registers between the core and EL2, either way.\n\n"
    )
    page = HOW + "\n" + measured + TABLE + "".join(map(_line, results))
    page += operations + OPERATIONS + "".join(map(_operation, counted)) if counted else ""
    return page + "\n## What each may claim\n" + "".join(map(_section, results))


def _line(result: Result) -> str:
    ratio = f"{result.ratio:,.2f}×" if result.ratio else ""
    numbers = number(result.value, result.unit), number(result.peer_value), ratio, span(result)
    return f"| `{result.name}` | {' | '.join(numbers)} | {result.bar or ''} | {verdict(result)} |\n"


def _operation(result: Result) -> str:
    exits, state = result.detail[EXITS], result.detail[STATE]
    return f"| `{result.name}` | {exits:g} | {state:,.0f} | {number(result.value)} |\n"


def _section(result: Result) -> str:
    row = ROWS[result.name]
    missing = f"\n*NOT RUN:* {result.not_run}.\n" if result.not_run else ""
    said = f"\n*May claim:* {row.may}.\n*May not claim:* {row.may_not}.\n"
    what = f"{row.title[0].upper()}{row.title[1:]}. Peer: {row.peer}."
    return f"\n### `{result.name}`\n\n{what}\n{missing}{said}{_details(result)}"


def _details(result: Result) -> str:
    """What else was counted, in a line of its own."""
    shown = [
        f"{name.replace('_', ' ')} {_words(value)}"
        for name, value in result.detail.items()
        if name not in (EXITS, STATE)
    ]
    return f"\nCounted: {'; '.join(shown)}.\n" if shown else ""


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(each)}" for name, each in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_words, value))
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if isinstance(value, float) else str(value)
