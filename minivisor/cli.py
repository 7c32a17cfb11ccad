"""The `minivisor` command: a table of subcommands, and the one place where an error becomes a line and an exit status.

A subcommand is a module of `minivisor.commands` that exports `command`. The table below holds its name and a line of
help, and the module is imported only when that subcommand is really asked for: `minivisor --help` answers at once
because it never meets Numba, NumPy or the CPU engine.

    exit status   0    done                          2    the user's input: one line on stderr, no traceback
                  130  interrupted by Ctrl-C         141  the reader of our output went away (`minivisor … | head`)

Anything else that escapes is a defect of minivisor's, and shows its traceback.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import click

from minivisor import __version__
from minivisor.errors import MinivisorError

__all__ = ["COMMANDS", "group", "main", "run"]

COMMANDS = {
    "phone": "Boot both personas and watch the phone, live in this terminal.",
    "run": "Run any guest kernel (ELF or flat image) under the hypervisor.",
    "study": "Open the chapters and labs in JupyterLab.",
    "test": "Run minivisor's own tests.",
    "warm": "Compile the hot loops now, so that the next start is quick.",
    "trace": "Look into a saved trace: info, diff, cut, export to Perfetto.",
    "embed": "A diagram of a saved trace as one page, or as SVG.",
    "conformance": "Run a folder of kvm-unit-tests images, and print a scoreboard.",
    "boards": "List the boards, and how many lines of source each took.",
    "bench": "Measure, each row a ratio against a named peer in the same run.",
}
"""Subcommand -> its line in `minivisor --help`. The module is minivisor.commands.<name>."""

EPILOG = """\b
Try:
  minivisor phone                        two personas, Tab switches, Ctrl-C ends
  minivisor phone --headless --for 2s    the same without a terminal, and a summary
  minivisor study                        chapter 00, in the browser"""


class LazyGroup(click.Group):
    """A click group that knows its commands by name and loads one when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"minivisor.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the table alone: click's own version would load every command to ask for its help."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    epilog=EPILOG,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, package_name="minivisor")
@click.pass_context
def group(context: click.Context) -> None:
    """A phone with two people in it: two operating systems on one simulated Arm core, under a hypervisor small enough
    to read."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _usage(error: click.ClickException) -> str:
    """A click error in one line: what was wrong, and which help says what would be right."""
    message = " ".join(error.format_message().split())
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else "minivisor"
    return f"{path}: {message} (see {path} --help)"


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line. Returns the exit status; errors of the user's are already on stderr."""
    try:
        with group.make_context("minivisor", list(arguments)) as context:
            group.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except MinivisorError as error:
        print(f"minivisor: {error}", file=sys.stderr)
        return error.exit_status
    except click.ClickException as error:
        print(_usage(error), file=sys.stderr)
        return 2
    except (KeyboardInterrupt, click.Abort):
        return 130
    except BrokenPipeError:
        # Nobody reads on. Point stdout elsewhere, so that the interpreter's last flush does not complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return 0


def main() -> NoReturn:
    """The entry point of the installed script and of `python -m minivisor`."""
    gc.set_threshold(200_000, 50, 1_000)  # what a start makes stays: not to be searched for garbage every 700 objects
    sys.exit(run(sys.argv[1:]))
