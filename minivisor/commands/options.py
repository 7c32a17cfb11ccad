"""What `phone` and `run` have in common: options for the machine and for parts of somebody's own.

Nothing heavy is imported before a command really runs; `--help` must answer at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from minivisor.errors import MinivisorError, OptionError, fault

__all__ = ["Command", "apply", "machine_options", "own_parts", "parts"]

Command = TypeVar("Command", bound=Callable[..., Any])


def apply(options: list[Callable[[Any], Any]], command: Command) -> Command:
    """Give a command these options, in this order."""
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
    return apply(options, command)


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
