"""PSCI: how a guest switches its CPUs, and itself, on and off.

The Power State Coordination Interface (Arm DEN0022) is a set of calls in the SMC calling convention (Arm DEN0028):
the function identifier is in W0, arguments in X1..X3, the answer comes back in X0. We answer the calls of PSCI 1.1
that mean something on a machine without power rails, and the two SMCCC calls by which a guest asks which convention
this is. Everything else is NOT_SUPPORTED, which is itself an answer of the convention.

`Psci` knows one thing beyond its arguments: how many vCPUs the persona has and in which state each is. It asks for that
through a read-only function, and asks for changes in its `Outcome`; it never starts or stops anything itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from minivisor.arch.psci import (
    Affinity,
    Function,
    FunctionId,
    MigrateInfoType,
    PowerState,
    ReturnCode,
    Smccc,
    Version,
    to_register,
)
from minivisor.stages import Outcome, Vcpu

__all__ = ["Psci", "answer"]

VERSION_1_1 = int(Version.of(MAJOR=1, MINOR=1))

Call = Callable[[Sequence[int]], Outcome]


@lru_cache(256)
def answer(value: int) -> Outcome:
    """Back to the guest with `value` in X0, as a 64-bit two's complement number."""
    return Outcome(writes={"X0": to_register(value)})


class Psci:
    """psci(function, args, vcpu) -> Outcome, for the vCPUs of one persona.

    affinity: index of a vCPU -> `Affinity` state, or None when the persona has no such vCPU.
    inside:   address -> whether it lies in the persona's memory, for the entry points of CPU_ON and CPU_SUSPEND.
    """

    def __init__(self, affinity: Callable[[int], int | None], inside: Callable[[int], bool] = lambda _address: True) -> None:
        self._affinity, self._inside = affinity, inside
        self._calls: dict[int, Call] = {
            Smccc.VERSION: lambda _args: answer(VERSION_1_1),
            Smccc.ARCH_FEATURES: self._arch_features,
            Function.VERSION: lambda _args: answer(VERSION_1_1),
            Function.FEATURES: self._features,
            Function.CPU_SUSPEND: self._cpu_suspend,
            Function.CPU_SUSPEND_64: self._cpu_suspend,
            Function.CPU_OFF: lambda _args: Outcome("off"),
            Function.CPU_ON: self._cpu_on,
            Function.CPU_ON_64: self._cpu_on,
            Function.AFFINITY_INFO: self._affinity_info,
            Function.AFFINITY_INFO_64: self._affinity_info,
            Function.MIGRATE_INFO_TYPE: lambda _args: answer(MigrateInfoType.NOT_REQUIRED),
            Function.SYSTEM_OFF: lambda _args: Outcome("shutdown", reason="PSCI SYSTEM_OFF"),
            Function.SYSTEM_RESET: lambda _args: Outcome("reset", reason="PSCI SYSTEM_RESET"),
        }

    def __call__(self, function: int, args: Sequence[int], _vcpu: Vcpu) -> Outcome:
        """Answer one call. function: W0. args: X1, X2, X3; missing ones are zero. The caller makes no difference."""
        function &= 0xFFFF_FFFF
        call = self._calls.get(function)
        if call is None:
            return answer(ReturnCode.NOT_SUPPORTED)
        width = 0xFFFF_FFFF_FFFF_FFFF if FunctionId.SMC64.decode(function) else 0xFFFF_FFFF
        return call([value & width for value in (*args, 0, 0, 0)[:3]])

    def _features(self, args: Sequence[int]) -> Outcome:
        known = args[0] in self._calls and args[0] != Smccc.ARCH_FEATURES
        return answer(ReturnCode.SUCCESS if known else ReturnCode.NOT_SUPPORTED)

    def _arch_features(self, args: Sequence[int]) -> Outcome:
        known = args[0] in (Smccc.VERSION, Smccc.ARCH_FEATURES)
        return answer(ReturnCode.SUCCESS if known else ReturnCode.NOT_SUPPORTED)

    def _cpu_on(self, args: Sequence[int]) -> Outcome:
        target, entry, context = args
        index = _index(target)
        state = None if index is None else self._affinity(index)
        if state is None:
            return answer(ReturnCode.INVALID_PARAMETERS)
        if state == Affinity.ON:
            return answer(ReturnCode.ALREADY_ON)
        if state == Affinity.ON_PENDING:
            return answer(ReturnCode.ON_PENDING)
        if entry & 3 or not self._inside(entry):
            return answer(ReturnCode.INVALID_ADDRESS)
        return Outcome("on", writes={"X0": 0}, argument=(index, entry, context))

    def _affinity_info(self, args: Sequence[int]) -> Outcome:
        target, lowest_level, _ = args
        index = _index(target)
        state = None if index is None or lowest_level != 0 else self._affinity(index)
        return answer(ReturnCode.INVALID_PARAMETERS if state is None else state)

    def _cpu_suspend(self, args: Sequence[int]) -> Outcome:
        """Standby: sleep until an interrupt. A power-down may be answered as a standby (DEN0022, "CPU_SUSPEND")."""
        if args[0] & PowerState.reserved_mask:
            return answer(ReturnCode.INVALID_PARAMETERS)
        if PowerState.STATE_TYPE.decode(args[0]) and (args[1] & 3 or not self._inside(args[1])):
            return answer(ReturnCode.INVALID_ADDRESS)
        return Outcome("wait", writes={"X0": 0})


def _index(target: int) -> int | None:
    """The vCPU a guest names by MPIDR affinity: our vCPUs have Aff0 = index and zero above; None for all others."""
    return target if target & ~0xFF == 0 else None
