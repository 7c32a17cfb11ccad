"""The phone's picture is the panel, pixel for pixel; in a notebook a reader's events reach the phone once each."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Any

import numpy as np
import pytest

from minivisor import Phone
from minivisor.views import PhoneView
from minivisor.views.phone import Picture, picture
from tests.views.examples import example


def unpacked(told: Picture) -> np.ndarray:
    """The pixels of a frame, from its runs."""
    runs = b64decode(told["runs"])
    flat = [colour for colour, long in zip(runs[::2], runs[1::2], strict=True) for _ in range(long + 1)]
    rgb = np.array([[int(word[at : at + 2], 16) for at in (0, 2, 4)] for word in told["colours"]], np.uint8)
    return rgb[flat].reshape(told["height"], told["width"], 3)


def test_a_frame_is_the_panel_pixel_for_pixel() -> None:
    phone = Phone()
    phone.run("50ms")
    assert (unpacked(picture(phone)) == phone.screen()).all()


def test_the_drawing_covers_every_pixel_once() -> None:
    told = example("phone").state["frames"][0]
    paths = re.findall(r'<path d="(M\d+ \d+h[^"]*)" fill="#', example("phone").frame(step=0).svg)
    runs = [tuple(map(int, found)) for path in paths for found in re.findall(r"M(\d+) (\d+)h(\d+)v1", path)]
    covered = np.zeros((told["height"], told["width"]), int)
    for x, y, wide in runs:
        covered[y, x : x + wide] += 1
    assert (covered == 1).all()


def test_who_is_in_front_is_what_the_picture_says() -> None:
    view = example("phone")
    assert "“personal” is in front" in view.frame(step=1).svg and "“work” is in front" in view.frame(step=2).svg
    assert view.frame(step=1).svg != view.frame(step=0).svg
    assert "typed hello" in view.frame(step=1).say


def test_events_of_a_reader_reach_the_phone_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("anywidget")
    phone = Phone()
    phone.run("20ms")
    view = PhoneView(phone, pause="20ms")
    assert view.widget.state["live"] is True and example("phone").live_state()["live"] is False
    typed: list[str] = []
    monkeypatch.setattr(phone, "type", lambda text: typed.append(text))
    events: list[dict[str, Any]] = [{"number": 1, "name": "typed", "text": "hi"}]
    view.widget.ui = {"events": events}
    assert typed == ["hi"] and phone.now == 40_000_000
    view.widget.ui = {"events": [*events, {"number": 2, "name": "switch"}]}
    assert typed == ["hi"] and phone.foreground is phone.work
    view.widget.ui = {"events": [{"number": 3, "name": "tap", "x": 80, "y": 4}]}
    assert phone.foreground is phone.personal
    assert [frame["what"] for frame in view.widget.state["frames"]] == [
        "",
        "typed 'hi'",
        "work was brought to the front",
        "personal was brought to the front",
    ]
    assert view.widget.step == 3 and "personal is in front" in view.frame().say
