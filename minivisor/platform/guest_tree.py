"""The device tree of a persona: the virtual platform, described to the kernel that runs on it.

The platform is the same on every board (DESIGN, section 4), so nothing here depends on hardware. Names and properties
are those of QEMU's `virt` machine, because kernels already know that one. What makes a persona this persona is under
/chosen: `minivisor,name` and `minivisor,colour`.

`rng-seed` and `kaslr-seed`, by which a kernel places itself, come from the run's seed: a kernel without the first burns
millions of instructions on collecting jitter, and one with a random one would make every run different.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from minivisor.arch.psci import Function
from minivisor.arch.virtio import SLOT_SIZE
from minivisor.platform.devicetree import Node, Value, cells, flatten
from minivisor.platform.distributor_v3 import REDISTRIBUTOR
from minivisor.platform.gic import GICC, GICD, GICR, V2_FRAME, V3_FRAME
from minivisor.platform.virtio.slots import BASE as VIRTIO
from minivisor.platform.virtio.slots import FIRST_SPI

__all__ = ["Framebuffer", "guest_tree"]

UART, RTC = 0x0900_0000, 0x0901_0000
GIC_PHANDLE, CLOCK_PHANDLE, FRAMEBUFFER_PHANDLE = 1, 2, 3
SPI, PPI = 0, 1
LEVEL_HIGH = 4
# Secure physical, physical, virtual and hypervisor timer, in the order of the arm,armv8-timer binding.
TIMER_PPIS = (13, 14, 11, 10)
APB_CLOCK = 24_000_000  # Hz
SEED_BYTES, KASLR_BYTES = 64, 8


@dataclass(frozen=True, slots=True)
class Framebuffer:
    """A screen in the persona's RAM. address: IPA, 4 KiB aligned. stride: bytes a line. format: see the binding."""

    address: int
    width: int
    height: int
    stride: int
    format: str = "r5g6b5"

    @property
    def size(self) -> int:
        """Bytes it takes, in whole pages."""
        return -(-self.stride * self.height // 4096) * 4096


def guest_tree(
    memory: tuple[int, int],
    cpus: int,
    name: str,
    colour: int,
    framebuffer: Framebuffer | None = None,
    bootargs: str = "",
    initrd: tuple[int, int] | None = None,
    seed: int = 0,
    gic: int = 2,
    virtio: int = 0,
) -> bytes:
    """The flattened device tree of one persona.

    memory: (IPA, bytes) of its RAM. cpus: 1 to 8. colour: 0xRRGGBB. initrd: IPA of its first byte and of the one after.
    gic: version of the interrupt controller, 2 or 3. virtio: how many of the slots have a device, from the first on.
    """
    children = [
        Node("chosen", _chosen(name, colour, bootargs, initrd, seed)),
        Node(f"memory@{memory[0]:x}", {"device_type": "memory", "reg": cells(*memory)}),
        Node("cpus", {"#address-cells": 1, "#size-cells": 0}, [_cpu(index) for index in range(cpus)]),
        _psci(),
        _timer(cpus if gic == 2 else 0),
        _gicv2() if gic == 2 else _gicv3(cpus),
        _clock(),
        _amba("pl011", UART, 1, clocks=("uartclk", "apb_pclk")),
        _amba("pl031", RTC, 2, clocks=("apb_pclk",)),
        *(_virtio(slot) for slot in range(virtio)),
    ]
    if framebuffer:
        children += [_screen(framebuffer), _reserved(framebuffer)]
    root: dict[str, Value] = {
        "compatible": "linux,dummy-virt",
        "model": "minivisor virtual platform",
        "#address-cells": 2,
        "#size-cells": 2,
        "interrupt-parent": GIC_PHANDLE,
    }
    return flatten(Node("", root, children))


def _chosen(name: str, colour: int, bootargs: str, initrd: tuple[int, int] | None, seed: int) -> dict[str, Value]:
    chosen: dict[str, Value] = {
        "stdout-path": f"/pl011@{UART:x}",
        "bootargs": bootargs,
        "kaslr-seed": hashlib.shake_256(f"minivisor kaslr {seed} {name}".encode()).digest(KASLR_BYTES),
        "rng-seed": hashlib.shake_256(f"minivisor {seed} {name}".encode()).digest(SEED_BYTES),
        "minivisor,name": name,
        "minivisor,colour": colour,
    }
    if initrd is not None:
        chosen["linux,initrd-start"], chosen["linux,initrd-end"] = cells(initrd[0]), cells(initrd[1])
    return chosen


def _screen(framebuffer: Framebuffer) -> Node:
    return Node(
        f"framebuffer@{framebuffer.address:x}",
        {
            "compatible": "simple-framebuffer",
            "reg": cells(framebuffer.address, framebuffer.size),
            "memory-region": FRAMEBUFFER_PHANDLE,
            "width": framebuffer.width,
            "height": framebuffer.height,
            "stride": framebuffer.stride,
            "format": framebuffer.format,
        },
    )


def _reserved(framebuffer: Framebuffer) -> Node:
    region = Node(
        f"framebuffer@{framebuffer.address:x}",
        {
            "reg": cells(framebuffer.address, framebuffer.size),
            "no-map": True,  # Linux maps a screen itself, and refuses to where it has mapped RAM already
            "phandle": FRAMEBUFFER_PHANDLE,
        },
    )
    return Node("reserved-memory", {"#address-cells": 2, "#size-cells": 2, "ranges": True}, [region])


def _cpu(index: int) -> Node:
    return Node(
        f"cpu@{index:x}",
        {"device_type": "cpu", "compatible": "arm,cortex-a72", "reg": index, "enable-method": "psci"},
    )


def _psci() -> Node:
    return Node(
        "psci",
        {
            "compatible": ["arm,psci-1.0", "arm,psci-0.2", "arm,psci"],
            "method": "hvc",
            "cpu_suspend": Function.CPU_SUSPEND_64,
            "cpu_off": Function.CPU_OFF,
            "cpu_on": Function.CPU_ON_64,
        },
    )


def _timer(cpus: int) -> Node:
    """cpus: as a mask in the flags, which GICv2's binding wants and GICv3's has no room for."""
    flags = ((1 << cpus) - 1) << 8 | LEVEL_HIGH
    interrupts = [cell for ppi in TIMER_PPIS for cell in (PPI, ppi, flags)]
    compatible = ["arm,armv8-timer", "arm,armv7-timer"]
    return Node("timer", {"compatible": compatible, "interrupts": interrupts, "always-on": True})


def _gicv2() -> Node:
    return Node(
        f"intc@{GICD:x}",
        {
            "compatible": "arm,cortex-a15-gic",
            "interrupt-controller": True,
            "#interrupt-cells": 3,
            "#address-cells": 0,
            "reg": cells(GICD, V2_FRAME, GICC, 2 * V2_FRAME),
            "phandle": GIC_PHANDLE,
        },
    )


def _gicv3(cpus: int) -> Node:
    return Node(
        f"intc@{GICD:x}",
        {
            "compatible": "arm,gic-v3",
            "interrupt-controller": True,
            "#interrupt-cells": 3,
            "#address-cells": 2,
            "#size-cells": 2,
            "ranges": True,
            "#redistributor-regions": 1,
            "reg": cells(GICD, V3_FRAME, GICR, REDISTRIBUTOR * cpus),
            "phandle": GIC_PHANDLE,
        },
    )


def _virtio(slot: int) -> Node:
    base = VIRTIO + SLOT_SIZE * slot
    return Node(
        f"virtio_mmio@{base:x}",
        {
            "compatible": "virtio,mmio",
            "reg": cells(base, SLOT_SIZE),
            "interrupts": [SPI, FIRST_SPI + slot, LEVEL_HIGH],
            "dma-coherent": True,
        },
    )


def _clock() -> Node:
    return Node(
        "apb-pclk",
        {
            "compatible": "fixed-clock",
            "#clock-cells": 0,
            "clock-frequency": APB_CLOCK,
            "clock-output-names": "clk24mhz",
            "phandle": CLOCK_PHANDLE,
        },
    )


def _amba(part: str, base: int, spi: int, clocks: tuple[str, ...]) -> Node:
    return Node(
        f"{part}@{base:x}",
        {
            "compatible": [f"arm,{part}", "arm,primecell"],
            "reg": cells(base, 0x1000),
            "interrupts": [SPI, spi, LEVEL_HIGH],
            "clocks": [CLOCK_PHANDLE] * len(clocks),
            "clock-names": clocks,
        },
    )
