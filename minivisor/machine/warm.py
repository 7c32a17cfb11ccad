"""Compile the hot loops, where they are not compiled yet: they are one unit, so that using one of them is enough."""

from __future__ import annotations

from minivisor.machine.run import run

__all__ = ["warm"]


def warm() -> None:
    """Compile what is not compiled yet; takes some 15 s the first time and well under one afterwards."""
    _ = run.address
