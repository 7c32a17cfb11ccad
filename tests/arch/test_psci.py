"""PSCI and SMCCC numbers as Linux's uapi header and device trees know them."""

from __future__ import annotations

from minivisor.arch import psci
from minivisor.arch.psci import Function, FunctionId, ReturnCode


def test_known_function_ids() -> None:
    assert (Function.VERSION, Function.CPU_OFF, Function.CPU_ON_64) == (0x84000000, 0x84000002, 0xC4000003)
    assert (Function.SYSTEM_OFF, Function.SYSTEM_RESET, Function.FEATURES) == (0x84000008, 0x84000009, 0x8400000A)
    assert (psci.Smccc.VERSION, psci.Smccc.ARCH_FEATURES) == (0x80000000, 0x80000001)


def test_every_function_is_a_fast_call_of_the_standard_secure_service_and_its_twin_says_64() -> None:
    for function in Function:
        fields = FunctionId(function)
        assert (fields.FAST, fields.OWNER) == (1, 4)
        assert fields.SMC64 == function.name.endswith("_64")
        if fields.SMC64:
            assert Function[function.name.removesuffix("_64")] == function & ~(1 << 30)


def test_return_codes_are_all_ones_and_down() -> None:
    assert psci.to_register(ReturnCode.NOT_SUPPORTED) == 0xFFFFFFFFFFFFFFFF
    assert psci.to_register(ReturnCode.INVALID_ADDRESS) == 0xFFFFFFFFFFFFFFF7
    assert psci.to_register(ReturnCode.SUCCESS) == 0


def test_names_of_any_id() -> None:
    assert psci.function_name(0xC4000003) == "PSCI CPU_ON_64"
    assert psci.function_name(0x80008000) == "SMCCC ARCH_WORKAROUND_1"
    assert psci.function_name(psci.VENDOR_HYPERVISOR + 1) == "vendor specific hypervisor service 0x86000001"
    assert psci.function_name(1 << 40).startswith("no function id")


def test_versions() -> None:
    assert int(psci.Version.of(MAJOR=1, MINOR=1)) == 0x10001
