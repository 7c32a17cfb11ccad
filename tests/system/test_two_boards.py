"""The hypervisor carries the same personas on boards that agree in nothing, and the personas cannot tell.

Everything a guest can see is in a trace, and records that name physical addresses are of kinds of their own. So two boards with
equally many list registers must leave the same records but for those, to the last register value and nanosecond, whoever
translates and however few list registers there are.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from minivisor import guests
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import RAM, PersonaSettings
from minivisor.machine.board import BOARDS, Machine
from minivisor.phone.phone import Phone
from minivisor.phone.screen import STRIP, rgb_from_565
from minivisor.platform.image import load_image

MIB = 1 << 20


def story(board: str, mmu: str = "minivisor", list_registers: int = 4) -> Phone:
    """Both personas, keys for each, a switch in between."""
    phone = Phone(board=board, mmu=mmu, list_registers=list_registers, seed=3)
    phone.run("60ms").type("ab")
    phone.run("60ms").switch()
    phone.type("c")
    return phone.run("80ms")


def busy(board: str, list_registers: int) -> Hypervisor:
    """More interrupts at once than one list register holds: SGIs, timers and the UART, between four vCPUs."""
    hypervisor = Hypervisor(Machine(board, list_registers=list_registers))
    settings = PersonaSettings("smp", memory=16 * MIB, cpus=4)
    hypervisor.add(settings, load_image(guests.path("smp"), RAM, settings.memory))
    hypervisor.run(100_000_000)
    return hypervisor


def test_the_boards_agree_in_nothing() -> None:
    a, b = BOARDS["a"], BOARDS["b"]
    same = {field.name for field in fields(a) if getattr(a, field.name) == getattr(b, field.name)}
    assert same == {"ram_size"}


@pytest.mark.parametrize("mmu", ["minivisor", "unicorn"])
def test_the_same_personas_leave_the_same_trace(mmu: str) -> None:
    first, second = story("a", mmu), story("b", mmu)
    assert len(first.trace) > 300 and first.trace.guest_visible() == second.trace.guest_visible()
    assert first.trace.metadata.board != second.trace.metadata.board
    assert [bytes(persona.console) for persona in first.personas] == [bytes(p.console) for p in second.personas]
    assert first.machine.memory.base != second.machine.memory.base


@pytest.mark.parametrize("list_registers", [1, 16])
def test_interrupts_between_vcpus_too(list_registers: int) -> None:
    """Sender, priority and state of an SGI survive the other form of list register."""
    first, second = busy("a", list_registers), busy("b", list_registers)
    assert len(first.trace) > 100 and first.trace.guest_visible() == second.trace.guest_visible()


def test_the_larger_panel_shows_the_screen_in_its_middle() -> None:
    phone = Phone(board="b").run("60ms")
    shown, screen = phone.screen(), rgb_from_565(phone.foreground.pixels())
    assert shown.shape == (320, 200, 3) and screen.any()
    top, left = STRIP + 32, 20
    assert np.array_equal(shown[top : top + 240, left : left + 160], screen)
    border = shown[STRIP:].copy()
    border[32 : 32 + 240, left : left + 160] = 0
    assert not border.any() and shown[:STRIP].any()


def test_the_log_leaves_by_either_serial_port() -> None:
    first, second = (bytes(Phone(board=board).machine.console).decode() for board in ("a", "b"))
    assert "personal: 64 MiB at PA 0x80200000, VMID 1, start\r\n" in first
    assert "personal: 64 MiB at PA 0x800200000, VMID 1, start\r\n" in second
