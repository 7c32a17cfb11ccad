"""Every width, sign and register of an emulated access, against arithmetic on signed numbers."""

import itertools
import random

import pytest

from minivisor.hypervisor.emulate import access, finish
from minivisor.stages import DataAbort
from tests.naive_exits import loaded

SHAPES = list(itertools.product((1, 2, 4, 8), (False, True), (False, True)))


def abort(size=4, write=False, register=3, sign_extend=False, sixty_four=False):
    return DataAbort(
        esr=0, ec=0x24, iss=0, far=0xFFFF_0000_0000_0018, ipa=0x0900_0018, status=6, s1ptw=False, write=write,
        valid=True, size=size, sign_extend=sign_extend, register=register, sixty_four=sixty_four,
        cache_maintenance=False,
    )  # fmt: skip


@pytest.mark.parametrize(("size", "sign_extend", "sixty_four"), SHAPES)
def test_a_load_of_every_shape(size, sign_extend, sixty_four):
    rng = random.Random(size)
    load = access(abort(size, sign_extend=sign_extend, sixty_four=sixty_four), range(31))
    assert (load.ipa, load.width, load.write, load.value) == (0x0900_0018, size, False, 0)
    for value in (0, 1, 0x7F, 0x80, 0xFF, 0x8000, 2**31, 2**63, 2**64 - 1, *(rng.getrandbits(64) for _ in range(50))):
        assert finish(load, value) == {"X3": loaded(value, size, sign_extend, sixty_four)}


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_a_store_carries_the_low_bytes_of_its_register(size):
    registers = [0x1111_2222_3333_4400 + n for n in range(31)]
    for register in range(31):
        store = access(abort(size, write=True, register=register), registers)
        assert store.write
        assert store.value == registers[register] % 256**size
        assert finish(store, 0xFF) == {}


def test_the_zero_register_stores_zero_and_swallows_loads():
    assert access(abort(8, write=True, register=31), [5] * 31).value == 0
    assert finish(access(abort(8, register=31), [5] * 31), 0xFF) == {}
