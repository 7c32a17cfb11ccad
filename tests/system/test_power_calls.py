"""PSCI and SMCCC as a guest meets them: every call, with right and with wrong arguments, against DEN0022 and DEN0028.

The guest goes through a table of X0..X3, makes the call, and leaves X0 behind. Between two calls it gives the others time.
"""

from __future__ import annotations

import numpy as np
import pytest

from minivisor.hypervisor.persona import RAM
from minivisor.trace.records import Kind
from tests.machine import a64
from tests.system.bare import CODE, DATA, MEMORY, boot, words_at

RESULTS, MARK = DATA + 0x4000, DATA + 0x6000
SECONDARY = CODE + 0x1000
CPUS = 3
SUCCESS, NOT_SUPPORTED, INVALID_PARAMETERS, ALREADY_ON, INVALID_ADDRESS = (-n & 2**64 - 1 for n in (0, 1, 2, 4, 9))
ON, OFF, NO_TRUSTED_OS = 0, 1, 2
V1_1, HIGH = 0x1_0001, 0xFFFF_FFFF << 32
VERSION, SUSPEND, CPU_OFF, CPU_ON, AFFINITY, MIGRATE, MIGRATE_TYPE, MIGRATE_CPU = (0x8400_0000 + n for n in range(8))
SYSTEM_OFF, SYSTEM_RESET, FEATURES, RESET2, SYSTEM_SUSPEND = (0x8400_0000 + n for n in (8, 9, 10, 18, 14))
WIDE = 1 << 30
SMCCC_VERSION, ARCH_FEATURES, WORKAROUND_1, SOC_ID = 0x8000_0000, 0x8000_0001, 0x8000_8000, 0x8000_0002
STANDBY, POWER_DOWN = 0, 1 << 16

