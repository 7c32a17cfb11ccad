"""What is left of a run of `phone` or `run`: picture, trace and summary, and the recording that it is compared with."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minivisor.commands.options import Command, apply
from minivisor.errors import OptionError, fault, writing

if TYPE_CHECKING:
    from minivisor.hypervisor.hypervisor import Hypervisor
    from minivisor.phone.replay import Replay
    from minivisor.phone.summary import Summary

__all__ = ["DIFFERENT", "Outputs", "output_options", "writable"]

DIFFERENT = 1  # exit status of a replay that was another run


def output_options(command: Command) -> Command:
    """Options about what is left of a run."""
    path = click.Path(dir_okay=False, path_type=Path)
    options = [
        click.option("--png", type=path, metavar="FILE", help="Save the picture of the screen at the end."),
        click.option("--trace", type=path, metavar="FILE", help="Save the trace: every exit, switch and interrupt."),
        click.option("--replay", type=path, metavar="TRACE",
                     help="Run again what --trace saved, with the same options and files, and compare."),
        click.option("--registers", type=click.IntRange(0, 100_000), default=32, metavar="N", show_default=True,
                     help="Of how many world switches, the first ones, the trace keeps the registers."),
        click.option("--json", "as_json", is_flag=True, help="The summary as JSON on stdout, and nothing else there."),
    ]  # fmt: skip
    return apply(options, command)


def writable(*files: Path | None) -> None:
    """Refuse now what could not be written after a long run."""
    for file in filter(None, files):
        if not file.resolve().parent.is_dir():
            raise OptionError(fault("output", str(file), "a file in a folder that exists"))


class Outputs:
    """One run's, by the options above: `play` before there is a machine, `begin` before it runs, `end` after that.

    recording: what is played again instead of inputs from the command line; None without --replay.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self._options, self.as_json = options, bool(options["as_json"])
        self._png, self._trace, self._replay = options["png"], options["trace"], options["replay"]
        self.recording: Replay | None = None
        writable(self._png, self._trace)

    def play(self, *others: object) -> Replay | None:
        """The recording; it brings its own inputs and its own end. others: what would bring more."""
        if self._replay:
            from minivisor.phone.replay import Replay

            if any(others):
                raise OptionError(fault("--replay", "--type, --switch or --for too", "the recording's own inputs and end"))
            self.recording = Replay.load(self._replay)
        return self.recording

    def begin(self, hypervisor: Hypervisor) -> None:
        """Note what a kept run is made of, and of how many switches to keep the registers; a recording must be of the same."""
        if self._trace or self.recording:
            from minivisor.phone.setup import note, part
            from minivisor.phone.units import parse_duration

            options = self._options
            hypervisor.trace.registers.left = options["registers"]
            chosen = {"scheduler": part(options["scheduler"], "fair-share"), "handlers": part(options["handlers"])}
            counts = {"slice": f"{parse_duration(options['slice'])} ns", "registers kept": str(options["registers"])}
            note(hypervisor, {**chosen, "cost model": part(options["cost_model"]), **counts})
        if self.recording:
            self.recording.check(hypervisor)

    def end(self, hypervisor: Hypervisor, summary: Summary, err: bool = False) -> int:
        """Write what is wanted, and print the summary. err: on stderr. Returns the exit status: not 0 for another run."""
        self._keep(hypervisor)
        if self.as_json:
            json.dump(summary.as_dict(), sys.stdout, indent=2, ensure_ascii=False)
            click.echo()
        else:
            click.echo(str(summary), err=err)
        return self._compare(self.recording, hypervisor) if self.recording else 0

    def _keep(self, hypervisor: Hypervisor) -> None:
        if self._png is not None:
            from minivisor.phone.screen import picture

            assert hypervisor.foreground is not None
            with writing("--png", self._png):
                picture(hypervisor.machine.panel, hypervisor.foreground).save(self._png, "PNG")
        if self._trace is not None:
            from minivisor.phone.replay import mark_end

            mark_end(hypervisor.trace, hypervisor.now)
            hypervisor.trace.save(self._trace)

    @staticmethod
    def _compare(recording: Replay, hypervisor: Hypervisor) -> int:
        found = recording.compare(hypervisor)
        if found is None:
            click.echo("replay: the same run, record by record", err=True)
            return 0
        click.echo(f"replay: another run\n{found.table() if found.number >= 0 else found.describe()}", err=True)
        return DIFFERENT
