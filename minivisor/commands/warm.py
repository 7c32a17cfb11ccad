"""`minivisor warm`: compile the hot loops now, so that the first run of a class starts at once."""

from __future__ import annotations

import time

import click

__all__ = ["command"]


@click.command()
def command() -> None:
    """Compile the hot loops now, so that the next start is quick. Does nothing when they are compiled already."""
    start = time.perf_counter()
    from minivisor.machine.warm import warm  # and the engine: imported by those who use it only

    warm()
    click.echo(f"warm: the hot loops are compiled ({time.perf_counter() - start:.1f} s)")