# (X0, X1, X2, X3), and what X0 is after it
CALLS: list[tuple[tuple[int, ...], int]] = [
    ((VERSION,), V1_1),
    ((HIGH | VERSION,), V1_1),  # the function is in W0 (DEN0028, 2.6)
    ((VERSION | WIDE,), NOT_SUPPORTED),  # there is no 64-bit form
    ((SMCCC_VERSION,), V1_1),
    ((SMCCC_VERSION | WIDE,), NOT_SUPPORTED),
    ((ARCH_FEATURES, SMCCC_VERSION), SUCCESS),
    ((ARCH_FEATURES, ARCH_FEATURES), SUCCESS),
    ((ARCH_FEATURES, HIGH | SMCCC_VERSION), SUCCESS),  # an argument of SMC32 is W1
    ((ARCH_FEATURES, WORKAROUND_1), NOT_SUPPORTED),
    ((ARCH_FEATURES, VERSION), NOT_SUPPORTED),  # PSCI's are asked for by PSCI_FEATURES
    ((SOC_ID, 0), NOT_SUPPORTED),
    ((WORKAROUND_1,), NOT_SUPPORTED),
    *(((FEATURES, known), SUCCESS) for known in (VERSION, SUSPEND, SUSPEND | WIDE, CPU_OFF, CPU_ON, CPU_ON | WIDE)),
    *(
        ((FEATURES, known), SUCCESS)
        for known in (AFFINITY, AFFINITY | WIDE, MIGRATE_TYPE, SYSTEM_OFF, SYSTEM_RESET, FEATURES)
    ),
    ((FEATURES, SMCCC_VERSION), SUCCESS),  # how SMCCC 1.1 is discovered (DEN0028, appendix B)
    *(
        ((FEATURES, other), NOT_SUPPORTED)
        for other in (MIGRATE, MIGRATE_CPU, RESET2, SYSTEM_SUSPEND, VERSION | WIDE, 0)
    ),
    ((FEATURES | WIDE, VERSION), NOT_SUPPORTED),
    ((MIGRATE_TYPE,), NO_TRUSTED_OS),
    ((MIGRATE, 0), NOT_SUPPORTED),
    ((MIGRATE_CPU,), NOT_SUPPORTED),
    ((RESET2, 0, 0), NOT_SUPPORTED),
    ((RESET2 | WIDE, 0, 0), NOT_SUPPORTED),
    ((SYSTEM_SUSPEND, CODE), NOT_SUPPORTED),
    ((0x8400_FFFF,), NOT_SUPPORTED),
    ((0x0400_0000,), NOT_SUPPORTED),  # a yielding call
    ((0xFFFF_FFFF,), NOT_SUPPORTED),
    *(((AFFINITY | WIDE, number, 0), ON if number == 0 else OFF) for number in range(CPUS)),
    ((AFFINITY, HIGH | 1, HIGH), OFF),  # SMC32: W1, W2
    ((AFFINITY | WIDE, HIGH | 1, 0), INVALID_PARAMETERS),
    ((AFFINITY, CPUS, 0), INVALID_PARAMETERS),
    ((AFFINITY, 1 << 8, 0), INVALID_PARAMETERS),  # Aff1
    ((AFFINITY, 0, 1), INVALID_PARAMETERS),  # lowest_affinity_level
    ((AFFINITY, 0, 4), INVALID_PARAMETERS),
    ((CPU_ON | WIDE, 0, SECONDARY, 0), ALREADY_ON),
    ((CPU_ON | WIDE, CPUS, SECONDARY, 0), INVALID_PARAMETERS),
    ((CPU_ON | WIDE, 1 << 32 | 1, SECONDARY, 0), INVALID_PARAMETERS),
    ((CPU_ON | WIDE, 1 << 31 | 1, SECONDARY, 0), INVALID_PARAMETERS),  # MPIDR's RES1 is no affinity
    ((CPU_ON | WIDE, 1, RAM + MEMORY, 0), INVALID_ADDRESS),
    ((CPU_ON | WIDE, 1, RAM - 4, 0), INVALID_ADDRESS),
    ((CPU_ON | WIDE, 1, 0x0800_0000, 0), INVALID_ADDRESS),
    ((CPU_ON | WIDE, 1, SECONDARY | 2, 0), INVALID_ADDRESS),
    ((AFFINITY, 1, 0), OFF),
    ((CPU_ON | WIDE, 1, SECONDARY, HIGH | 0x123), SUCCESS),
    ((AFFINITY, 1, 0), ON),
    ((CPU_ON | WIDE, 1, SECONDARY, 0), ALREADY_ON),
    ((CPU_ON, HIGH | 2, HIGH | SECONDARY, HIGH | 0x456), SUCCESS),
    ((AFFINITY | WIDE, 2, 0), ON),
    ((SUSPEND, STANDBY), SUCCESS),
    ((SUSPEND | WIDE, STANDBY), SUCCESS),
    ((SUSPEND | WIDE, POWER_DOWN, SECONDARY, 7), SUCCESS),  # answered as a standby: it goes on behind the call
    ((SUSPEND, POWER_DOWN, SECONDARY, 7), SUCCESS),
    ((SUSPEND | WIDE, POWER_DOWN, RAM + MEMORY, 7), INVALID_ADDRESS),
    ((SUSPEND | WIDE, STANDBY, RAM + MEMORY, 7), SUCCESS),  # which looks at no entry point
    ((SUSPEND | WIDE, 1 << 31), INVALID_PARAMETERS),  # bits that must be zero
    ((SUSPEND, 1 << 17), INVALID_PARAMETERS),
]


def guest(calls: list[tuple[int, ...]], conduit: int = 0) -> tuple[list[int], tuple[int, list[int], type]]:
    """Code and table. The virtual timer's interrupt is pending and masked: what every CPU_SUSPEND wakes up from."""
    padded = [word for call in calls for word in (*call, 0, 0, 0)[:4]]
    words = [*a64.MOV(1, 0x0800_0000), *a64.MOV(2, 0x0801_0000), a64.MOVZ(0, 1), a64.STRW(0, 1), a64.STRW(0, 2)]
    words += [*a64.MOV(0, 0xFF), a64.STRW(0, 2, 4), *a64.MOV(0, 1 << 27), a64.STRW(0, 1, 0x100)]
    words += [a64.MOVZ(0, 1), a64.msr("CNTV_CTL_EL0", 0)]
    words += [*a64.MOV(20, DATA), *a64.MOV(21, RESULTS), a64.MOVZ(22, len(calls))]
    loop = [a64.LDR(0, 20), a64.LDR(1, 20, 8), a64.LDR(2, 20, 16), a64.LDR(3, 20, 24), conduit or a64.HVC(0)]
    loop += [a64.STR(0, 21), a64.ADD(20, 20, 32), a64.ADD(21, 21, 8)]
    loop += [*a64.MOV(4, 30_000), a64.SUBS(4, 4, 1), a64.CBNZ(4, -4), a64.SUBS(22, 22, 1)]
    words += [*loop, a64.CBNZ(22, -4 * len(loop)), a64.B(0)]
    return words, (DATA, padded, np.uint64)


