"""Scripts in virtual time: what they say, and that they play when they should."""

import pytest

from minivisor.errors import OptionError
from minivisor.phone.phone import Phone
from minivisor.phone.session import Step, parse_typed
from minivisor.trace.records import Kind

MS = 1_000_000


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("hello@300ms", Step(300 * MS, "hello")),
        ("work:P@1s", Step(1000 * MS, "P", 1)),
        ("personal:a", Step(0, "a", 0)),
        ("play:b", Step(0, "play:b")),
        ("ada@home", Step(0, "ada@home")),
        ("a@b@5ms", Step(5 * MS, "a@b")),
        (r"ls\n@5ms", Step(5 * MS, "ls\r")),
        (r"\\n", Step(0, r"\n")),
    ],
)
def test_what_to_type(text, step):
    assert parse_typed(text) == step


@pytest.mark.parametrize("text", ["", "@5ms", "work:", "work:@5ms", "x@5"])
def test_what_cannot_be_typed_is_refused(text):
    with pytest.raises(OptionError):
        parse_typed(text)


def test_a_script_plays_at_its_time_for_whoever_is_in_front_then():
    phone = Phone().run("150ms")
    phone.session.plan([Step(200 * MS, "b"), Step(170 * MS, "a"), Step(180 * MS), Step(210 * MS, "c", 0)])
    phone.run("100ms")
    inputs = phone.trace.select(Kind.INPUT)
    keys = [(int(vcpu), chr(code)) for vcpu, code in zip(inputs["vcpu"], inputs["number"], strict=True)]
    assert keys == [(0, "a"), (1, "b"), (0, "c")]
    for time, due in zip(inputs["time"].tolist(), (170 * MS, 200 * MS, 210 * MS), strict=True):
        assert due <= time < due + MS
    assert phone.foreground is phone.work and not phone.session.script


def test_steps_make_no_difference_to_a_run():
    whole, stepped = Phone(), Phone()
    for phone in (whole, stepped):
        phone.session.plan([Step(120 * MS, "x")])
    whole.run("200ms")
    while stepped.now < whole.now:
        stepped.session.advance(min(stepped.now + 7 * MS, whole.now))
    assert stepped.trace.digest() == whole.trace.digest()
