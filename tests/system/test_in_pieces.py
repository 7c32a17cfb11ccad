"""A run in pieces is the same run: nobody inside can tell how often the host looked at the clock."""

from __future__ import annotations

import random

import pytest

from minivisor import Phone, guests
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import RAM, PersonaSettings
from minivisor.machine.board import Machine
from minivisor.platform.image import load_image

END = 40_000_000  # ns


def busy_phone(mmu: str) -> Phone:
    """Both personas compute, and keys come in between."""
    phone = Phone(slice="700us", cost="kvm-arm-2016", mmu=mmu)
    for side, text, at in ((0, "S", 2_000_000), (1, "S", 3_000_000), (0, "x", 21_000_000), (1, "hello", 33_333_333)):
        phone.type(text, phone.personas[side], at)
    return phone


@pytest.mark.parametrize("mmu", ["minivisor", "unicorn"])
def test_the_phone_in_pieces(mmu: str) -> None:
    whole = busy_phone(mmu)
    whole.hypervisor.run(END)
    pieces = busy_phone(mmu)
    moments = random.Random(7)
    while pieces.now < END:
        pieces.hypervisor.run(min(END, pieces.now + moments.choice((1, 40, 999, 20_000, 1_000_000))))
    assert pieces.hypervisor.core.retired == whole.hypervisor.core.retired
    assert pieces.trace.digest() == whole.trace.digest()
    assert [vcpu.consumed for vcpu in pieces.hypervisor.vcpus] == [vcpu.consumed for vcpu in whole.hypervisor.vcpus]


def smp(board: str) -> Hypervisor:
    hypervisor = Hypervisor(Machine(board))
    settings = PersonaSettings("smp", memory=16 << 20, cpus=3)
    hypervisor.add(settings, load_image(guests.path("smp"), RAM, settings.memory))
    return hypervisor


@pytest.mark.parametrize("board", ["a", "b"])
def test_exclusives_and_spin_locks_in_pieces(board: str) -> None:
    """A return to a guest clears its exclusive monitor; to look at the clock in between is not one."""
    whole, pieces = smp(board), smp(board)
    whole.run(3_000_000)
    while pieces.now < 3_000_000 and pieces.alive:
        pieces.run(min(pieces.now + 611, 3_000_000))
    assert pieces.core.retired == whole.core.retired > 100_000
    assert pieces.trace.digest() == whole.trace.digest()


def test_keys_typed_between_pieces_are_those_typed_ahead() -> None:
    ahead, live = Phone(), Phone()
    ahead.type("hi", at=20_000_000)
    ahead.run("50ms")
    live.run("20ms")
    live.type("hi")
    live.run("30ms")
    assert live.trace.digest() == ahead.trace.digest()


def test_a_switch_between_pieces_ends_the_slice() -> None:
    phone = busy_phone("minivisor")
    phone.run("30ms")
    before = phone.trace.total
    phone.switch()
    phone.run("1us")
    kinds = [record.kind.name for record in list(phone.trace)[before:]]
    assert kinds[0] == "FOREGROUND" and "SCHED" in kinds
