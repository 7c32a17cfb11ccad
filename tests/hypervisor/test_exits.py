"""`decode` against a decoder that reads written-out binary, and against syndromes seen on real runs."""

import random

import pytest

from minivisor.hypervisor.exits import decode
from minivisor.stages import DataAbort, Hvc, InstructionAbort, Smc, SysregTrap, UnknownExit, Wfx
from tests.naive_exits import field

CLASSES = {0x01: Wfx, 0x16: Hvc, 0x17: Smc, 0x18: SysregTrap, 0x20: InstructionAbort, 0x24: DataAbort}


@pytest.mark.parametrize("ec", range(64))
def test_every_class_decodes_to_its_own_type(ec):
    rng = random.Random(ec)
    for _ in range(50):
        iss = rng.getrandbits(25)
        esr = rng.getrandbits(24) << 32 | ec << 26 | 1 << 25 | iss
        exit = decode(esr, rng.getrandbits(64), rng.getrandbits(64))
        assert type(exit) is CLASSES.get(ec, UnknownExit)
        assert (exit.esr, exit.ec, exit.iss) == (esr, ec, iss)


def test_calls_keep_their_immediate():
    assert decode(0x5A000000 | 0xBEEF, 0, 0).immediate == 0xBEEF
    assert decode(0x5E000000 | 0x1234, 0, 0).immediate == 0x1234


def test_wfi_and_wfe():
    assert decode(0x07E00000, 0, 0) == Wfx(0x07E00000, 0x01, 0x1E00000, event=False)
    assert decode(0x07E00001, 0, 0).event


def test_a_trapped_read_of_id_aa64pfr0_el1():
    # MRS X7, ID_AA64PFR0_EL1: Op0=3 Op2=0 Op1=0 CRn=0 Rt=7 CRm=4 Direction=1
    exit = decode(0x18 << 26 | 1 << 25 | 3 << 20 | 7 << 5 | 4 << 1 | 1, 0, 0)
    assert (exit.register, exit.rt, exit.is_read) == ((3, 0, 0, 4, 0), 7, True)


def test_system_register_fields_against_binary_digits():
    rng = random.Random(18)
    for _ in range(500):
        iss = rng.getrandbits(25)
        exit = decode(0x18 << 26 | iss, 0, 0)
        assert exit.register == (
            field(iss, 21, 20), field(iss, 16, 14), field(iss, 13, 10), field(iss, 4, 1), field(iss, 19, 17)
        )  # fmt: skip
        assert exit.rt == field(iss, 9, 5)
        assert exit.is_read == bool(field(iss, 0, 0))


def test_a_store_word_to_the_uart():
    # STR W1, [X0] with X0 = 0x0900_0000 under an identity stage 1: ISV, SAS=2, SRT=1, WnR, translation fault level 2
    exit = decode(0x93810046, 0x0900_0018, 0x9_0000)
    assert (exit.valid, exit.size, exit.register, exit.write, exit.status) == (True, 4, 1, True, 6)
    assert (exit.far, exit.ipa) == (0x0900_0018, 0x0900_0018)


def test_abort_fields_against_binary_digits():
    rng = random.Random(24)
    for _ in range(1000):
        iss, far, hpfar = rng.getrandbits(25), rng.getrandbits(64), rng.getrandbits(64)
        data, fetch = decode(0x24 << 26 | iss, far, hpfar), decode(0x20 << 26 | iss, far, hpfar)
        for exit in (data, fetch):
            assert exit.ipa == field(hpfar, 43, 4) * 4096 + far % 4096
            assert (exit.far, exit.status, exit.s1ptw) == (far, field(iss, 5, 0), bool(field(iss, 7, 7)))
        assert (data.valid, data.write) == (bool(field(iss, 24, 24)), bool(field(iss, 6, 6)))
        assert data.size == 2 ** field(iss, 23, 22)
        assert (data.sign_extend, data.sixty_four) == (bool(field(iss, 21, 21)), bool(field(iss, 15, 15)))
        assert data.register == field(iss, 20, 16)
        assert data.cache_maintenance == bool(field(iss, 8, 8))
