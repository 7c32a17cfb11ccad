"""`minivisor run KERNEL`: one guest under the hypervisor, its console here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minivisor.commands.devices import attached, device_options, input_options, input_steps
from minivisor.commands.options import machine_options, own_parts, parts
from minivisor.commands.outputs import Outputs, output_options

if TYPE_CHECKING:
    from minivisor.hypervisor.hypervisor import Hypervisor
    from minivisor.phone.session import Session
    from minivisor.platform.virtio.device import Device

__all__ = ["BROKEN_TABLES", "STOPPED", "command"]

GICV3_BOARD = "b"
STOPPED = 3  # exit status: the guest was stopped with a report
BROKEN_TABLES = 4  # exit status: break-before-make was not kept
EPILOG = """\b
The guest sees the `virt` platform: RAM from 0x40000000, GICv2 or v3 at 0x08000000, PL011 at 0x09000000, PL031,
virtio-mmio slots from 0x0a000000, PSCI over HVC, and a device tree that says so in X0. An ELF is loaded where its
segments say and entered at EL1 with the MMU off; any other file is a flat image, loaded and entered at 0x40080000.

\b
In a terminal the keys are the guest's, Ctrl-C too, and time runs as yours does. Ctrl-A x ends the run,
Ctrl-A h says so. Without a terminal, or with --headless, it runs as fast as it can.

\b
Examples:
  minivisor run hello.elf                              until it powers off
  minivisor run kernel.elf --append "mixed 500" --for 2s
  minivisor run kernel.elf --handlers mine.py          on_hvc(exit, vcpu) -> Outcome is asked before ours
  minivisor run kernel.elf --scheduler mine.py:Mine --smp 2 --trace run.trace
  minivisor run kernel.elf --trace a.trace && minivisor run kernel.elf --replay a.trace
  minivisor run kernel.elf --json | jq .exits          the console goes to stderr then
  minivisor run vmlinuz --initrd initrd.gz --memory 256M --disk root.img --disk data.img:ro --net

\b
A part of your own is ordinary Python over minivisor/stages.py. For --handlers:
  from minivisor.stages import Outcome
  def on_hvc(exit, vcpu):
      if vcpu.x[0] == 0xC6000000:
          return Outcome(writes={"X0": 42})
      return NotImplemented                            our handler answers

