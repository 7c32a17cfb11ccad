"""`minivisor test`: what `make test` runs, for machines without make."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import click

from minivisor.commands import checkout, child
from minivisor.errors import MissingPartError, fault

__all__ = ["command"]


@click.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Run minivisor's own tests. Arguments go to pytest: `minivisor test tests/arch -k esr`."""
    root = checkout.find()
    if root is None:
        expected = "a checkout of the sources: the tests are not part of the installed package"
        raise MissingPartError(fault("test", "an installed package", expected, "README.md, Install"))
    if find_spec("pytest") is None:
        raise MissingPartError(fault("test", "no pytest", "the extra: pip install -e .[dev]", "CONTRIBUTING.md"))
    context.exit(child.run([sys.executable, "-m", "pytest", *arguments], root))
