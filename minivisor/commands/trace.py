"""`minivisor trace`: what a saved trace holds, where two of them part, a piece of one, one for Perfetto's viewer."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minivisor.commands.outputs import writable
from minivisor.errors import writing

if TYPE_CHECKING:
    from minivisor.trace.records import Record
    from minivisor.trace.store import Trace

__all__ = ["DIFFERENT", "command"]

DIFFERENT = 1  # exit status of `diff`, as of diff(1)
EPILOG = """\b
A trace is made by `minivisor phone --trace FILE` or `minivisor run … --trace FILE`.

\b
Examples:
  minivisor trace info run.trace                             what is in it, who had the core, exits by class
  minivisor trace info run.trace --last 20                   and the newest 20 records in words
  minivisor trace diff monday.trace tuesday.trace            the first record in which two runs part
  minivisor trace cut run.trace --from 1s --to 1.2s -o part.trace
  minivisor trace export run.trace -o run.perfetto-trace     open it at Perfetto's viewer"""
FILE = click.Path(path_type=Path)
OUTPUT = click.Path(dir_okay=False, path_type=Path)


@click.group(epilog=EPILOG)
def command() -> None:
    """Look into saved traces: what is in one, where two of them part, a piece of one, one for another viewer."""


@command.command()
@click.argument("file", type=FILE)
@click.option("--last", type=click.IntRange(0, 100_000), default=0, metavar="N", help="Show the newest N records too.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def info(file: Path, last: int, as_json: bool) -> None:
    """What FILE was recorded on, how much it holds, who had the core, exits by class."""
    trace = _load(file)
    if as_json:
        json.dump(_facts(trace), sys.stdout, indent=2, ensure_ascii=False)
        click.echo()
        return
    from minivisor.trace.decisions import decisions
    from minivisor.trace.usage import usage, usage_table

    click.echo("\n".join(f"{name:<12} {_shown(value)}" for name, value in _facts(trace).items()))
    tables = [usage_table(usage(trace.rows()), trace.metadata.name), trace.exits_by_class(), decisions(trace)]
    for table in [*tables, trace.table(last)] if last else tables:
        if table.rows:
            click.echo(f"\n{table}")


@command.command()
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
@click.pass_context
def diff(context: click.Context, first: Path, second: Path) -> None:
    """The first record in which FIRST and SECOND differ. Exit status 0 when they are equal, 1 when they are not."""
    from minivisor.trace.diff import divergence

    found = divergence(_load(first), _load(second))
    if found is None:
        click.echo("equal: one digest")
        return
    click.echo(str(found.table()) if found.number >= 0 else found.describe())
    context.exit(DIFFERENT)


@command.command()
@click.argument("file", type=FILE)
@click.option(
    "--from", "since", default="0ns", metavar="TIME", show_default=True, help="Virtual time of the first record."
)
@click.option("--to", "until", metavar="TIME", help="Virtual time before which the last one is.")
@click.option("-o", "--output", type=OUTPUT, required=True, metavar="FILE", help="Where the piece goes.")
def cut(file: Path, since: str, until: str | None, output: Path) -> None:
    """The records of FILE between two virtual times, as a trace of their own."""
    from minivisor.phone.units import parse_duration

    writable(output)
    piece = _load(file).cut(parse_duration(since), parse_duration(until) if until else None)
    piece.save(output)
    click.echo(f"{output}: {len(piece):,} records")


@command.command()
@click.argument("file", type=FILE)
@click.option("-o", "--output", type=OUTPUT, required=True, metavar="FILE", help="Where it goes.")
def export(file: Path, output: Path) -> None:
    """FILE for Perfetto's viewer: a process for each persona, a track for each vCPU and each interrupt."""
    from rich.console import Console
    from rich.progress import track

    from minivisor.trace.perfetto import export as exported

    writable(output)
    trace = _load(file)

    def progress(records: Iterable[Record]) -> Iterable[Record]:
        return track(records, "exporting", total=len(trace), console=Console(stderr=True), transient=True)

    content = exported(trace, progress)
    with writing("--output", output):
        output.write_bytes(content)
    click.echo(f"{output}: {len(trace):,} records, {len(content):,} bytes")


def _load(file: Path) -> Trace:
    from minivisor.trace.store import Trace

    return Trace.load(file)


def _facts(trace: Trace) -> dict[str, Any]:
    """What there is to say about a trace as a whole."""
    import numpy as np

    from minivisor.trace.records import Kind

    rows, metadata = trace.rows(), trace.metadata
    kinds, counts = np.unique(rows["kind"], return_counts=True)
    return {
        "records": len(trace),
        "lost": trace.lost,
        "digest": trace.digest(),
        "from ns": int(rows["time"][0]) if len(rows) else 0,
        "to ns": int(rows["time"][-1]) if len(rows) else 0,
        "vcpus": list(metadata.personas),
        "board": metadata.board,
        "mmu": metadata.mmu,
        "cost model": metadata.cost_model,
        "seed": metadata.seed,
        **metadata.extra,
        "kinds": {Kind(kind).name: int(count) for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True)},
    }


def _shown(value: object) -> str:
    """A fact on one line; what is not printable is escaped, since a file may come from anyone."""
    if isinstance(value, dict):
        value = ", ".join(f"{name} {count:,}" for name, count in value.items())
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