\b
Exit status: 0 when the guest powered off, or --for or you ended it; 2 for a file or an option that is wrong;
3 when the guest was stopped because it could not go on (the report is on stderr); 4 when --check-tables found something;
1 for a replay that was another run. A replay needs every disk as it was before the recorded run."""


@click.command(epilog=EPILOG)
@click.argument("kernel")
@click.option("--for", "duration", metavar="TIME", help="End after this much virtual time.")
@click.option("--initrd", metavar="FILE", help="An initial RAM disk, for a Linux kernel.")
@click.option("--append", default="", metavar="TEXT", help="Boot arguments: /chosen bootargs in the device tree.")
@click.option("--memory", default="64M", metavar="SIZE", show_default=True, help="RAM, a multiple of 2M.")
@click.option("--smp", "--cpus", "cpus", type=click.IntRange(1, 8), default=1, metavar="N", show_default=True,
              help="Virtual CPUs; the guest starts them by PSCI CPU_ON.")  # fmt: skip
@click.option("--gic", type=click.Choice(["2", "3"]), default="2", metavar="2|3", show_default=True,
              help="Version of the guest's interrupt controller; 3 needs board b, and chooses it.")  # fmt: skip
@click.option("--type", "typed", multiple=True, metavar="TEXT[@TIME]", help="Type on the console at a virtual time.")
@click.option(
    "--check-tables",
    is_flag=True,
    help="At the end, say where page tables were changed without break-before-make or TLBI: the guest's, and ours.",
)
@click.option("--headless", is_flag=True, help="Take no keys, and run as fast as the host can.")
@device_options
@input_options
@output_options
@machine_options
@click.pass_context
def command(context: click.Context, /, kernel: str, duration: str | None, headless: bool, **options: Any) -> None:
    """Run any guest KERNEL (ELF or flat image) under the hypervisor, with its console in this terminal."""
    from minivisor.phone.session import Session, parse_typed
    from minivisor.phone.summary import summarize
    from minivisor.phone.units import parse_duration

    outputs = Outputs(options)
    if options["gic"] == "3" and context.get_parameter_source("board") == click.core.ParameterSource.DEFAULT:
        options["board"] = GICV3_BOARD
    limit = parse_duration(duration) if duration else None
    script = [*map(parse_typed, options["typed"]), *input_steps(options)]
    recording = outputs.play(script, duration)
    interactive = not (headless or recording) and sys.stdin.isatty() and sys.stdout.isatty()
    with own_parts(options), attached(options, Path(kernel).stem) as devices:
        session = Session(_build(kernel, options, devices))
        outputs.begin(session.hypervisor)
        if recording:
            script, limit = recording.steps, recording.end
        session.plan(script)
        with _console(session.hypervisor, to_stderr=outputs.as_json):
            interrupted = _interactive(session, limit) if interactive else _straight(session, limit)
    different = outputs.end(session.hypervisor, summarize(session.hypervisor, session.host), err=True)
    if recording:
        context.exit(different)
    _say_why(session.hypervisor, limit)
    broken = options["check_tables"] and _check_tables(session.hypervisor)
    stopped = any(persona.report for persona in session.hypervisor.personas)
    context.exit(STOPPED if stopped else 130 if interrupted else BROKEN_TABLES if broken else 0)


def _check_tables(hypervisor: Hypervisor) -> bool:
    """Say what was done to page tables in the wrong order. True when anything was."""
    from minivisor.course import bbm_guest

    log = hypervisor.machine.table_log
    assert log is not None
    found = bbm_guest.check(hypervisor)
    click.echo(bbm_guest.report(found, log.lost), err=True)
    return bool(found)


def _build(kernel: str, options: dict[str, Any], devices: list[Device]) -> Hypervisor:
    """The machine, and one guest on it."""
    from minivisor.hypervisor.hypervisor import Hypervisor
    from minivisor.hypervisor.persona import FRAMEBUFFER_ROOM, RAM, PersonaSettings
    from minivisor.hypervisor.placement import BLOCK
    from minivisor.machine.board import Machine
    from minivisor.machine.object_code import is_kept
    from minivisor.phone.units import parse_size
    from minivisor.platform.image import load_image, with_initrd

    memory = parse_size(options["memory"])
    settings = PersonaSettings(
        Path(kernel).stem or "guest",
        memory=memory,
        cpus=options["cpus"],
        bootargs=options["append"],
        gic=int(options["gic"]),
    )
    image = load_image(kernel, RAM, memory)
    if options["initrd"]:
        image = with_initrd(image, options["initrd"], RAM, memory - FRAMEBUFFER_ROOM)
    chosen = parts(options)
    if sys.stderr.isatty() and not is_kept():
        click.echo("minivisor: compiling the hot loops, once: a quarter of a minute", err=True)
    machine = Machine(
        options["board"],
        options["mmu"],
        list_registers=options["list_registers"],
        ram=memory + BLOCK,
        check_tables=options["check_tables"],
    )
    policy, cost = chosen["scheduler"], chosen["cost"]
    hypervisor = Hypervisor(machine, chosen["stages"], policy, cost, options["seed"], clock=options["clock"])
    hypervisor.add(settings, image, devices)
    return hypervisor


@contextmanager
def _console(hypervisor: Hypervisor, to_stderr: bool) -> Iterator[None]:
    """While the guest runs, what it prints comes out here; after that the terminal is clean again."""
    from minivisor.phone.console import Output

    output = Output((sys.stderr if to_stderr else sys.stdout).buffer)
    hypervisor.personas[0].on_output = output
    try:
        yield
    finally:
        output.close()


def _straight(session: Session, limit: int | None) -> bool:
    """As fast as the host can, without keys. True when the user ended it with Ctrl-C."""
    from minivisor.hypervisor.hypervisor import NEVER

    try:
        session.advance(NEVER if limit is None else limit)
    except KeyboardInterrupt:
        return True
    return False


def _interactive(session: Session, limit: int | None) -> bool:
    """At the user's own pace, with keys. False: leaving by Ctrl-A x is a way to end it, not an interruption."""
    from minivisor.phone.console import Escape, ended_by_signals, keyboard
    from minivisor.phone.pace import Pacer

    escape, pacer = Escape(), Pacer(session, limit)
    with ended_by_signals(), keyboard() as keys:
        idle = 0.0
        while not (pacer.finished or escape.ended):
            session.type(escape.keys(keys.poll(idle)))
            idle = pacer.step()
    return False


def _say_why(hypervisor: Hypervisor, limit: int | None) -> None:
    """A guest that waits for a key which nobody can type ends the run without a report; say so."""
    if limit is None and hypervisor.alive and not any(vcpu.status == "ready" for vcpu in hypervisor.vcpus):
        click.echo("run: the guest waits for a key; give it one with --type, or run in a terminal", err=True)
