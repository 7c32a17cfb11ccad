"""PSCI and SMCCC numbers: what a guest puts in X0 before HVC #0, and what it finds there after.

A function id says by its own bits who answers and how wide the arguments are (DEN0028, 2.5):

    31   30    29    24 23        16 15             0
    ┌────┬─────┬───────┬────────────┬───────────────┐      FAST: atomic, not yielding
    │FAST│SMC64│ OWNER │ must be 0  │   FUNCTION    │      OWNER 4: standard secure services, PSCI among them
    └────┴─────┴───────┴────────────┴───────────────┘      OWNER 6: vendor specific hypervisor services

Source: DEN0022 "Power State Coordination Interface", 5; DEN0028 "SMC Calling Convention".
"""

from __future__ import annotations

from enum import IntEnum

from minivisor.arch.bits import Bit, Bits, Register

__all__ = [
    "VENDOR_HYPERVISOR",
    "Affinity",
    "Function",
    "FunctionId",
    "MigrateInfoType",
    "PowerState",
    "ReturnCode",
    "Smccc",
    "Version",
    "function_name",
    "to_register",
]


class FunctionId(Register, width=32, source="DEN0028, 2.5 Function Identifiers"):
    """The function identifier in W0."""

    FAST = Bit(31, "kind of call", {0: "yielding call", 1: "fast call"})
    SMC64 = Bit(30, "convention", {0: "SMC32/HVC32", 1: "SMC64/HVC64"})
    OWNER = Bits(
        29,
        24,
        "service",
        {
            0: "Arm architecture",
            1: "CPU service",
            2: "SiP service",
            3: "OEM service",
            4: "standard secure service",
            5: "standard hypervisor service",
            6: "vendor specific hypervisor service",
            48: "trusted application",
            49: "trusted application",
            **dict.fromkeys(range(50, 64), "trusted OS"),
        },
    )
    FUNCTION = Bits(15, 0, "function number")


class Smccc(IntEnum):
    """Arm architecture calls (DEN0028, 7). WORKAROUND ids are asked for by every Linux at boot."""

    VERSION = 0x8000_0000
    ARCH_FEATURES = 0x8000_0001
    ARCH_SOC_ID = 0x8000_0002
    ARCH_WORKAROUND_1 = 0x8000_8000
    ARCH_WORKAROUND_2 = 0x8000_7FFF
    ARCH_WORKAROUND_3 = 0x8000_3FFF
    VENDOR_HYP_CALL_COUNT = 0x8600_FF00
    VENDOR_HYP_CALL_UID = 0x8600_FF01
    VENDOR_HYP_REVISION = 0x8600_FF03


VENDOR_HYPERVISOR = 0x8600_0000
"""First id of the vendor specific hypervisor service range, HVC32 fast calls: where our own hypercalls live."""


class Function(IntEnum):
    """PSCI functions (DEN0022, 5). Those that take addresses or affinities have a 64-bit twin, here `_64`."""

    VERSION = 0x8400_0000
    CPU_SUSPEND = 0x8400_0001
    CPU_SUSPEND_64 = 0xC400_0001
    CPU_OFF = 0x8400_0002
    CPU_ON = 0x8400_0003
    CPU_ON_64 = 0xC400_0003
    AFFINITY_INFO = 0x8400_0004
    AFFINITY_INFO_64 = 0xC400_0004
    MIGRATE = 0x8400_0005
    MIGRATE_64 = 0xC400_0005
    MIGRATE_INFO_TYPE = 0x8400_0006
    MIGRATE_INFO_UP_CPU = 0x8400_0007
    MIGRATE_INFO_UP_CPU_64 = 0xC400_0007
    SYSTEM_OFF = 0x8400_0008
    SYSTEM_RESET = 0x8400_0009
    FEATURES = 0x8400_000A
    CPU_FREEZE = 0x8400_000B
    CPU_DEFAULT_SUSPEND = 0x8400_000C
    CPU_DEFAULT_SUSPEND_64 = 0xC400_000C
    NODE_HW_STATE = 0x8400_000D
    NODE_HW_STATE_64 = 0xC400_000D
    SYSTEM_SUSPEND = 0x8400_000E
    SYSTEM_SUSPEND_64 = 0xC400_000E
    SET_SUSPEND_MODE = 0x8400_000F
    STAT_RESIDENCY = 0x8400_0010
    STAT_RESIDENCY_64 = 0xC400_0010
    STAT_COUNT = 0x8400_0011
    STAT_COUNT_64 = 0xC400_0011
    SYSTEM_RESET2 = 0x8400_0012
    SYSTEM_RESET2_64 = 0xC400_0012
    MEM_PROTECT = 0x8400_0013
    MEM_PROTECT_CHECK_RANGE = 0x8400_0014
    MEM_PROTECT_CHECK_RANGE_64 = 0xC400_0014


class ReturnCode(IntEnum):
    """PSCI and SMCCC return codes (DEN0022, 5.2.2). Negative ones reach the guest through `to_register`."""

    SUCCESS = 0
    NOT_SUPPORTED = -1
    INVALID_PARAMETERS = -2
    DENIED = -3
    ALREADY_ON = -4
    ON_PENDING = -5
    INTERNAL_FAILURE = -6
    NOT_PRESENT = -7
    DISABLED = -8
    INVALID_ADDRESS = -9


class Affinity(IntEnum):
    """What AFFINITY_INFO answers (DEN0022, 5.7)."""

    ON = 0
    OFF = 1
    ON_PENDING = 2


class MigrateInfoType(IntEnum):
    """What MIGRATE_INFO_TYPE answers (DEN0022, 5.9): whether a Trusted OS is there that cares which core it is on."""

    UNIPROCESSOR_MIGRATE_CAPABLE = 0
    UNIPROCESSOR_NOT_MIGRATE_CAPABLE = 1
    NOT_REQUIRED = 2


class Version(Register, width=32, source="DEN0022, 5.3 PSCI_VERSION"):
    """What PSCI_VERSION and SMCCC_VERSION answer."""

    MAJOR = Bits(30, 16, "major version")
    MINOR = Bits(15, 0, "minor version")


class PowerState(Register, width=32, source="DEN0022, 5.4.2 power_state, original format"):
    """The power_state argument of CPU_SUSPEND."""

    POWER_LEVEL = Bits(25, 24, "deepest level that goes down", {0: "core", 1: "cluster", 2: "system"})
    STATE_TYPE = Bit(16, "state type", {0: "standby or retention", 1: "power down"})
    STATE_ID = Bits(15, 0, "platform specific state")


def to_register(value: int) -> int:
    """A signed result as the 64-bit register holds it: NOT_SUPPORTED is all ones."""
    return int(value) & 0xFFFF_FFFF_FFFF_FFFF


def function_name(number: int) -> str:
    """`PSCI CPU_ON_64`, `SMCCC VERSION`, or the decoded range of an id that has no name here."""
    if number in Function.__members__.values():
        return f"PSCI {Function(number).name}"
    if number in Smccc.__members__.values():
        return f"SMCCC {Smccc(number).name}"
    if not 0 <= number < 1 << 32:
        return f"no function id: {number:#x}"
    return f"{FunctionId(number).meaning('OWNER')} {number:#010x}"
