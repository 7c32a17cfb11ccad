"""The exception table: who advances PC, what a persona sees of the core, and what is loud."""

import itertools

import pytest

from minivisor.hypervisor.exits import decode
from minivisor.hypervisor.handlers import SysregHandler, handler_table
from minivisor.stages import Outcome, Vcpu

PC = 0x4020_0000
NOT_SUPPORTED = 2**64 - 1
RAW = {
    (3, 0, 0, 4, 0): 0x1100_0000_0111_2222,  # ID_AA64PFR0_EL1, more than a Cortex-A72 has
    (3, 0, 0, 4, 1): 0xFFFF,  # ID_AA64PFR1_EL1
    (3, 0, 0, 5, 0): 0x1030_5106,  # ID_AA64DFR0_EL1 of a Cortex-A72
    (3, 0, 0, 6, 0): 0x0001_1120,  # ID_AA64ISAR0_EL1 of a Cortex-A72
    (3, 0, 0, 7, 0): 0x0000_1124,  # ID_AA64MMFR0_EL1 of a Cortex-A72
}


def vcpu(**registers):
    x = [0x100 + n for n in range(31)]
    for name, value in registers.items():
        x[int(name[1:])] = value
    return Vcpu(0, "work", tuple(x), PC)


def trap(register, rt=5, is_read=True):
    op0, op1, crn, crm, op2 = register
    iss = op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | rt << 5 | crm << 1 | is_read
    return decode(0x18 << 26 | 1 << 25 | iss, 0, 0)


@pytest.fixture
def table():
    return handler_table(lambda function, args, vcpu: Outcome("off", argument=(function, args)), RAW, abort)


def abort(_exit, _vcpu):
    return Outcome("abort")


def test_all_64_classes_have_a_handler_and_the_new_ones_are_loud(table):
    assert sorted(table) == list(range(64))
    for ec in set(range(64)) - {0x01, 0x16, 0x17, 0x18, 0x20, 0x24}:
        outcome = table[ec](decode(ec << 26 | 0x123, 0, 0), vcpu())
        assert outcome.kind == "stop"
        assert f"0x{ec:02x}" in outcome.reason
        assert f"0x{ec << 26 | 0x123:x}" in outcome.reason


def test_hvc_passes_the_call_on_and_leaves_pc_alone(table):
    outcome = table[0x16](decode(0x5A000000, 0, 0), vcpu(x0=0xDEAD_0000_8400_0003))
    assert outcome.argument == (0x8400_0003, (0x101, 0x102, 0x103))
    assert "PC" not in outcome.writes


def test_hvc_with_an_immediate_is_no_call_of_the_convention(table):
    assert table[0x16](decode(0x5A000001, 0, 0), vcpu()) == Outcome(writes={"X0": NOT_SUPPORTED})


def test_smc_is_not_supported_and_stepped_over(table):
    assert table[0x17](decode(0x5E000000, 0, 0), vcpu()) == Outcome(writes={"X0": NOT_SUPPORTED, "PC": PC + 4})


def test_wfi_waits_and_wfe_does_not(table):
    assert table[0x01](decode(0x07E00000, 0, 0), vcpu()) == Outcome("wait", {"PC": PC + 4})
    assert table[0x01](decode(0x07E00001, 0, 0), vcpu()) == Outcome("resume", {"PC": PC + 4})


@pytest.mark.parametrize(
    ("register", "value"),
    [
        ((3, 0, 0, 4, 0), 0x0011_0111),  # AArch64 only at every level, no GIC interface, no SVE, no CSV
        ((3, 0, 0, 4, 1), 0),
        ((3, 0, 0, 5, 0), 0x1030_5006),  # no PMU
        ((3, 0, 0, 6, 0), 0x0001_1120),
        ((3, 0, 0, 7, 0), 0x0F00_0021),  # 36-bit addresses, 4 KiB granule only
        ((3, 0, 0, 1, 0), 0),  # ID_PFR0_EL1: no AArch32
    ],
)
def test_identification_registers_are_masked(table, register, value):
    assert table[0x18](trap(register), vcpu()) == Outcome(writes={"X5": value, "PC": PC + 4})


def test_the_identification_space_reads_as_zero_and_cannot_be_written(table):
    for crm, op2 in itertools.product(range(1, 8), range(8)):
        register = (3, 0, 0, crm, op2)
        read = table[0x18](trap(register), vcpu())
        assert read.kind == "resume"
        if register not in RAW:
            assert read.writes == {"X5": 0, "PC": PC + 4}
        assert table[0x18](trap(register, is_read=False), vcpu()) == Outcome("undefined")


def test_a_read_into_xzr_only_advances(table):
    assert table[0x18](trap((3, 0, 0, 4, 0), rt=31), vcpu()) == Outcome(writes={"PC": PC + 4})


@pytest.mark.parametrize(
    "register", [(1, 0, 7, 6, 2), (1, 0, 7, 10, 2), (1, 0, 7, 14, 2), (3, 0, 1, 0, 1), (2, 0, 1, 0, 4)]
)
def test_writes_that_do_nothing(table, register):
    assert table[0x18](trap(register, is_read=False), vcpu()) == Outcome(writes={"PC": PC + 4})


def test_actlr_reads_as_zero_and_the_os_lock_is_open():
    sysreg = SysregHandler({})
    assert sysreg(trap((3, 0, 1, 0, 1)), vcpu()).writes["X5"] == 0
    assert sysreg(trap((2, 0, 1, 1, 4)), vcpu()).writes["X5"] == 8


@pytest.mark.parametrize("is_read", [False, True])
@pytest.mark.parametrize(
    "register",
    [
        (3, 3, 9, 13, 0),
        (3, 0, 12, 12, 5),
        (3, 4, 1, 1, 0),
        (3, 0, 0, 0, 7),
        (3, 0, 0, 8, 0),
        (3, 0, 10, 4, 3),
        (1, 0, 7, 6, 1),
    ],
)
def test_everything_else_is_undefined(table, register, is_read):
    assert table[0x18](trap(register, is_read=is_read), vcpu()) == Outcome("undefined")
