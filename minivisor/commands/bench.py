"""`minivisor bench`: measure, each row a ratio against a named peer in the same run."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from minivisor.errors import OptionError, fault

__all__ = ["command"]

ROWS = """guest, guest-host, guest-qemu, guest-host-qemu, exit, svc, tlb, walk, walk-naive, eoi, mmio_read_vgic,
  mmio_read_user, timer, ipi, switch, trace, linux, linux-host, linux-smp, linux-idle, start-warm, start-cold,
  help, memory"""


@click.command(
    epilog=f"""\b
Rows: {ROWS}.
Try:
  minivisor bench                     all rows, ten minutes
  minivisor bench exit switch         these two
  minivisor bench --json > today      every sample, and where it was measured"""
)
@click.argument("rows", nargs=-1, metavar="[ROW]…")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON instead of a table.")
@click.option("--rounds", type=click.IntRange(1, 1000), help="Pairs of each row, instead of the row's own number.")
@click.option("--quick", is_flag=True, help="Do everything once and small: a test of the bench, judged by no bar.")
@click.option(
    "--write", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write the page of all numbers."
)
@click.option("--check", is_flag=True, help="Exit status 1 when a bar does not hold.")
@click.pass_context
def command(
    context: click.Context,
    rows: tuple[str, ...],
    as_json: bool,
    rounds: int | None,
    quick: bool,
    write: Path | None,
    check: bool,
) -> None:
    """Measure, each row a ratio against a named peer in the same run. What is ours and what is the peer's are taken in
    turns, and the median of the ratios is held against the row's bar (docs/numbers.md)."""
    if quick and check:
        raise OptionError(fault("--check", "--quick beside it", "a full run, which bars can judge", "docs/numbers.md"))
    if write and (quick or rows):
        raise OptionError(fault("--write", "a part of the rows, or --quick", "a full run of all", "docs/numbers.md"))
    from rich.console import Console  # measuring and tables: not for `minivisor --help`
    from rich.progress import Progress

    from minivisor.bench import numbers, report
    from minivisor.bench.rows import chosen
    from minivisor.bench.run import measure

    wanted, where, results = chosen(rows), report.environment(), []
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        for row in wanted:
            task = progress.add_task(row.name, total=1.0)
            measured = measure(row, rounds, quick, partial(_advance, progress, task))
            results.append(report.judge(row, measured, quick))
            progress.update(task, completed=1.0)
    where["load_average_after"] = report.load_average()
    if write:
        write.write_text(numbers.as_markdown(results, where), encoding="utf-8")
    if as_json:
        click.echo(report.as_json(results, where, quick))
    else:
        Console().print(report.table(results, where), *report.legend(results), sep="\n")
    context.exit(1 if check and any(result.holds is False for result in results) else 0)


def _advance(progress: Any, task: Any, part: float) -> None:
    progress.update(task, completed=part)
