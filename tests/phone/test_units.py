"""Times, sizes, colours and people as typed."""

import pytest

from minivisor.errors import OptionError
from minivisor.phone.units import parse_colour, parse_duration, parse_person, parse_size


@pytest.mark.parametrize(
    ("text", "value"),
    [("2s", 2_000_000_000), ("1.5ms", 1_500_000), (" 20 us ", 20_000), ("7ns", 7), ("1min", 60_000_000_000), (42, 42)],
)
def test_durations(text, value):
    assert parse_duration(text) == value


@pytest.mark.parametrize("text", ["", "2", "s", "-1s", "2 h", "1e9s", "٣s", "9" * 30 + "s", "1.s", "99999999999s"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(OptionError, match="as in 2s"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "value"), [("64M", 64 << 20), ("1g", 1 << 30), ("4096KiB", 4 << 20), ("12", 12)])
def test_sizes(text, value):
    assert parse_size(text) == value


@pytest.mark.parametrize("text", ["", "M", "-1M", "1T", "1.5G", "0x10"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(OptionError, match="as in 64M"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "value"), [("teal", 0x008080), ("#2e7d6b", 0x2E7D6B), ("2E7D6B", 0x2E7D6B), ("#f00", 0xFF0000), (7, 7)]
)
def test_colours(text, value):
    assert parse_colour(text) == value


@pytest.mark.parametrize("text", ["", "tael", "#12345", "12345678"])
def test_what_is_no_colour_is_refused(text):
    with pytest.raises(OptionError, match="CSS name"):
        parse_colour(text)


def test_people():
    assert parse_person("Ada") == {"name": "Ada"}
    assert parse_person("Ada at work, teal") == {"name": "Ada at work", "colour": 0x008080}
    assert parse_person("Lovelace, Ada,#000001") == {"name": "Lovelace, Ada", "colour": 1}


@pytest.mark.parametrize("text", ["", ",teal", "a\nb", "Ada,", "Ada,tael", "\x1b[31m"])
def test_what_is_nobody_is_refused(text):
    with pytest.raises(OptionError):
        parse_person(text)
