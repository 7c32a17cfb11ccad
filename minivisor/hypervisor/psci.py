"""PSCI: how a guest switches its CPUs, and itself, on and off.

The Power State Coordination Interface (Arm DEN0022) is a set of calls in the SMC calling convention (Arm DEN0028):
the function identifier is in W0, arguments in X1..X3, the answer comes back in X0. We answer the calls of PSCI 1.1
that mean something on a machine without power rails, and the two SMCCC calls by which a guest asks which convention
this is. Everything else is NOT_SUPPORTED, which is itself an answer of the convention.

    31   30   29     24 23          16 15             0
   +----+----+---------+--------------+----------------+
   |fast|64  | service |    zero      |    function    |      service 4: standard secure (PSCI), 0: architecture
   +----+----+---------+--------------+----------------+

A call with bit 30 clear is the 32-bit form: its arguments are the low halves of the registers.

`Psci` knows one thing beyond its arguments: how many vCPUs the persona has and in which state each is. It asks for that
through a read-only function, and asks for changes in its `Outcome`; it never starts or stops anything itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from minivisor.stages import Outcome, Vcpu

__all__ = [
    "ALREADY_ON",
    "INVALID_PARAMETERS",
    "NOT_SUPPORTED",
    "OFF",
    "ON",
    "ON_PENDING",
    "Psci",
]

# DEN0028, "SMCCC_VERSION" and "SMCCC_ARCH_FEATURES".
SMCCC_VERSION = 0x8000_0000
SMCCC_ARCH_FEATURES = 0x8000_0001
SMCCC_1_1 = 0x0001_0001

# DEN0022, "Function identifiers". The 64-bit form of a call has bit 30 set.
SIXTY_FOUR = 1 << 30
VERSION = 0x8400_0000
CPU_SUSPEND = 0x8400_0001
CPU_OFF = 0x8400_0002
CPU_ON = 0x8400_0003
AFFINITY_INFO = 0x8400_0004
MIGRATE_INFO_TYPE = 0x8400_0006
SYSTEM_OFF = 0x8400_0008
SYSTEM_RESET = 0x8400_0009
FEATURES = 0x8400_000A
PSCI_1_1 = 0x0001_0001
TRUSTED_OS_ABSENT = 2  # MIGRATE_INFO_TYPE: there is no Trusted OS that would need to migrate

# DEN0022, "Return error codes".
SUCCESS = 0
NOT_SUPPORTED = -1
INVALID_PARAMETERS = -2
ALREADY_ON = -4
ON_PENDING_ERROR = -5
INVALID_ADDRESS = -9

# DEN0022, AFFINITY_INFO: the states of a CPU.
ON = 0
OFF = 1
ON_PENDING = 2

POWER_STATE_FIELDS = 0x0301_FFFF  # DEN0022, CPU_SUSPEND, original format: PowerLevel, StateType, StateID

Call = Callable[[Sequence[int]], Outcome]


def answer(value: int) -> Outcome:
    """Back to the guest with `value` in X0, as a 64-bit two's complement number."""
    return Outcome(writes={"X0": value & 0xFFFF_FFFF_FFFF_FFFF})


class Psci:
    """psci(function, args, vcpu) -> Outcome, for the vCPUs of one persona.

    affinity: index of a vCPU -> ON, OFF or ON_PENDING, or None when the persona has no such vCPU.
    inside:   address -> whether it lies in the persona's memory, for the entry points of CPU_ON and CPU_SUSPEND.
    """

    def __init__(
        self, affinity: Callable[[int], int | None], inside: Callable[[int], bool] = lambda _address: True
    ) -> None:
        self._affinity = affinity
        self._inside = inside
        self._calls: dict[int, Call] = {
            SMCCC_VERSION: lambda _args: answer(SMCCC_1_1),
            SMCCC_ARCH_FEATURES: self._arch_features,
            VERSION: lambda _args: answer(PSCI_1_1),
            FEATURES: self._features,
            CPU_SUSPEND: self._cpu_suspend,
            CPU_SUSPEND | SIXTY_FOUR: self._cpu_suspend,
            CPU_OFF: lambda _args: Outcome("off"),
            CPU_ON: self._cpu_on,
            CPU_ON | SIXTY_FOUR: self._cpu_on,
            AFFINITY_INFO: self._affinity_info,
            AFFINITY_INFO | SIXTY_FOUR: self._affinity_info,
            MIGRATE_INFO_TYPE: lambda _args: answer(TRUSTED_OS_ABSENT),
            SYSTEM_OFF: lambda _args: Outcome("shutdown", reason="PSCI SYSTEM_OFF"),
            SYSTEM_RESET: lambda _args: Outcome("reset", reason="PSCI SYSTEM_RESET"),
        }

    def __call__(self, function: int, args: Sequence[int], _vcpu: Vcpu) -> Outcome:
        """Answer one call. function: W0. args: X1, X2, X3; missing ones are zero. The caller makes no difference."""
        function &= 0xFFFF_FFFF
        call = self._calls.get(function)
        if call is None:
            return answer(NOT_SUPPORTED)
        width = 0xFFFF_FFFF_FFFF_FFFF if function & SIXTY_FOUR else 0xFFFF_FFFF
        return call([value & width for value in (*args, 0, 0, 0)[:3]])

    def _features(self, args: Sequence[int]) -> Outcome:
        function = args[0] & 0xFFFF_FFFF
        known = function in self._calls and function != SMCCC_ARCH_FEATURES
        return answer(SUCCESS if known else NOT_SUPPORTED)

    def _arch_features(self, args: Sequence[int]) -> Outcome:
        known = args[0] & 0xFFFF_FFFF in (SMCCC_VERSION, SMCCC_ARCH_FEATURES)
        return answer(SUCCESS if known else NOT_SUPPORTED)

    def _cpu_on(self, args: Sequence[int]) -> Outcome:
        target, entry, context = args
        index = _index(target)
        state = None if index is None else self._affinity(index)
        if state is None:
            return answer(INVALID_PARAMETERS)
        if state == ON:
            return answer(ALREADY_ON)
        if state == ON_PENDING:
            return answer(ON_PENDING_ERROR)
        if entry & 3 or not self._inside(entry):
            return answer(INVALID_ADDRESS)
        return Outcome("on", writes={"X0": SUCCESS}, argument=(index, entry, context))

    def _affinity_info(self, args: Sequence[int]) -> Outcome:
        target, lowest_level, _ = args
        index = _index(target)
        state = None if index is None or lowest_level != 0 else self._affinity(index)
        return answer(INVALID_PARAMETERS if state is None else state)

    def _cpu_suspend(self, args: Sequence[int]) -> Outcome:
        """Standby: sleep until an interrupt. A power-down may be answered as a standby (DEN0022, "CPU_SUSPEND")."""
        if args[0] & ~POWER_STATE_FIELDS & 0xFFFF_FFFF:
            return answer(INVALID_PARAMETERS)
        return Outcome("wait", writes={"X0": SUCCESS})


def _index(target: int) -> int | None:
    """The vCPU a guest names by MPIDR affinity: our vCPUs have Aff0 = index and zero above; None for all others."""
    return target if target & ~0xFF == 0 else None
