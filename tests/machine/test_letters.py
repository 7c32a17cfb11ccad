"""Letters that compiled code answers: nobody can tell, but by the time it takes; and where somebody could, EL2 is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from minivisor import guests
from minivisor.hypervisor.cost import cost_model
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import RAM, Persona, PersonaSettings
from minivisor.hypervisor.reference import reference
from minivisor.machine.board import Machine
from minivisor.machine.letters import Letters
from minivisor.machine.pl011 import Pl011
from minivisor.platform.image import load_image
from tests.system import bare

UART, STAY = 0xD2A1_2001, 0x1400_0000  # movz x1, #0x900, lsl 16; b .
MOVE = 0x5280_0000  # movz w0, #…
OFF = (0x5280_0100, 0x72B0_8000, 0xD400_0002)  # PSCI SYSTEM_OFF
LOADS = {1: 0x3940_0020, 2: 0x7940_0020, 4: 0xB940_0020, 8: 0xF940_0020}  # ldr x0, [x1]
STORES = {1: 0x3900_0020, 2: 0x7900_0020, 4: 0xB900_0020, 8: 0xF900_0020}
DR, FR, IMSC, CR = 0x00, 0x18, 0x38, 0x30


def load(offset: int, register: int = 2, width: int = 4) -> int:
    return LOADS[width] | offset // width << 10 | register


def store(offset: int, register: int = 0, width: int = 4) -> int:
    return STORES[width] | offset // width << 10 | register


def moves(value: int) -> int:
    """movz w0, #value"""
    return MOVE | value << 5


def words(text: str) -> list[int]:
    """Print it as a driver does: look, then write."""
    return [word for letter in text for word in (moves(ord(letter)), load(FR), store(DR, width=1))]


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many letters compiled code brought, a number each time that EL2 was back."""
    counts: list[int] = []
    kept = Pl011.sent_meanwhile

    def sent(uart: Pl011, letters: bytes) -> None:
        counts.append(len(letters))
        kept(uart, letters)

    monkeypatch.setattr(Pl011, "sent_meanwhile", sent)
    yield counts


def run(
    code: list[int], *changes: Callable[[Hypervisor], Any], offered: bool = True, until: int = 10_000_000, **options: Any
) -> Persona:
    """Run it to its end, the exits answered here or by EL2."""
    hypervisor, persona = bare.boot([UART, *code, *OFF], **options)
    for change in changes:
        change(hypervisor)
    with pytest.MonkeyPatch.context() as patch:
        if not offered:
            patch.setattr(Letters, "offer", lambda *_what: None)
        hypervisor.run(until)
    assert persona.status == "off"
    persona.digest = hypervisor.trace.digest()  # type: ignore[attr-defined]
    persona.rows = hypervisor.trace.rows()  # type: ignore[attr-defined]
    return persona


ODD = [
    *words("one"),
    *(load(FR, register, width) for register in (0, 5, 30, 31) for width in LOADS),
    moves(0x141),
    *(store(DR, register, width) for register in (0, 1, 31) for width in STORES),
    0x39C0_6022,  # ldrsb w2, [x1, #0x18]: the sign is EL2's affair
    load(FR + 4),
    store(FR),
    *words("two"),
]


@pytest.mark.parametrize("options", [{}, {"mmu": "unicorn"}, {"gic": 3}], ids=str)
@pytest.mark.parametrize("cost", ["zero", "kvm-arm-2016"])
def test_the_trace_is_the_one_that_el2_would_have_left(answered: list[int], options: dict[str, Any], cost: str) -> None:
    options = {**options, "cost": cost_model(cost)}
    ours, theirs = run(ODD, **options), run(ODD, offered=False, **options)
    assert sum(answered) > 12
    assert ours.console == theirs.console == b"one" + b"A" * 4 + b"\0" * 8 + b"two"
    for row, expected in zip(ours.rows.tolist(), theirs.rows.tolist(), strict=True):  # type: ignore[attr-defined]
        assert row[:-1] == expected[:-1]
    assert ours.digest == theirs.digest  # type: ignore[attr-defined]


def test_more_letters_than_the_box_holds_come_in_their_order(answered: list[int]) -> None:
    text = "".join(chr(0x21 + n % 90) for n in range(700))
    assert run(words(text)).console.decode() == text
    assert len(answered) > 2 and 600 < sum(answered) < 700


def test_a_byte_that_moves_the_line_or_comes_back_is_for_el2(answered: list[int]) -> None:
    """UARTIMSC.TXIM: the first letter raises the line. UARTCR.LBE: letters are received."""
    persona = run([load(FR), moves(0x20), store(IMSC), *words("c")])
    assert persona.vgic.line(33) and persona.console == b"c" and answered == []
    persona = run([*words("ab"), moves(0x20), store(IMSC), *words("c")])
    assert persona.vgic.line(33) and persona.console == b"abc" and sum(answered) == 2
    answered.clear()
    persona = run([*words("ab"), moves(0x381), store(CR), *words("cd"), load(DR, 7), load(FR, 6)])
    assert persona.console == b"ab" and sum(answered) == 2


GICD, GICC = 0xD2A1_0003, 0xD2A1_0023  # movz x3, #0x800, lsl 16; #0x801
LISTED = [
    *words("ab"),
    *(moves(0x20), store(IMSC)),
    *(GICD, moves(1), 0xB900_0060, moves(2), 0xB901_0460),  # GICD_CTLR, GICD_ISENABLER1
    *(GICC, moves(1), 0xB900_0060, moves(0xFF), 0xB900_0460),  # GICC_CTLR, GICC_PMR
    *words("cdef"),
]
"""The UART's own interrupt is in a list register, and the guest masks it."""


