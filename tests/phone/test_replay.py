"""A saved trace is the script of its run: played again, it gives the same trace, and whatever is wrong with it is one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from minivisor import Phone, cli
from minivisor.commands.outputs import DIFFERENT
from minivisor.errors import OptionError
from minivisor.phone.replay import Replay, mark_end
from minivisor.trace.records import DataRecord, InputEvent, InputRecord
from minivisor.trace.store import Trace


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phone somebody played with live: looked at in odd steps, typed at and switched in between."""
    phone = Phone(slice="1ms")
    phone.session.advance(1)
    for step, keys in ((7_654_321, "S"), (3_000_001, ""), (12_345_678, "é"), (999, "x"), (5_000_000, "")):
        phone.run(step)
        phone.type(keys) if keys else phone.switch()
    phone.run(4_321)
    mark_end(phone.trace, phone.now)
    path = tmp_path_factory.mktemp("traces") / "live.trace"
    phone.trace.save(path)
    return path


def test_the_same_run(recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = tmp_path / "again.trace"
    assert cli.run(["phone", "--slice", "1ms", "--replay", str(recording), "--trace", str(again)]) == 0
    assert "replay: the same run" in capsys.readouterr().err
    first, second = Trace.load(recording), Trace.load(again)
    assert first.digest() == second.digest()
    assert first.metadata.extra.items() <= second.metadata.extra.items()


def test_another_run_is_told_from_its_first_record_on(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["phone", "--slice", "2ms", "--replay", str(recording)]) == DIFFERENT  # it did not note its slice
    err = capsys.readouterr().err
    assert "replay: another run" in err and "differs in slice" in err


def test_other_settings_are_refused(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option, value, words in (("--seed", "3", "seed 3"), ("--board", "b", "board b"), ("--work", "Ada", "personas")):
        assert cli.run(["phone", option, value, "--replay", str(recording)]) == 2
        assert words in capsys.readouterr().err


def test_a_script_beside_it_is_refused(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["phone", "--for", "1s", "--replay", str(recording)]) == 2
    assert "the recording's own inputs and end" in capsys.readouterr().err


def test_what_cannot_be_replayed(recording: Path) -> None:
    trace = Trace.load(recording)
    with pytest.raises(OptionError, match="not whole"):
        Replay(trace.cut(0, 1_000_000))
    trace.metadata = replace(trace.metadata, extra={**trace.metadata.extra, "clock": "host"})
    with pytest.raises(OptionError, match="host clock"):
        Replay(trace)
    trace.metadata = replace(trace.metadata, extra={**trace.metadata.extra, "clock": "virtual"})
    trace.log_lost = 1
    with pytest.raises(OptionError, match="lost no input"):
        Replay(trace)
    torn = Trace(trace.metadata)
    torn.input(1, 0, InputEvent.FRAME, 60, 0, 1, bytes(60))
    torn.append(DataRecord(size=99))
    Replay(torn)
    torn.append(InputRecord(time=2, event=InputEvent.FRAME, code=60, pieces=2, slot=1))
    with pytest.raises(OptionError, match="an input without its bytes"):
        Replay(torn)
