"""What `phone` and `run` have in common: options for the machine and for parts of somebody's own, and what comes after.

Nothing heavy is imported before a command really runs; `--help` must answer at once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from minivisor.errors import MinivisorError, OptionError, fault, writing

if TYPE_CHECKING:
    from minivisor.hypervisor.hypervisor import Hypervisor
    from minivisor.phone.replay import Replay
    from minivisor.phone.summary import Summary

__all__ = [
    "DIFFERENT",
    "compare",
    "keep",
    "machine_options",
    "note_setup",
    "output_options",
    "own_parts",
    "parts",
    "recorded",
    "report",
    "writable",
]

DIFFERENT = 1  # exit status of a replay that was another run

Command = TypeVar("Command", bound=Callable[..., Any])


def _apply(options: list[Callable[[Any], Any]], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def machine_options(command: Command) -> Command:
    """Options about the machine, and parts of somebody's own."""
    options = [
        click.option("--slice", default="5ms", metavar="TIME", show_default=True, help="Time slice of the scheduler."),
        click.option("--scheduler", metavar="POLICY", help="fair-share (the default), round-robin, or FILE:CLASS."),
        click.option("--handlers", metavar="FILE", help="Your own on_hvc, on_smc, on_wfi, on_sysreg or on_abort."),
        click.option("--cost-model", default="zero", metavar="MODEL", show_default=True,
                     help="What exits and switches cost: zero, kvm-arm-2016, or FILE:NAME."),
        click.option("--board", default="a", metavar="NAME", show_default=True, help="The phone's hardware."),
        click.option("--mmu", default="minivisor", metavar="ENGINE", show_default=True,
                     help="minivisor (the walk you can read) or unicorn (the engine's own)."),
        click.option("--list-registers", type=click.IntRange(1, 16), metavar="N", help="Use only N list registers."),
        click.option("--clock", default="virtual", metavar="CLOCK", show_default=True,
                     help="virtual (instructions, reproducible) or host (real time, nothing counted, faster, is not)."),
        click.option("--seed", type=int, default=0, metavar="N", show_default=True,
                     help="For what the guest is told is random."),
        click.option("--traceback", is_flag=True, help="When a part of yours fails, show everything, not one line."),
    ]  # fmt: skip
    return _apply(options, command)


def output_options(command: Command) -> Command:
    """Options about what is left of a run."""
    path = click.Path(dir_okay=False, path_type=Path)
    options = [
        click.option("--png", type=path, metavar="FILE", help="Save the picture of the screen at the end."),
        click.option("--trace", type=path, metavar="FILE", help="Save the trace: every exit, switch and interrupt."),
        click.option(
            "--replay",
            type=path,
            metavar="TRACE",
            help="Run again what --trace saved, with the same options and files, and compare.",
        ),
        click.option("--registers", type=click.IntRange(0, 100_000), default=32, metavar="N", show_default=True,
                     help="Of how many world switches, the first ones, the trace keeps the registers."),
        click.option("--json", "as_json", is_flag=True, help="The summary as JSON on stdout, and nothing else there."),
    ]
    return _apply(options, command)


def parts(options: dict[str, Any]) -> dict[str, Any]:
    """The replaceable parts that options name: scheduler, stages, cost. Raises StageError or OptionError."""
    from minivisor.hypervisor.reference import reference
    from minivisor.phone import parts as own
    from minivisor.phone.units import parse_duration

    slice_ = parse_duration(options["slice"])
    if slice_ <= 0:
        raise OptionError(fault("--slice", options["slice"], "more than nothing, as in 5ms"))
    handlers = own.load_handlers(options["handlers"]) if options["handlers"] else None
    return {
        "scheduler": own.load_scheduler(options["scheduler"] or "fair-share", slice_),
        "stages": reference if handlers is None else own.stages_with(handlers),
        "cost": own.load_cost_model(options["cost_model"]),
    }


@contextmanager
def own_parts(options: dict[str, Any]) -> Iterator[None]:
    """While the user's parts are at work: what they raise becomes one line that names file and line."""
    try:
        yield
    except Exception as problem:
        if options["traceback"] or (isinstance(problem, MinivisorError) and problem.__cause__ is None):
            raise
        from minivisor.phone.parts import blame

        files = [options["handlers"], (options["scheduler"] or "").rpartition(":")[0]]
        own = blame(problem, *filter(None, files))
        if own is None:
            raise
        raise own from problem


def writable(*files: Path | None) -> None:
    """Refuse now what could not be written after a long run."""
    for file in filter(None, files):
        if not file.resolve().parent.is_dir():
            raise OptionError(fault("output", str(file), "a file in a folder that exists"))


def keep(hypervisor: Hypervisor, png: Path | None, trace: Path | None) -> None:
    """Write the picture and the trace, where wanted."""
    if png is not None:
        from minivisor.phone.screen import picture

        assert hypervisor.foreground is not None
        with writing("--png", png):
            picture(hypervisor.machine.panel, hypervisor.foreground).save(png, "PNG")
    if trace is not None:
        from minivisor.phone.replay import mark_end

        mark_end(hypervisor.trace, hypervisor.now)
        hypervisor.trace.save(trace)


def recorded(file: Path, *others: object) -> Replay:
    """The recording to play; it brings its own inputs and its own end. others: what would bring more."""
    from minivisor.phone.replay import Replay

    if any(others):
        raise OptionError(fault("--replay", "--type, --switch or --for too", "the recording's own inputs and end"))
    return Replay.load(file)


def note_setup(hypervisor: Hypervisor, options: dict[str, Any]) -> None:
    """Before a run that is kept: of how many switches to keep the registers, and what it is made of, for a replay."""
    from minivisor.phone.setup import note, part
    from minivisor.phone.units import parse_duration

    hypervisor.trace.registers.left = options["registers"]
    chosen = {"scheduler": part(options["scheduler"], "fair-share"), "handlers": part(options["handlers"])}
    counts = {"slice": f"{parse_duration(options['slice'])} ns", "registers kept": str(options["registers"])}
    note(hypervisor, {**chosen, "cost model": part(options["cost_model"]), **counts})


def compare(recording: Replay, hypervisor: Hypervisor) -> int:
    """Say whether it was the same run. Returns the exit status."""
    found = recording.compare(hypervisor)
    if found is None:
        click.echo("replay: the same run, record by record", err=True)
        return 0
    click.echo(f"replay: another run\n{found.table() if found.number >= 0 else found.describe()}", err=True)
    return DIFFERENT


def report(summary: Summary, as_json: bool, err: bool = False) -> None:
    """Print the summary: JSON on stdout, or text where the command wants it."""
    if as_json:
        json.dump(summary.as_dict(), sys.stdout, indent=2, ensure_ascii=False)
        click.echo()
    else:
        click.echo(str(summary), err=err)
