"""`minivisor embed`: a diagram of a saved trace as one page, or as SVG, for somebody's post."""

from __future__ import annotations

from pathlib import Path

import click

from minivisor.commands.outputs import writable

__all__ = ["command"]

EPILOG = """\b
A trace is made by `minivisor phone --trace FILE` or `minivisor run … --trace FILE`.

\b
Examples:
  minivisor embed run.trace --diagram timeline -o page.html      one file; open it, or put it on any server
  minivisor embed run.trace --diagram scheduler --from 10ms --to 40ms -o page.html
  minivisor embed run.trace --diagram world-switch -o page.html  by its title, or shorter: world
  minivisor embed run.trace --diagram timeline --svg -o picture.svg"""
LIMIT = 200_000  # bytes of a page without a window


@click.command(epilog=EPILOG)
@click.argument("trace", type=click.Path(path_type=Path))
@click.option("--diagram", required=True, metavar="NAME", help="Which diagram; a wrong name lists them.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="Where the page goes.",
)
@click.option("--svg", is_flag=True, help="The first frame as SVG, not a page.")
@click.option(
    "--from", "since", default="0ns", metavar="TIME", show_default=True, help="Virtual time of the first record."
)
@click.option("--to", "until", metavar="TIME", help="Virtual time before which the last one is.")
@click.option(
    "--guest", type=click.Path(path_type=Path), metavar="ELF", help="The guest, for instructions around a PC."
)
def command(
    trace: Path, diagram: str, output: Path, svg: bool, since: str, until: str | None, guest: Path | None
) -> None:  # fmt: skip
    """One self-contained page of a diagram of TRACE: no server, no network, no second file.

    Without --to it carries as many records from --from on as keep the page under 200 kB; with it, all of the window.
    """
    from minivisor.errors import OptionError, fault
    from minivisor.phone.units import parse_duration
    from minivisor.trace.store import Trace
    from minivisor.views import TRACED
    from minivisor.views.code import elf_reader
    from minivisor.views.engine import facts
    from minivisor.views.records import EMBED

    names = {**{"-".join(facts(name).title.lower().split()): name for name in TRACED}, **{name: name for name in TRACED}}
    if diagram not in names:
        raise OptionError(fault("--diagram", diagram, ", ".join(TRACED), "docs/gallery.html"))
    writable(output)
    view = TRACED[names[diagram]](
        Trace.load(trace),
        parse_duration(since),
        parse_duration(until) if until else None,
        code=elf_reader(guest) if guest else None,
        size=None if until else EMBED,
    )
    content = view.to_svg(output) if svg else view.to_html(output)
    _report(output, len(content.encode()), view.state["rows"]["count"], view.to_iframe(output.name), svg)


def _report(output: Path, size: int, records: int, snippet: str, svg: bool) -> None:
    """What was written, how large it is, and how to put it into a page."""
    click.echo(f"{output}: {records:,} records, {size:,} bytes")
    if not svg:
        if size > LIMIT:
            click.echo(f"more than {LIMIT:,} bytes: a shorter window (--from, --to) makes it smaller", err=True)
        click.echo(f"to embed it: {snippet}")
