"""What happens on a stage-2 fault: either a virtual device answers, or nothing does.

RAM is always mapped, so an access that faults at stage 2 went somewhere else. The persona's `Bus` knows which device
lives at that intermediate physical address. A load or store whose syndrome describes it completely (ISS.ISV) is carried
out on the device, and so are the pairs, writebacks and SIMD registers that `loads_and_stores` reads off the instruction.
Everything else gets what a bus without a responder gives, a synchronous external abort:

    instruction fetch · the guest's own table walk (S1PTW) · a hole · anything but a translation fault
    exclusives, atomics, vector structures · an access that goes beyond the page that faulted

Cache maintenance by address on a device is the one access that simply succeeds: there is nothing to maintain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from minivisor.arch import loads_and_stores
from minivisor.arch.esr import FSC
from minivisor.hypervisor.emulate import access as described
from minivisor.hypervisor.emulate import finish
from minivisor.hypervisor.handlers import INSTRUCTION
from minivisor.platform.bus import Bus
from minivisor.stages import Abort, Access, DataAbort, Outcome, Vcpu

__all__ = ["AbortHandler"]

PAGE = 4096
TRANSLATION, LEVEL = int(FSC.TRANSLATION), 0b11  # a translation fault, at any level
ADDRESS = (1 << 48) - 1  # without a tag or the sign of the upper half


class AbortHandler:
    """on_abort(exit, vcpu) -> Outcome for both kinds of stage-2 abort.

    access: the replaceable decoder of a valid syndrome. code_at, register: the guest's instruction at a virtual address
    (0: none), and SP and V0..V31 by name, for what has no valid syndrome.
    """

    def __init__(
        self,
        bus: Bus,
        access: Callable[[DataAbort, Sequence[int]], Access] = described,
        code_at: Callable[[int], int] = lambda _va: 0,
        register: Callable[[str], int] = lambda _name: 0,
    ) -> None:
        self._bus, self.access = bus, access
        self._code_at, self._register = code_at, register

    def __call__(self, exit: Abort, vcpu: Vcpu) -> Outcome:
        if not isinstance(exit, DataAbort) or exit.s1ptw or exit.status & ~LEVEL != TRANSLATION:
            return _nobody(exit)
        if exit.cache_maintenance:
            return Outcome(writes={"PC": vcpu.pc + INSTRUCTION})
        if not exit.valid:
            return self._undescribed(exit, vcpu)
        access = self.access(exit, vcpu.x)
        value = self._bus.perform(access, vcpu.index)
        if value is None:
            return _nobody(exit)
        return Outcome("resume", {**finish(access, value), "PC": vcpu.pc + INSTRUCTION})

    def _undescribed(self, exit: DataAbort, vcpu: Vcpu) -> Outcome:
        """No valid syndrome: read the instruction, and do what it would have done, one access after the other."""

        def read(name: str) -> int:
            return vcpu.x[int(name[1:])] if name[0] == "X" else self._register(name)

        sequence = loads_and_stores.decode(self._code_at(vcpu.pc), read)
        if sequence is None or any(_elsewhere(transfer, exit) for transfer in sequence.transfers):
            return _nobody(exit)
        writes: dict[str, int] = {}
        for transfer in sequence.transfers:
            stored = read(transfer.register) >> transfer.shift if sequence.write and transfer.register else 0
            access = _access_of(transfer, exit, sequence.write, stored)
            value = self._bus.perform(access, vcpu.index)
            if value is None:
                return _nobody(exit)
            if not sequence.write and transfer.register:
                loaded = finish(access, value)["X0"] << transfer.shift
                writes[transfer.register] = loaded | (writes.get(transfer.register, 0) if transfer.shift else 0)
        return Outcome(writes={**writes, **sequence.writeback, "PC": vcpu.pc + INSTRUCTION})


def _access_of(transfer: loads_and_stores.Transfer, exit: DataAbort, write: bool, stored: int) -> Access:
    """One transfer as the access of register 0: whose it really is, the transfer knows."""
    ipa = exit.ipa & -PAGE | transfer.va & PAGE - 1
    value = stored & (1 << 8 * transfer.width) - 1
    return Access(ipa, transfer.width, write, 0, value, transfer.sign_extend, transfer.sixty_four)


def _elsewhere(transfer: loads_and_stores.Transfer, exit: DataAbort) -> bool:
    """Is any byte outside the page of the fault? EL2 knows the IPA of that page alone."""
    page = exit.far & ADDRESS & -PAGE
    first = transfer.va & ADDRESS
    return first & -PAGE != page or first + transfer.width - 1 & -PAGE != page


def _nobody(exit: Abort) -> Outcome:
    return Outcome("abort", reason=f"nothing answers at IPA 0x{exit.ipa:x}")
