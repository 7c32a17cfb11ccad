"""PSCI and SMCCC calls by their published numbers (DEN0022, DEN0028), written out here a second time."""

import random

import pytest

from minivisor.hypervisor.psci import Psci
from minivisor.stages import Outcome, Vcpu

ME = Vcpu(0, "work")
NOT_SUPPORTED, INVALID_PARAMETERS, ALREADY_ON, PENDING, INVALID_ADDRESS = (2**64 - n for n in (1, 2, 4, 5, 9))
ON, OFF, ON_PENDING = 0, 1, 2
STATES = {0: ON, 1: OFF, 2: ON_PENDING}


@pytest.fixture
def psci():
    return Psci(STATES.get, lambda address: 0x4000_0000 <= address < 0x4400_0000)


def x0(outcome):
    assert outcome.kind == "resume"
    return outcome.writes["X0"]


def test_versions(psci):
    assert x0(psci(0x8400_0000, (), ME)) == 0x1_0001
    assert x0(psci(0x8000_0000, (), ME)) == 0x1_0001
    assert x0(psci(0x8400_0006, (), ME)) == 2


@pytest.mark.parametrize(
    "function",
    [0x8400_0000, 0x8400_0001, 0xC400_0001, 0x8400_0002, 0x8400_0003, 0xC400_0003, 0x8400_0004, 0xC400_0004,
     0x8400_0006, 0x8400_0008, 0x8400_0009, 0x8400_000A, 0x8000_0000],
)  # fmt: skip
def test_features_names_what_is_there(psci, function):
    assert x0(psci(0x8400_000A, (function,), ME)) == 0
    assert psci(function, (0x8400_0000, 0, 0), ME).writes.get("X0") != NOT_SUPPORTED


def test_every_other_function_is_not_supported(psci):
    rng = random.Random(0)
    known = {0x8000_0000, 0x8000_0001}
    known |= {0x8400_0000 + n | wide for n in (0, 1, 2, 3, 4, 6, 8, 9, 10) for wide in (0, 1 << 30)}
    wrong = [0xC400_0000, 0xC400_0002, 0xC400_0008, 0x8400_0005, 0x8400_000B, 0, 0xFFFF_FFFF]
    for function in wrong + [f for f in (rng.getrandbits(32) for _ in range(2000)) if f not in known]:
        assert x0(psci(function, (0, 0, 0), ME)) == NOT_SUPPORTED
        assert x0(psci(0x8400_000A, (function,), ME)) == NOT_SUPPORTED


def test_arch_features(psci):
    assert x0(psci(0x8000_0001, (0x8000_0000,), ME)) == 0
    assert x0(psci(0x8000_0001, (0x8000_8000,), ME)) == NOT_SUPPORTED


def test_cpu_on_starts_a_cpu_that_is_off(psci):
    outcome = psci(0xC400_0003, (1, 0x4000_1000, 2**63 | 7), ME)
    assert outcome == Outcome("on", {"X0": 0}, argument=(1, 0x4000_1000, 2**63 | 7))


def test_the_32_bit_form_sees_low_halves_only(psci):
    outcome = psci(0x8400_0003, (0xFFFF_FFFF_0000_0001, 2**40 | 0x4000_1000, 2**63 | 7), ME)
    assert outcome.argument == (1, 0x4000_1000, 7)


@pytest.mark.parametrize(
    ("target", "entry", "error"),
    [
        (0, 0x4000_1000, ALREADY_ON),
        (2, 0x4000_1000, PENDING),
        (3, 0x4000_1000, INVALID_PARAMETERS),
        (0x100, 0x4000_1000, INVALID_PARAMETERS),
        (1 << 32 | 1, 0x4000_1000, INVALID_PARAMETERS),
        (1, 0x4000_1002, INVALID_ADDRESS),
        (1, 0x3FFF_FFFC, INVALID_ADDRESS),
        (1, 0x4400_0000, INVALID_ADDRESS),
    ],
)
def test_cpu_on_refuses(psci, target, entry, error):
    assert x0(psci(0xC400_0003, (target, entry, 0), ME)) == error


def test_affinity_info(psci):
    for target, state in STATES.items():
        assert x0(psci(0xC400_0004, (target, 0), ME)) == state
    assert x0(psci(0xC400_0004, (3, 0), ME)) == INVALID_PARAMETERS
    assert x0(psci(0xC400_0004, (0, 1), ME)) == INVALID_PARAMETERS


def test_suspend_and_the_ways_out(psci):
    assert psci(0xC400_0001, (0x0001_0000, 0x4000_0000, 0), ME) == Outcome("wait", {"X0": 0})
    assert x0(psci(0xC400_0001, (1 << 31,), ME)) == INVALID_PARAMETERS
    assert x0(psci(0xC400_0001, (1 << 16, 0x4400_0000), ME)) == INVALID_ADDRESS
    assert psci(0xC400_0001, (0, 0x4400_0000), ME) == Outcome("wait", {"X0": 0})  # a standby returns to the caller
    assert psci(0x8400_0002, (), ME).kind == "off"
    assert psci(0x8400_0008, (), ME).kind == "shutdown"
    assert psci(0x8400_0009, (), ME).kind == "reset"
