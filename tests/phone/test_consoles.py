"""Two serial lines on one terminal: names in front of lines, and Tab between them."""

from __future__ import annotations

import io

import pytest

from minivisor import Phone, guests
from minivisor.phone.consoles import KEPT, LONGEST, Named, PhoneEscape, Switched, play
from minivisor.phone.session import Session


@pytest.fixture
def phone() -> Phone:
    """Two guests that print on their serial lines and answer keys there."""
    hello = {"guest": guests.path("hello"), "memory": 8 << 20}
    return Phone({**hello, "name": "Ada"}, {**hello, "name": "at work"})


def test_each_line_has_the_name_of_who_printed_it(phone: Phone) -> None:
    out = io.BytesIO()
    Named(out, list(phone.personas))
    phone.run("20ms")
    lines = out.getvalue().decode().splitlines()
    for persona in phone.personas:
        own = [line for line in lines if line.startswith(f"{persona.name:>7} │ ")]
        said = bytes(persona.console).decode().splitlines()
        assert own and [line.partition("│ ")[2] for line in own] == said[: len(own)]
    assert {line.partition(" │")[0].strip() for line in lines} == {"Ada", "at work"}


def test_a_line_without_end_is_cut(phone: Phone) -> None:
    out = io.BytesIO()
    Named(out, list(phone.personas))
    for _ in range(3 * LONGEST):
        phone.personal.on_output(ord("x"))
    assert out.getvalue().count(b"\n") == 3


def switched(phone: Phone) -> tuple[io.BytesIO, Switched, PhoneEscape, Session]:
    out = io.BytesIO()
    return out, Switched(out, phone.session), PhoneEscape(), phone.session


def test_only_the_one_in_front_is_shown(phone: Phone) -> None:
    out, _view, _escape, _session = switched(phone)
    phone.run("20ms")
    assert out.getvalue() == bytes(phone.personal.console) != b""


def test_tab_brings_the_other_with_what_it_printed(phone: Phone) -> None:
    out, view, escape, session = switched(phone)
    phone.run("20ms")
    out.truncate(0)
    play(session, view, escape, b"\t")
    assert phone.foreground is phone.work
    assert b"at work" in out.getvalue() and out.getvalue().endswith(bytes(phone.work.console))


def test_keys_before_and_after_a_tab_go_to_different_personas(phone: Phone) -> None:
    _out, view, escape, session = switched(phone)
    phone.run("1us")
    play(session, view, escape, b"ab\tcd\x01\te")
    phone.run("1us")
    typed = [(r.vcpu, r.code) for r in phone.trace if r.kind.name == "INPUT"]  # type: ignore[attr-defined]
    assert typed == [(0, ord("a")), (0, ord("b")), *[(1, code) for code in b"cd\te"]]


def test_a_long_console_is_shown_from_a_line_s_start(phone: Phone) -> None:
    out, view, _escape, _session = switched(phone)
    phone.personal.console[:] = b"".join(b"line %05d\n" % n for n in range(KEPT))
    view.redraw()
    shown = out.getvalue().partition(b"end")[2].partition(b"line")
    assert shown[1] == b"line" and len(out.getvalue()) < KEPT + 200
    assert out.getvalue().endswith(b"line %05d\n" % (KEPT - 1))


def test_the_escape_ends_the_run() -> None:
    escape = PhoneEscape()
    assert escape.keys(b"\x01x") == b"" and escape.ended