def test_with_an_interrupt_in_a_list_register_each_letter_is_for_el2(answered: list[int]) -> None:
    """EL2 folds it and lists it again at every exit, and records that."""
    ours, theirs = run(LISTED), run(LISTED, offered=False)
    assert ours.digest == theirs.digest  # type: ignore[attr-defined]
    assert sum(answered) == 2 and ours.console == b"abcdef"


def test_an_alarm_in_the_middle_of_a_line_is_seen_where_el2_would_have_seen_it(answered: list[int]) -> None:
    """The RTC's line rises while letters are answered, wherever in the driver's loop that is."""
    rtc = 0xD2A1_2025  # movz x5, #0x901, lsl 16
    alarm = [rtc, moves(1), 0xB900_04A0, 0xB900_1CA0, 0xB900_10A0]  # RTCMR, RTCICR, RTCIMSC
    line = [GICD, moves(1), 0xB900_0060, moves(4), 0xB901_0460]  # GICD_CTLR, GICD_ISENABLER1
    line += [GICC, moves(1), 0xB900_0060, moves(0xFF), 0xB900_0460]
    code = [*words("ab"), *alarm, *line, *words("cdefghijkl")]
    for cost, starts in (("zero", range(26, 50)), ("kvm-arm-2016", range(40_000, 60_000, 997))):
        for before in starts:

            def late(hypervisor: Hypervisor, before: int = before) -> None:
                hypervisor.core.skip(1_000_000_000 - before)

            options: dict[str, Any] = {"until": 1_010_000_000, "cost": cost_model(cost)}
            ours, theirs = run(code, late, **options), run(code, late, offered=False, **options)
            assert ours.digest == theirs.digest  # type: ignore[attr-defined]
            assert ours.vgic.line(34)
    assert sum(answered) > 100


def test_siblings_change_nothing(answered: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two CPUs that wake and wait for each other, printing."""
    digests = []
    for offered in (True, False):
        if not offered:
            monkeypatch.setattr(Letters, "offer", lambda *_what: None)
        hypervisor = Hypervisor(Machine())
        settings = PersonaSettings("smp", memory=16 << 20, cpus=2)
        persona = hypervisor.add(settings, load_image(guests.path("smp"), RAM, settings.memory))
        hypervisor.run(100_000_000)
        assert persona.console.decode().endswith("smp: 0 wrong\n") or persona.console.endswith(b"smp: 0 wrong\r\n")
        digests.append(hypervisor.trace.digest())
    assert digests[0] == digests[1] and sum(answered) > 50


def test_a_key_that_waits_shows_in_the_flags(answered: list[int]) -> None:
    def type_one(hypervisor: Hypervisor) -> None:
        hypervisor.key(hypervisor.personas[0], 0x78)

    persona = run([*words("ab"), load(FR, 9), 0xD2A8_0202, 0xF900_0049], type_one)  # movz x2, #0x4010, lsl 16; str x9, [x2]
    assert sum(answered) == 2 and bare.words_at(persona, bare.DATA, 1) == [0xC0]  # TXFE, and RXFF: no FIFO


@pytest.mark.parametrize("part", ["decode", "access", "uart", "handlers"])
def test_parts_of_others_see_every_letter(answered: list[int], part: str) -> None:
    seen = 0

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            nonlocal seen
            seen += 1
            return function(*arguments)

        return counted

    def parts(guest: Any) -> Any:
        ours = reference(guest)
        if part == "uart":
            return replace(ours, uart=lambda transmit: Pl011(watched(transmit)))
        if part == "handlers":
            return reference(guest, handlers={0x24: watched(ours.handlers[0x24])})
        return reference(guest, **{part: watched(getattr(ours, part))})

    assert run(words("abcdef"), stages=parts).console == b"abcdef"
    assert answered == [] and seen >= {"decode": 2, "access": 12, "uart": 6, "handlers": 12}[part]


def test_nothing_is_lost_when_the_run_is_broken_off(answered: list[int]) -> None:
    """Ctrl-C comes as an exception while EL2 waits for the guest."""
    hypervisor, persona = bare.boot([UART, *words("0123456789"), STAY])
    go = hypervisor.core.run

    def broken_off(*arguments: Any, **options: Any) -> int:
        reason = go(*arguments, **options)
        if hypervisor.now > 25:
            raise KeyboardInterrupt
        return reason

    hypervisor.core.run = broken_off  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        hypervisor.run(1_000)
    assert persona.console == b"0123456789" and sum(answered) == 10
    assert len(hypervisor.trace.rows()) > 40


def test_a_guest_that_only_looks_gets_on() -> None:
    """By the host's clock nobody counts what it does; a look is progress all the same."""
    hypervisor, persona = bare.boot([UART, load(FR), 0x17FF_FFFF], clock="host")  # b .-4
    while len(hypervisor.trace) < 5_000:
        hypervisor.run(hypervisor.now + 10_000_000)
        assert persona.status == "running", persona.report


def test_by_the_hosts_clock_what_is_listed_may_stay_so(answered: list[int]) -> None:
    """The trace is nobody's measure there, and Linux prints with its timer pending and masked."""
    run(LISTED, clock="host", until=1 << 40)
    assert sum(answered) == 6
