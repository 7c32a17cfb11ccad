"""The assembly we ship: every part of `Stages` filled with ours.

A student's chapter or an engineer's experiment names the parts it replaces; parts that stand on others use the new ones:

    Hypervisor(machine, stages=lambda guest: reference(guest, psci=my_psci, handlers={0x16: my_hvc}))

The parts that need to know something of their persona (its devices, its memory, its other vCPUs) get it here and
nowhere else, through the narrow view `Guest`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from minivisor.arch.encoding import REGISTERS, Encoding
from minivisor.arch.esr import EC
from minivisor.hypervisor import emulate, exits, list_registers, stage2, world
from minivisor.hypervisor.aborts import AbortHandler
from minivisor.hypervisor.handlers import handler_table
from minivisor.hypervisor.psci import Psci
from minivisor.hypervisor.scheduler import FairShare
from minivisor.hypervisor.vtimer import vtimer
from minivisor.machine.pl011 import Pl011
from minivisor.platform.bus import Bus
from minivisor.stages import Handler, Stages

__all__ = ["CORTEX_A72", "Guest", "reference", "uart_is_ours"]

# Arm Cortex-A72 TRM (100095), 4.2; what is not named here reads as zero.
CORTEX_A72: Mapping[Encoding, int] = {
    REGISTERS["ID_AA64PFR0_EL1"]: 0x0000_2222,
    REGISTERS["ID_AA64DFR0_EL1"]: 0x1030_5106,
    REGISTERS["ID_AA64ISAR0_EL1"]: 0x0001_1120,
    REGISTERS["ID_AA64MMFR0_EL1"]: 0x0000_1124,
}


class Guest(Protocol):
    """What the parts may know of a persona."""

    @property
    def bus(self) -> Bus:
        """Its devices."""

    @property
    def trapped_registers(self) -> Mapping[Encoding, Callable[[int, int], None]]:
        """System registers of its devices that it may write, by an exit: function(value, vCPU)."""

    def affinity(self, number: int) -> int | None:
        """The PSCI affinity state of one of its vCPUs, None for one it does not have."""

    def code_at(self, va: int) -> int:
        """The instruction that its running vCPU has at a virtual address, 0 where there is none."""

    def register(self, name: str) -> int:
        """A register of its running vCPU, by architectural name."""

    def inside(self, ipa: int) -> bool:
        """Is this intermediate physical address in its RAM?"""


def reference(
    guest: Guest,
    identification: Mapping[Encoding, int] = CORTEX_A72,
    handlers: Mapping[int, Handler] | None = None,
    **parts: Any,
) -> Stages:
    """The reference parts for one persona, with those in `parts` (fields of `Stages`) and `handlers` in their place.

    identification: raw identification registers of the physical core. handlers: exception class -> handler.
    """
    psci = parts.pop("psci", None) or Psci(guest.affinity, guest.inside)
    access = parts.pop("access", None) or emulate.access
    on_abort = AbortHandler(guest.bus, access, guest.code_at, guest.register)
    stages = Stages(
        decode=exits.decode,
        handlers=handler_table(psci, identification, on_abort, guest.trapped_registers) | dict(handlers or {}),
        access=access,
        psci=psci,
        descriptor=stage2.descriptor,
        map_page=stage2.map_page,
        unmap=stage2.unmap,
        target=list_registers.target,
        flush=list_registers.flush,
        fold=list_registers.fold,
        vtimer=vtimer,
        save=world.save,
        load=world.load,
        scheduler=FairShare,
        uart=Pl011,
    )
    return replace(stages, **parts)


def uart_is_ours(stages: Stages) -> bool:
    """Are all parts the reference ones that see an access to the UART?"""
    on_abort = stages.handlers.get(EC.DABT_LOWER)
    ours = emulate.access, exits.decode, Pl011
    return type(on_abort) is AbortHandler and (on_abort.access, stages.decode, stages.uart) == ours
