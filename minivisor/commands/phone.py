"""`minivisor phone`: both personas, live in this terminal or headless."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from minivisor.commands.devices import input_devices, input_options, input_steps
from minivisor.commands.options import machine_options, own_parts, parts
from minivisor.commands.outputs import Outputs, output_options
from minivisor.errors import OptionError, fault

if TYPE_CHECKING:
    from minivisor.phone.phone import Phone
    from minivisor.phone.session import Step

__all__ = ["command"]

HEADLESS = "1s"
EPILOG = """\b
Live, the phone is on the left: Tab brings the other persona to the front, keys go to whoever is there,
F1 explains, F2 saves a picture, F10 or Ctrl-C ends. Both kernels obey some capital letters: S computes,
P panics, W sleeps for ever, B reboots, O powers off. Try S in one persona and look at the other's share.

\b
Examples:
  minivisor phone --personal Ada,teal --work "Ada at work,#3b5ba9"
  minivisor phone --headless --for 2s --png phone.png --trace phone.trace
  minivisor phone --headless --type hello@300ms --switch 600ms --type P@800ms --json
  minivisor phone --headless --for 2s --trace a.trace && minivisor phone --replay a.trace
  minivisor phone --headless --tap 80,4@400ms --png phone.png      a finger on the strip: the other persona
  minivisor phone --memory 512M --append console=ttyAMA0 --personal-guest Image,initrd.gz --work-guest Image,initrd.gz
  minivisor phone --scheduler mine.py:Mine          a policy of your own (class with next(now, vcpus))
  minivisor phone --cost-model kvm-arm-2016         the same, and time passes in EL2 too

\b
At the end: a summary (times, CPU shares, exits by class, the trace's digest) and the report of any persona
that was stopped. Exit status 0, also then; 1 for a replay that was another run; 2 for an option or a file of yours,
with one line that says why."""


@click.command(epilog=EPILOG)
@click.option("--headless", is_flag=True, help="No terminal view: run, then print the summary.")
@click.option("--for", "duration", metavar="TIME", help="End after this much virtual time (headless: 1s).")
@click.option("--personal", metavar="NAME[,COLOUR]", help="Name and colour of the personal persona.")
@click.option("--work", metavar="NAME[,COLOUR]", help="Name and colour of the work persona.")
@click.option("--memory", default="64M", metavar="SIZE", show_default=True, help="RAM of each persona.")
@click.option("--guest", metavar="FILE", help="Another kernel for both, instead of our home screen.")
@click.option("--personal-guest", metavar="KERNEL[,INITRD]", help="A kernel of its own for the personal persona.")
@click.option("--work-guest", metavar="KERNEL[,INITRD]", help="A kernel of its own for the work persona.")
@click.option("--append", metavar="TEXT", default="", help="Boot arguments for kernels that are not ours.")
@click.option("--type", "typed", multiple=True, metavar="[WHO:]TEXT[@TIME]",
              help="Type at a virtual time, for personal, work, or whoever is in front.")  # fmt: skip
@click.option("--switch", "switches", multiple=True, metavar="TIME", help="Press Tab at a virtual time.")
@input_options
@output_options
@machine_options
@click.pass_context
def command(context: click.Context, /, headless: bool, duration: str | None, typed: tuple[str, ...], switches: tuple[str, ...],
            **options: Any) -> None:  # fmt: skip
    """Boot the personal and the work persona and watch the phone: its screen, who is in front, what each costs.

    Two operating systems, each with a kernel of its own, on one simulated Arm core under the hypervisor. Where there
    is no terminal (a pipe, a log) it runs headless by itself."""
    from minivisor.phone.units import parse_duration

    outputs = Outputs(options)
    if not (headless or options["replay"] or _terminal()):
        click.echo(f"phone: no terminal here, so headless, for {duration or HEADLESS} (see --headless)", err=True)
        headless = True
    limit = parse_duration(duration or HEADLESS) if headless or duration else None
    script = _script(typed, switches, input_steps(options), limit)
    recording = outputs.play(script, duration)
    with own_parts(options):
        phone = _build(options)
        outputs.begin(phone.hypervisor)
        phone.session.plan(recording.steps if recording else script)
        if recording:
            _headless(phone, recording.end)
        else:
            _run(phone, limit, headless, consoles=bool(options["personal_guest"] or options["work_guest"]))
    context.exit(outputs.end(phone.hypervisor, phone.summary()))


def _terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def _script(typed: tuple[str, ...], switches: tuple[str, ...], others: list[Step], limit: int | None) -> list[Step]:
    """What --type, --switch, --tap and --press ask for; nothing may come after the end."""
    from minivisor.phone.session import Step, parse_typed
    from minivisor.phone.units import parse_duration

    steps = [*map(parse_typed, typed), *(Step(parse_duration(moment)) for moment in switches), *others]
    late = [step.at for step in steps if limit is not None and step.at >= limit]
    if late:
        expected = f"a moment before the end at {(limit or 0) / 1e9:g} s (--for)"
        raise OptionError(fault("--type, --switch, --tap or --press", f"{late[0] / 1e9:g} s", expected))
    return steps


def _build(options: dict[str, Any]) -> Phone:
    """Power the phone on, and run its first nanosecond: what must be compiled is compiled while somebody says why."""
    from rich.console import Console

    console = Console(stderr=True)
    with console.status("powering on (the very first time compiles the hot loops: a quarter of a minute)"):
        from minivisor.phone.phone import Phone
        from minivisor.phone.units import parse_person, parse_size

        memory = {"memory": parse_size(options["memory"])}
        people = [
            {
                **memory,
                "devices": input_devices(options),
                **(parse_person(options[who]) if options[who] else {}),
                **_kernel(options[f"{who}_guest"], options),
            }
            for who in ("personal", "work")
        ]
        names = ("board", "mmu", "seed", "clock", "list_registers", "guest")
        machine: dict[str, Any] = {name: options[name] for name in names}
        phone = Phone(people[0], people[1], **(machine | parts(options)))
        phone.session.advance(1)
        return phone


def _kernel(given: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """Settings of a persona from KERNEL[,INITRD]."""
    if not given:
        return {}
    kernel, _, initrd = given.partition(",")
    return {"guest": kernel, "initrd": initrd or None, "bootargs": options["append"]}


def _run(phone: Phone, limit: int | None, headless: bool, consoles: bool) -> None:
    """With kernels that are not ours the terminal shows serial lines, not the screen. JSON has stdout to itself."""
    if not consoles:
        _headless(phone, limit or 0) if headless else _live(phone, limit)
        return
    from minivisor.phone.consoles import Named, show

    if headless:
        Named(sys.stderr.buffer, list(phone.personas))
        _headless(phone, limit or 0)
    else:
        show(phone.session, limit, sys.stdout.buffer)


def _headless(phone: Phone, limit: int) -> None:
    """Run to the end, with a bar on stderr for whoever watches there."""
    from rich.console import Console
    from rich.progress import Progress

    from minivisor.phone.pace import FRAME

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("virtual time", total=limit)
        while phone.alive and phone.now < limit:
            phone.session.advance(min(phone.now + FRAME, limit))
            progress.update(task, completed=phone.now)


def _live(phone: Phone, limit: int | None) -> None:
    from minivisor.phone.terminal import show

    show(phone, limit)
