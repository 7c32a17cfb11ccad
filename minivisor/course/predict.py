"""Say what you expect before you look: a guess, then the number from the trace, then why.

    switches = predict("How often does the core change hands in 100 ms?", 200)
    …
    switches.check(counted, because="both personas sleep between their ticks")

A guess is compared, never graded. Numbers are right within a tenth, close below a factor of two; anything else is
right when it is equal. Without a guess (None) the answer is kept back: what was not guessed is soon forgotten. Whatever
is compared is plain data, so that a check never touches the machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

__all__ = ["Prediction", "Verdict", "predict"]

Answer = int | float | str | bool | None

RIGHT, CLOSE = 1.1, 2.0  # factors between guess and answer


@dataclass(frozen=True)
class Verdict:
    """How a guess did. outcome: "right", "close", "off" or "open" (nothing was guessed)."""

    question: str
    guess: Answer
    actual: Answer
    outcome: str
    because: str = ""

    def __bool__(self) -> bool:
        """Was the guess right?"""
        return self.outcome == "right"

    def headline(self) -> str:
        """The verdict in one line."""
        if self.outcome == "open":
            return "No guess yet: write one in place of None and run both cells again."
        if self.outcome == "right":
            return f"Right: {_show(self.actual)}."
        word = "Close" if self.outcome == "close" else "Not this time"
        return f"{word}: it is {_show(self.actual)}, you said {_show(self.guess)}{self._factor()}."

    def _factor(self) -> str:
        if self.outcome == "close" or not (_is_number(self.guess) and _is_number(self.actual)):
            return ""
        factor = _factor(self.guess, self.actual)
        return f", off by a factor of {factor:.3g}" if factor < float("inf") else ""

    def reason(self) -> str:
        """Why it is so; kept back as long as nothing was guessed."""
        return "" if self.outcome == "open" else self.because

    def __repr__(self) -> str:
        return "\n".join(filter(None, [self.question, self.headline(), self.reason()]))

    def _repr_html_(self) -> str:
        mark = {"right": "✓", "close": "≈", "off": "✗", "open": "?"}[self.outcome]
        colour = {"right": "#2e9e6b", "close": "#c98a1b", "off": "#c8553d", "open": "#808080"}[self.outcome]
        reason = f'<div style="margin-top:.3em">{escape(self.reason())}</div>' if self.reason() else ""
        return (
            f'<div role="status" style="border-left:4px solid {colour};padding:.4em .9em;max-width:44em">'
            f'<div style="opacity:.75">{escape(self.question)}</div>'
            f'<div><b><span style="color:{colour}">{mark}</span> {escape(self.headline())}</b></div>{reason}</div>'
        )


@dataclass(frozen=True)
class Prediction:
    """A question and what somebody expects. guess: a number, a word, True or False; None as long as there is none."""

    question: str
    guess: Answer = None

    def check(self, actual: Answer, because: str = "") -> Verdict:
        """Compare with what was measured. because: the reason, told whether the guess was right or not."""
        return Verdict(self.question, self.guess, actual, _outcome(self.guess, actual), because)

    def __repr__(self) -> str:
        said = "no guess yet" if self.guess is None else f"you say {_show(self.guess)}"
        return f"{self.question} ({said})"


def predict(question: str, guess: Answer = None) -> Prediction:
    """Write down a guess before the cell that measures."""
    return Prediction(question, guess)


def _outcome(guess: Answer, actual: Answer) -> str:
    if guess is None:
        return "open"
    if not (_is_number(guess) and _is_number(actual)):
        return "right" if _same(guess, actual) else "off"
    factor = _factor(guess, actual)
    return "right" if factor <= RIGHT else "close" if round(factor, 2) < CLOSE else "off"


def _is_number(answer: Answer) -> bool:
    return isinstance(answer, int | float) and not isinstance(answer, bool)


def _same(guess: Answer, actual: Answer) -> bool:
    """Equal, or the same words but for capitals and spaces."""
    if isinstance(guess, str) and isinstance(actual, str):
        return " ".join(guess.split()).casefold() == " ".join(actual.split()).casefold()
    return type(guess) is type(actual) and guess == actual


def _factor(guess: Answer, actual: Answer) -> float:
    """How many times one is the other, at least 1; infinite when only one is 0 or their signs differ."""
    a, b = float(guess or 0), float(actual or 0)
    if a == b:
        return 1.0
    if a * b <= 0:
        return float("inf")
    return max(a / b, b / a)


def _show(answer: Answer) -> str:
    if isinstance(answer, bool):
        return "yes" if answer else "no"
    if isinstance(answer, int):
        return f"{answer:,}"
    return f"{answer:.4g}" if isinstance(answer, float) else str(answer)