def secondary() -> list[int]:
    """Leaves X0 at MARK + 64 n, then SCTLR_EL1, CurrentEL and DAIF; stays for some turns of the others, and goes off."""
    words = [
        a64.mrs(1, "MPIDR_EL1"),
        0x92401C21,
        0xD37AE421,
        *a64.MOV(2, MARK),
        0x8B010042,
    ]  # and, lsl #6, add x2
    words += [a64.STR(0, 2), a64.mrs(0, "SCTLR_EL1"), a64.STR(0, 2, 8), 0xD5384240, a64.STR(0, 2, 16)]
    words += [a64.mrs(0, "DAIF"), a64.STR(0, 2, 24), *a64.MOV(4, 150_000), a64.SUBS(4, 4, 1), a64.CBNZ(4, -4)]
    return [*words, *a64.MOV(0, CPU_OFF), a64.HVC(0), a64.MOVZ(0, 0xBAD), a64.STR(0, 2, 32), a64.B(0)]


@pytest.mark.parametrize("mmu", ["minivisor", "unicorn"])
def test_every_call_with_right_and_with_wrong_arguments(mmu: str) -> None:
    code, table = guest([*(call for call, _ in CALLS), (AFFINITY, 1, 0), (AFFINITY, 2, 0)])
    hypervisor, persona = boot(code, (SECONDARY, secondary(), np.uint32), table, cpus=CPUS, mmu=mmu)
    hypervisor.run(20_000_000)
    found = words_at(persona, RESULTS, len(CALLS) + 2)
    wrong = [
        f"{tuple(map(hex, call))}: {came:#x}, not {wanted:#x}"
        for (call, wanted), came in zip(CALLS, found, strict=False)
        if came != wanted
    ]
    assert not wrong, "\n".join(wrong)
    assert found[-2:] == [OFF, OFF]  # both switched themselves off
    for number, context in ((1, HIGH | 0x123), (2, 0x456)):  # DEN0022, 6.4: the state at an entry point
        came, sctlr, level, daif, back = words_at(persona, MARK + 64 * number, 5)
        assert (came, sctlr & 0x1005, level >> 2, daif >> 6, back) == (context, 0, 1, 0xF, 0)


@pytest.mark.parametrize(("call", "kind"), [(SYSTEM_OFF, "SHUTDOWN"), (SYSTEM_RESET, "RESET")], ids=["off", "reset"])
def test_the_two_that_never_return(call: int, kind: str) -> None:
    """Not even one instruction: X0 is not stored. A reset starts the image again, as it was."""
    code, table = guest([(VERSION,), (call,), (VERSION,)])
    hypervisor, persona = boot(code, table)
    hypervisor.run(1_000_000)
    stops = [record for record in hypervisor.trace if record.kind is Kind.STOP]
    assert stops and {record.reason.name for record in stops} == {kind}  # type: ignore[attr-defined]
    assert persona.status == ("off" if call == SYSTEM_OFF else "running")
    assert len(stops) == 1 if call == SYSTEM_OFF else len(stops) > 3
    assert words_at(persona, RESULTS + 8, 2) == [0, 0]


@pytest.mark.parametrize("conduit", [a64.SMC(0), a64.HVC(1)], ids=["SMC", "HVC 1"])
def test_the_wrong_way_to_call(conduit: int) -> None:
    """The device tree says HVC, and the convention says #0."""
    code, table = guest([(VERSION,), (SYSTEM_OFF,), (SMCCC_VERSION,)], conduit)
    hypervisor, persona = boot(code, table)
    hypervisor.run(1_000_000)
    assert persona.status == "running"
    assert words_at(persona, RESULTS, 3) == [NOT_SUPPORTED] * 3
