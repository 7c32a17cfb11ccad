"""A guess is compared with what was measured, and the answer is kept back from those who did not guess."""

from __future__ import annotations

import pytest

from minivisor.course.predict import Answer, predict


@pytest.mark.parametrize(
    ("guess", "actual", "outcome"),
    [
        (20, 20, "right"),
        (19, 20, "right"),
        (22, 20, "right"),
        (23, 20, "close"),
        (11, 20, "close"),
        (10, 20, "off"),
        (0.5, 0.24999, "off"),
        (0.5, 0.25001, "off"),
        (200, 20, "off"),
        (0, 20, "off"),
        (0, 0, "right"),
        (-20, 20, "off"),
        (0.75, 0.7501, "right"),
        ("WFI", "wfi ", "right"),
        ("HVC", "WFI", "off"),
        (True, True, "right"),
        (False, True, "off"),
        (1, True, "off"),
        (True, 1, "off"),
        ("20", 20, "off"),
        (None, 20, "open"),
        (None, None, "open"),
    ],
)
def test_the_outcome(guess: Answer, actual: Answer, outcome: str) -> None:
    verdict = predict("?", guess).check(actual)
    assert verdict.outcome == outcome
    assert bool(verdict) is (outcome == "right")


def test_what_is_said() -> None:
    wrong = predict("How many?", 200).check(20, because="they sleep")
    assert repr(wrong) == "How many?\nNot this time: it is 20, you said 200, off by a factor of 10.\nthey sleep"
    assert predict("How many?", 30).check(20).headline() == "Close: it is 20, you said 30."
    assert predict("How many?", 20).check(20, because="they sleep").reason() == "they sleep"
    assert predict("Same?", True).check(True).headline() == "Right: yes."
    assert (
        predict("Share?", 0.5).check(0.125).headline()
        == "Not this time: it is 0.125, you said 0.5, off by a factor of 4."
    )


def test_without_a_guess_nothing_is_given_away() -> None:
    verdict = predict("How many?").check(4711, because="they sleep")
    shown = repr(verdict) + verdict._repr_html_()
    assert "No guess yet" in shown and "4,711" not in shown and "sleep" not in shown


def test_html_shows_any_text_as_text() -> None:
    shown = predict("<b>?</b>", "<script>").check("<i>", because="1 < 2")._repr_html_()
    assert "<script>" not in shown and "<i>" not in shown and "<b>?" not in shown and "1 &lt; 2" in shown


def test_a_prediction_says_what_it_holds() -> None:
    assert repr(predict("How many?", 1200)) == "How many? (you say 1,200)"
    assert repr(predict("How many?")) == "How many? (no guess yet)"
