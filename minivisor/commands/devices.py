"""Virtio devices that options name: disks, a network card, noise, keys and touch, a console.

They take their slots in this order, disks first as they are given, so that a kernel's first disk is the first `--disk`.
Whatever way a run ends, disks are flushed and closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from minivisor.errors import OptionError, fault

if TYPE_CHECKING:
    from minivisor.phone.session import Step
    from minivisor.platform.virtio.device import Device

__all__ = ["attached", "device_options", "input_devices", "input_options", "input_steps"]

Command = TypeVar("Command", bound=Callable[..., Any])


def device_options(command: Command) -> Command:
    """Options about virtio devices."""
    options = [
        click.option("--disk", "disks", multiple=True, metavar="FILE[:ro]",
                     help="A disk; may be given again. The file keeps its size, and is locked meanwhile."),
        click.option("--net", is_flag=True, help="A network card; on the wire 10.0.2.2 answers ARP and ping."),
        click.option("--rng", is_flag=True, help="A source of noise, the same for the same --seed."),
        click.option("--console", type=click.Choice(["uart", "virtio"]), default="uart", show_default=True,
                     help="Which of the guest's consoles gets the keys; what it prints on either is shown."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def input_options(command: Command) -> Command:
    """Options about keys and fingers."""
    options = [
        click.option("--input", "input_devices", is_flag=True, help="A virtio keyboard and touch screen for the guest."),
        click.option("--tap", "taps", multiple=True, metavar="X,Y[@TIME]",
                     help="Tap on the panel at a virtual time; the strip on top switches."),
        click.option("--press", "presses", multiple=True, metavar="TEXT[@TIME]",
                     help="Press the keys of a text on the virtio keyboard at a virtual time."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def input_steps(options: dict[str, Any]) -> list[Step]:
    """What --tap and --press ask for."""
    from minivisor.phone.session import parse_press, parse_tap

    if options["presses"] and not options["input_devices"]:
        raise OptionError(fault("--press", options["presses"][0], "--input too: there is no keyboard otherwise"))
    return [*map(parse_tap, options["taps"]), *map(parse_press, options["presses"])]


def input_devices(options: dict[str, Any]) -> list[Device]:
    """A keyboard and a touch screen, where wanted."""
    from minivisor.hypervisor.persona import FRAMEBUFFER
    from minivisor.platform.virtio.input import Keyboard, Touch

    return [Keyboard(), Touch(FRAMEBUFFER.width, FRAMEBUFFER.height)] if options["input_devices"] else []


@contextmanager
def attached(options: dict[str, Any], name: str) -> Iterator[list[Device]]:
    """The devices for a guest of this name, closed at the end. Raises OptionError for a disk that cannot be one."""
    devices: list[Device] = []
    try:
        _open(devices, options, name)
        yield devices
    finally:
        for device in devices:
            device.close()


def _open(devices: list[Device], options: dict[str, Any], name: str) -> None:
    from minivisor.platform.virtio.block import Block
    from minivisor.platform.virtio.console import Console
    from minivisor.platform.virtio.disk import open_disk
    from minivisor.platform.virtio.entropy import Entropy
    from minivisor.platform.virtio.neighbour import Neighbour
    from minivisor.platform.virtio.net import Net
    from minivisor.platform.virtio.switch import Switch

    for text in options["disks"]:
        devices.append(Block(open_disk(text)))  # one by one: what is open is closed when the next one is not to be had
    if options["net"]:
        switch = Switch()
        devices.append(Net(switch))
        Neighbour(switch)
    if options["rng"]:
        devices.append(Entropy(options["seed"], name))
    devices += input_devices(options)
    if options["console"] == "virtio":
        devices.append(Console())
