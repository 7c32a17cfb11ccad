"""Virtio devices that options name: disks, a network card, noise, keys and touch, a console.

They take their slots in this order, disks first as they are given, so that a kernel's first disk is the first `--disk`.
Whatever way a run ends, disks are flushed and closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from minivisor.platform.virtio.device import Device

__all__ = ["attached", "device_options"]

Command = TypeVar("Command", bound=Callable[..., Any])


def device_options(command: Command) -> Command:
    """Options about virtio devices."""
    options = [
        click.option("--disk", "disks", multiple=True, metavar="FILE[:ro]",
                     help="A disk; may be given again. The file keeps its size, and is locked meanwhile."),
        click.option("--net", is_flag=True, help="A network card; on the wire 10.0.2.2 answers ARP and ping."),
        click.option("--rng", is_flag=True, help="A source of noise, the same for the same --seed."),
        click.option("--input", "input_devices", is_flag=True, help="A keyboard and a touch screen."),
        click.option("--console", type=click.Choice(["uart", "virtio"]), default="uart", show_default=True,
                     help="Which of the guest's consoles gets the keys; what it prints on either is shown."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


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
    from minivisor.hypervisor.persona import FRAMEBUFFER
    from minivisor.platform.virtio.block import Block
    from minivisor.platform.virtio.console import Console
    from minivisor.platform.virtio.disk import open_disk
    from minivisor.platform.virtio.entropy import Entropy
    from minivisor.platform.virtio.input import Keyboard, Touch
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
    if options["input_devices"]:
        devices += [Keyboard(), Touch(FRAMEBUFFER.width, FRAMEBUFFER.height)]
    if options["console"] == "virtio":
        devices.append(Console())
